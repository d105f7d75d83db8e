"""Speech found in noise: the shop's background, and the whole ear but its recogniser."""

from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from audio.background import (
    BLOCK_FRAMES,
    BLOCKS,
    CREST_DB,
    LEAST_BLOCKS,
    LEAST_FRAMES,
    MOST_HEADROOM_DB,
    PRESS_FRAMES,
    RANK,
    SHORT_FRAMES,
    UNKNOWN,
    Background,
    BackgroundMeter,
    Floor,
)
from audio.level import FLOOR_DBFS, Loudness
from audio.protocol import Transcript
from audio.recogniser import Recognition
from audio.settings import AudioSettings
from audio.speech import Sign
from audio.utterance import Utterance
from audio.voice import FRAME_MS, Frame, VoiceDetector
from benchmarks.speech_activity import Results, measure, table
from benchmarks.speech_activity_noises import fan
from benchmarks.speech_activity_picture import drawn
from benchmarks.speech_activity_scenes import BEGINNING, CLEAN, Scenes, Visit, demonstration_speech
from benchmarks.speech_activity_score import Said, Share, alone, figures
from benchmarks.speech_mixing import (
    RATE_HZ,
    Samples,
    Speech,
    active_dbfs,
    at_level,
    dbfs,
    is_active,
    joined,
    lay,
    measured,
    pcm,
    spoken_at,
)

SETTINGS = AudioSettings()
MINUTE = 2000
RNG = np.random.default_rng(7)
STEADY = ("fan", "hum", "shop", "music", "babble", "two voices")


def background(levels: Iterable[float], remembered: int = MINUTE) -> Background:
    """What a shop of these levels is like at a press that follows after half a second more of the last."""
    meter = BackgroundMeter(remembered)
    level = FLOOR_DBFS
    for level in levels:
        meter.hear(level)
    for _ in range(PRESS_FRAMES):
        meter.hear(level)
    return meter.measure()


# --- the background ---


def test_a_shop_heard_for_less_than_three_seconds_is_unknown() -> None:
    assert background([-40.0] * (LEAST_FRAMES - 1)) is UNKNOWN
    assert background([-40.0] * LEAST_FRAMES) is not UNKNOWN


def test_the_half_second_before_a_press_is_the_visitors() -> None:
    meter = BackgroundMeter(MINUTE)
    for level in [-40.0] * 300 + [-10.0] * PRESS_FRAMES:
        meter.hear(level)
    assert meter.measure().loud_dbfs == -40.0


def test_a_shop_is_as_loud_as_it_usually_becomes() -> None:
    levels = [-40.0, -38.0, -36.0, -35.0] * 200
    heard = background(levels)
    assert heard.loud_dbfs == -35.0
    assert heard.usual_dbfs == median(levels)
    assert heard.headroom_db == 5.0
    assert heard.floor.dbfs == -40.0
    assert heard.level_dbfs(heard.floor) == -35.0


def test_friends_who_talk_before_they_press_do_not_make_the_shop_loud() -> None:
    talk = [-25.0, -30.0, -50.0] * 60
    assert background([-50.0] * (MINUTE - len(talk)) + talk).loud_dbfs == -50.0


def test_a_coffee_mill_that_has_stopped_does_not_make_the_shop_loud() -> None:
    assert background([-20.0] * 1000 + [-50.0] * SHORT_FRAMES).loud_dbfs == -50.0


def test_clatter_does_not_make_visitors_shout() -> None:
    heard = background([-60.0] * 60 + [-15.0] * 40)
    assert heard.loud_dbfs == -60.0 + CREST_DB
    assert heard.headroom_db == MOST_HEADROOM_DB


def test_what_is_long_past_is_forgotten() -> None:
    assert background([-20.0] * 500 + [-50.0] * 500, remembered=500).loud_dbfs == -50.0


def test_when_the_floor_rises_the_loudness_rises_with_it() -> None:
    heard = background([-50.0, -47.0] * 300)
    floor = heard.floor
    for _ in range(BLOCKS * BLOCK_FRAMES):
        floor = floor.after(-30.0)
    assert heard.level_dbfs(heard.floor) == -47.0
    assert heard.level_dbfs(floor) == -27.0


