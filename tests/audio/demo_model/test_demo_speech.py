import random
import subprocess
from collections import Counter

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")

from audio.demo_model import synthesis  # noqa: E402
from audio.demo_model.mfcc import RATE_HZ  # noqa: E402
from audio.demo_model.synthesis import MissingToolsError, check, speak  # noqa: E402
from audio.demo_model.voices import (  # noqa: E402
    ESPEAK,
    FESTIVAL,
    FLITE,
    HELD_OUT_VARIANTS,
    TRAINING_VARIANTS,
    Voice,
    evaluation_jobs,
    group,
    is_held_out,
    random_voice,
)

SENTENCE = "where can i find it"


def _installed() -> bool:
    try:
        check()
    except MissingToolsError:
        return False
    return True


needs_synthesisers = pytest.mark.skipif(not _installed(), reason="needs espeak-ng, flite and festival")


def test_no_held_out_voice_is_ever_drawn_for_training() -> None:
    rng = random.Random(1)
    voices = [random_voice(rng) for _ in range(3000)]
    assert not [voice for voice in voices if is_held_out(voice.engine, voice.name)]
    assert not set(TRAINING_VARIANTS) & set(HELD_OUT_VARIANTS)


def test_the_engines_are_drawn_with_their_shares() -> None:
    rng = random.Random(2)
    engines = Counter(random_voice(rng).engine for _ in range(5000))
    assert engines[ESPEAK] / 5000 == pytest.approx(0.42, abs=0.03)
    assert engines[FLITE] / 5000 == pytest.approx(0.58 * 36 / 58, abs=0.03)
    assert engines[FESTIVAL] / 5000 == pytest.approx(0.58 * 22 / 58, abs=0.03)


def test_without_a_share_for_espeak_all_voices_are_recorded_ones() -> None:
    rng = random.Random(3)
    assert ESPEAK not in {random_voice(rng, espeak_share=0.0).engine for _ in range(500)}


def test_the_same_seed_draws_the_same_voices() -> None:
    first, second = random.Random("part"), random.Random("part")
    assert [random_voice(first) for _ in range(50)] == [random_voice(second) for _ in range(50)]


def test_a_test_sentence_is_spoken_by_three_held_out_voices_and_two_others() -> None:
    jobs = evaluation_jobs([f"sentence {letter}" for letter in "abcdefghijkl"])
    held_out = [job for job in jobs if is_held_out(job[1].engine, job[1].name)]
    assert len(jobs) == 12 * 5
    assert Counter(text for text, _ in held_out) == {text: 3 for text, _ in jobs}
    assert {voice.name.removeprefix("en-us+") for _, voice in held_out} == {*HELD_OUT_VARIANTS, "rms"}


def test_a_table_of_results_shows_held_out_families_together() -> None:
    groups = {group(voice.engine, voice.name) for _, voice in evaluation_jobs(["a"] * 12)}
    assert groups == {"flite rms", "espeak klatt", "espeak steph", "espeak iven", "espeak m3", "flite slt"}


def test_missing_packages_are_named_in_one_sentence_each_once() -> None:
    tools = {"sh": "dash", "no-such-program": "one", "/no/such/voice": "two", "/no/other/voice": "two"}
    with pytest.raises(MissingToolsError, match=r"^Debian packages are missing: .*`apt install one two`\.$"):
        check(tools)
    check({"sh": "dash", "/": "base-files"})


@pytest.mark.parametrize("text", ["", "Upper", "2 jackets", 'a" (quit) "', "-h", "two  blanks", "é"])
def test_a_text_that_could_reach_a_synthesiser_as_anything_but_words_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be spoken"):
        speak([(text, Voice(FLITE, "slt"))])


def test_an_unknown_synthesiser_is_refused() -> None:
    with pytest.raises(ValueError, match="no such speech synthesiser: hal"):
        speak([(SENTENCE, Voice("hal", "9000"))])


@needs_synthesisers
def test_every_variant_is_installed() -> None:
    # espeak-ng takes its default voice for one that it does not know, and says nothing.
    listed = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True).stdout
    installed = {word.removeprefix("!v/") for word in listed.split() if word.startswith("!v/")}
    assert {*TRAINING_VARIANTS, *HELD_OUT_VARIANTS} <= installed


@needs_synthesisers
def test_the_same_jobs_give_the_same_sound_however_many_work_at_them() -> None:
    rng = random.Random(4)
    jobs = [("hello", random_voice(rng, espeak_share=0.3)) for _ in range(10)]
    assert {voice.engine for _, voice in jobs} == {ESPEAK, FLITE, FESTIVAL}
    for one, two in zip(speak(jobs, workers=1), speak(jobs, workers=2), strict=True):
        assert one is not None
        assert two is not None
        assert one.dtype == np.int16
        assert np.abs(one).max() == pytest.approx(synthesis.PEAK, abs=1)
        assert np.array_equal(one, two)


@needs_synthesisers
def test_a_warped_voice_speaks_faster_by_as_much() -> None:
    plain, warped = speak([(SENTENCE, Voice(FLITE, "slt")), (SENTENCE, Voice(FLITE, "slt", warp=1.125))])
    assert plain is not None
    assert warped is not None
    assert len(plain) / len(warped) == pytest.approx(1.125, rel=0.001)


@needs_synthesisers
def test_sound_at_another_rate_is_brought_to_16_khz() -> None:
    # The HTS voice speaks at 32 kHz, some voices of espeak-ng at 22.05 kHz.
    durations_s = [
        len(sound) / RATE_HZ
        for sound in speak(
            [(SENTENCE, Voice(FESTIVAL, "cmu_us_slt_arctic_hts")), (SENTENCE, Voice(ESPEAK, "en-us+m3"))]
        )
        if sound is not None
    ]
    assert len(durations_s) == 2
    assert all(0.8 < duration_s < 2.0 for duration_s in durations_s)


@needs_synthesisers
def test_a_job_that_fails_gives_nothing_and_harms_no_other() -> None:
    broken, spoken = speak([("hello", Voice(FESTIVAL, "a_missing_voice")), ("hello", Voice(FESTIVAL, "ked_diphone"))])
    assert broken is None
    assert spoken is not None


@needs_synthesisers
@pytest.mark.parametrize("repetitions", [25, 100])
def test_endless_speech_is_a_failure(repetitions: int) -> None:
    assert speak([(" ".join(["again and"] * repetitions), Voice(ESPEAK, "en-us+m3", speed=120))]) == [None]