def test_lost_sound_is_not_the_floor() -> None:
    floor = background([-50.0] * 300).floor
    for level in ([-50.0] * 20 + [FLOOR_DBFS]) * 2 + [-50.0] * 100:
        floor = floor.after(level)
    assert floor.dbfs == -50.0


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(FLOOR_DBFS, 0.0), max_size=400))
def test_the_floor_is_that_of_the_last_whole_blocks(levels: list[float]) -> None:
    floor = Floor()
    for level in levels:
        floor = floor.after(level)
    whole = len(levels) // BLOCK_FRAMES
    blocks = [min(levels[i * BLOCK_FRAMES : (i + 1) * BLOCK_FRAMES]) for i in range(whole)][-BLOCKS:]
    assert list(floor.blocks) == blocks
    if whole < LEAST_BLOCKS:
        assert floor.dbfs == FLOOR_DBFS
    else:
        assert floor.dbfs == sorted(blocks)[min(RANK, len(blocks) - LEAST_BLOCKS)]


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(FLOOR_DBFS, 0.0), min_size=LEAST_FRAMES, max_size=900))
def test_any_shop_has_a_loudness_between_its_quietest_and_its_loudest(levels: list[float]) -> None:
    heard = background(levels)
    assert min(levels) <= heard.usual_dbfs <= max(levels)
    assert min(levels) <= heard.loud_dbfs <= max(levels)
    assert heard.floor.dbfs + heard.headroom_db <= heard.level_dbfs(heard.floor)


# --- a visit, with real sound ---


def frames(samples: Samples) -> list[Frame]:
    return list(VoiceDetector(RATE_HZ, SETTINGS.vad_mode).frames(pcm(samples)))


def visit(samples: Samples, press_s: float) -> tuple[Utterance, list[Sign]]:
    """What is heard in a visit that begins at `press_s` and lasts until the sound ends."""
    heard = frames(samples)
    press = round(press_s * 1000 / FRAME_MS)
    meter = BackgroundMeter(MINUTE)
    preroll: deque[Frame] = deque(maxlen=16)
    for frame in heard[:press]:
        meter.hear(frame.low_dbfs)
        preroll.append(frame)
    utterance = Utterance(SETTINGS, preroll, meter.measure())
    signs = [*utterance.earlier_signs, *(sign for frame in heard[press:] if (sign := utterance.hear(frame)))]
    return utterance, signs


def transcript(utterance: Utterance) -> Transcript:
    return utterance.transcript("v", Recognition("", ()), model="", audio_s=1.0, finalise_ms=0.0)


def room(length_s: float, level_dbfs: float = -70.0) -> Samples:
    return at_level(RNG.standard_normal(round(length_s * RATE_HZ)), level_dbfs)


@pytest.fixture(scope="module")
def sentence() -> Speech:
    return demonstration_speech()[0]


def test_a_loud_fan_alone_ends_in_nothing_said() -> None:
    utterance, signs = visit(room(30.0) + at_level(fan(30.0, np.random.default_rng(3)), -20.0), 15.0)
    assert signs == [Sign.NOTHING_SAID]
    assert utterance.speech_started_s is None


@pytest.mark.parametrize("level_dbfs", [-50.0, -48.0])
def test_quiet_speech_in_a_quiet_room_is_found_and_told_to_be_too_quiet(sentence: Speech, level_dbfs: float) -> None:
    sound = room(26.0)
    lay(spoken_at(sentence, level_dbfs), sound, 16.0)
    utterance, signs = visit(sound, 15.0)
    assert signs == [Sign.STARTED, Sign.ENDED]
    assert transcript(utterance).too_quiet


@pytest.mark.parametrize(("level_dbfs", "too_quiet"), [(-48.0, True), (-40.0, False)])
def test_quiet_speech_is_told_from_louder_speech_in_noise_too(
    sentence: Speech, level_dbfs: float, *, too_quiet: bool
) -> None:
    sound = room(26.0) + at_level(fan(26.0, np.random.default_rng(3)), level_dbfs - 8.0)
    lay(spoken_at(sentence, level_dbfs), sound, 16.0)
    utterance, signs = visit(sound, 15.0)
    assert signs == [Sign.STARTED, Sign.ENDED]
    assert transcript(utterance).too_quiet is too_quiet


@pytest.mark.parametrize(("usual_dbfs", "too_quiet"), [(-47.0, True), (-52.0, False)])
def test_the_shops_own_sound_does_not_make_a_visitor_loud_enough(usual_dbfs: float, *, too_quiet: bool) -> None:
    utterance = Utterance(SETTINGS, (), Background(usual_dbfs + 1.0, usual_dbfs, 3.0))
    for i in range(40):
        utterance.hear(Frame(0.03, voiced=True, level=Loudness(-43.0, 0.1), low_dbfs=(-43.0, -43.6)[i % 2]))
    assert transcript(utterance).too_quiet is too_quiet


def test_clipped_speech_is_found_and_told_to_be_too_loud(sentence: Speech) -> None:
    sound = room(26.0)
    lay(spoken_at(sentence, 3.0), sound, 16.0)
    utterance, signs = visit(sound, 15.0)
    assert signs == [Sign.STARTED, Sign.ENDED]
    assert transcript(utterance).too_loud
    assert not transcript(utterance).too_quiet


def test_bangs_while_nobody_speaks_are_not_too_loud(sentence: Speech) -> None:
    sound = room(26.0)
    lay(spoken_at(sentence, -30.0), sound, 16.0)
    for at_s in (15.3, 15.5, 21.0, 21.2):
        sound[round(at_s * RATE_HZ) : round((at_s + 0.02) * RATE_HZ)] = 1.0
    utterance, signs = visit(sound, 15.0)
    assert signs[0] is Sign.STARTED
    assert not transcript(utterance).too_loud


def test_an_offset_of_the_microphone_hides_no_speech(sentence: Speech) -> None:
    sound = room(26.0) + 0.02
    lay(spoken_at(sentence, -46.0), sound, 16.0)
    assert visit(sound, 15.0)[1] == [Sign.STARTED, Sign.ENDED]


def test_friends_who_talked_before_the_press_do_not_make_a_visitor_unheard() -> None:
    speeches = demonstration_speech()
    sound = room(72.0) + at_level(fan(72.0, np.random.default_rng(3)), -45.0)
    for number, speech in enumerate(speeches[1:3]):
        lay(spoken_at(speech, -30.0), sound, 54.0 + 3.0 * number)
    lay(spoken_at(speeches[0], -30.0), sound, 61.5)
    assert visit(sound, 60.0)[1] == [Sign.STARTED, Sign.ENDED]


def test_an_ear_that_has_only_started_hears_a_visitor(sentence: Speech) -> None:
    sound = room(12.0)
    lay(spoken_at(sentence, -30.0), sound, 1.0)
    utterance, signs = visit(sound, 0.5)
    assert signs == [Sign.STARTED, Sign.ENDED]
    assert utterance.speech_started_s == pytest.approx(0.5, abs=0.1)


def test_a_cough_before_the_first_word_does_not_end_a_visit(sentence: Speech) -> None:
    sound = room(30.0)
    start = round(sentence.start_s * RATE_HZ)
    cough = spoken_at(sentence, -20.0).samples[start : start + RATE_HZ // 4]
    sound[16 * RATE_HZ : 16 * RATE_HZ + len(cough)] += cough
    utterance, signs = visit(sound[: 20 * RATE_HZ], 15.0)
    assert signs == [Sign.STARTED]
    assert utterance.speech_started_s == pytest.approx(1.0, abs=0.1)
    lay(spoken_at(sentence, -30.0), sound, 20.0)
    assert visit(sound, 15.0)[1] == [Sign.STARTED, Sign.ENDED]


def test_an_answer_of_one_word_ends_a_visit_when_the_recogniser_has_heard_it(sentence: Speech) -> None:
    sound = room(30.0)
    start = round(sentence.start_s * RATE_HZ)
    sound[16 * RATE_HZ : 16 * RATE_HZ + RATE_HZ // 4] += sentence.samples[start : start + RATE_HZ // 4]
    heard = frames(sound)
    utterance = Utterance(SETTINGS)
    assert [sign for frame in heard[500:600] if (sign := utterance.hear(frame))] == [Sign.STARTED]
    utterance.hear_words("")
    assert utterance.hear(heard[600]) is None
    utterance.hear_words("no")
    assert utterance.hear(heard[601]) is Sign.ENDED


# --- the yardstick ---


def test_speech_has_its_known_cut_points_level_and_ratio(sentence: Speech) -> None:
    silence = np.zeros(RATE_HZ)
    tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(RATE_HZ) / RATE_HZ)
    speech = measured("tone", np.concatenate((silence, tone, silence)))
    assert (speech.start_s, speech.end_s) == (1.0, 2.0)
    assert active_dbfs(speech.samples) == pytest.approx(-23.0, abs=0.05)
    assert active_dbfs(spoken_at(speech, -30.0).samples) == pytest.approx(-30.0, abs=0.01)
    both = joined(speech, spoken_at(speech, -50.0), 0.5)
    assert (both.start_s, both.end_s) == (1.0, 3.5)
    assert is_active(both.samples)[260:340].all()
    bed = at_level(RNG.standard_normal(8 * RATE_HZ), -40.0)
    assert dbfs(bed) == pytest.approx(-40.0, abs=0.01)
    lay(spoken_at(speech, -30.0), bed, 3.0)
    assert dbfs(bed[3 * RATE_HZ : 4 * RATE_HZ]) == pytest.approx(-29.6, abs=0.2)
    assert dbfs(bed[5 * RATE_HZ :]) == pytest.approx(-40.0, abs=0.2)
    with pytest.raises(ValueError, match="does not fit"):
        lay(speech, bed, 7.0)
    with pytest.raises(ValueError, match="no speech"):
        measured("nothing", silence)


def test_figures_count_what_was_found_and_what_was_right() -> None:
    true = Visit(10.0, 11.0, 13.0)
    said = [
        Said(11.1, 14.6),  # right
        Said(10.5, 12.0),  # a false start, and cut short
        Said(11.3, 15.0),  # late, both
        Said(None, None, 18.0),  # unheard
    ]
    row = figures([(true, each) for each in said], 1.5)
    assert (row.start_precision, row.start_recall) == ((1, 3), (1, 4))
    assert (row.end_precision, row.end_recall) == ((1, 3), (1, 4))
    assert (row.cut, row.unheard) == ((1, 4), (1, 4))
    assert row.start_error_ms == pytest.approx(300)
    assert row.end_error_ms == pytest.approx(500)
    silence = alone([Said(), Said(3.0), Said(None, None, 8.0)], 10.0)
    assert silence.false_starts_a_minute == pytest.approx(2.0)
    assert silence.nothing_said == (1, 3)


@pytest.fixture(scope="module")
def results() -> Results:
    scenes = Scenes(demonstration_speech())
    return measure(scenes.spoken(snrs_db=(10, 5), levels_dbfs=(-30.0,)), scenes.alone((-35.0,)), SETTINGS)


def percent(results: Results, what: str, snr_db: int | None, noises: Sequence[str]) -> float:
    """The share `what` of the figures of these noises at this ratio, taken together."""
    rows: list[Share] = [getattr(results.spoken[noise, snr_db], what) for noise in noises]
    return 100 * sum(row.hits for row in rows) / sum(row.of for row in rows)


def test_in_a_quiet_room_every_start_and_end_is_found(results: Results) -> None:
    assert percent(results, "start_recall", None, (CLEAN,)) == 100
    assert percent(results, "end_recall", None, (CLEAN,)) == 100


@pytest.mark.parametrize("noise", STEADY)
def test_speech_ten_decibels_over_a_noise_is_found_from_start_to_end(results: Results, noise: str) -> None:
    assert percent(results, "start_recall", 10, (noise,)) >= 85
    assert percent(results, "end_recall", 10, (noise,)) >= 70
    assert percent(results, "cut", 10, (noise,)) == 0
    assert percent(results, "unheard", 10, (noise,)) == 0


def test_speech_ten_decibels_over_noise_is_nearly_always_found(results: Results) -> None:
    assert percent(results, "start_recall", 10, STEADY) >= 95
    assert percent(results, "end_recall", 10, STEADY) >= 93


def test_speech_five_decibels_over_noise_is_mostly_found(results: Results) -> None:
    assert percent(results, "start_recall", 5, STEADY) >= 80
    assert percent(results, "end_recall", 5, STEADY) >= 85
    assert percent(results, "cut", 5, STEADY) <= 2
    assert percent(results, "unheard", 5, STEADY) <= 2


def test_a_noise_that_begins_with_the_visit_does_not_hide_its_end(results: Results) -> None:
    assert percent(results, "end_recall", 10, ("fan begins", "music begins")) >= 85
    assert percent(results, "cut", 10, tuple(BEGINNING)) == 0


@pytest.mark.parametrize("noise", [CLEAN, "fan", "hum", "music", "babble", "two voices"])
def test_noise_alone_is_not_speech(results: Results, noise: str) -> None:
    assert results.alone[noise].false_starts == 0
    assert results.alone[noise].nothing_said.percent == 100


def test_clatter_alone_is_seldom_speech(results: Results) -> None:
    assert results.alone["shop"].false_starts_a_minute <= 3.5


def test_the_figures_can_be_read_and_seen(results: Results) -> None:
    lines = list(table(results))
    assert len(lines) == 2 + len(results.spoken) + 2 + len(results.alone)
    assert max(map(len, lines)) <= 100
    picture = ElementTree.fromstring(drawn(results.spoken, results.alone))
    texts = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Starts found", "Ends found", "two voices", "10 dB", "100"} <= texts
