"""The word error rates of a model, decoded by Vosk in a process of its own."""

import math
import sys
import wave
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numpy")
pytest.importorskip("scipy")

from audio.demo_model import evaluation
from audio.demo_model.evaluation import (
    OUTSIDE,
    STYLE,
    Decoded,
    Evaluation,
    EvaluationError,
    Mistake,
    Score,
    VoiceScore,
    cost,
    edits,
    evaluate,
    summary,
    table,
)
from audio.model import DEMONSTRATION

SPEECH = Path(__file__).parents[3] / "demo" / "speech"
words = st.lists(st.sampled_from("abc"), max_size=8)


def decoded(said: str, heard: str, voice: str = "espeak klatt", test_set: str = STYLE) -> Decoded:
    return Decoded(voice, "klatt" in voice, test_set, said, heard, 1.0, 0.1, 1_000_000)


def evaluation_of(*utterances: Decoded) -> Evaluation:
    return Evaluation(*summary(utterances), 100.0, 2.0, 0.05, 50_000_000)


def write_part(path: Path, *utterances: tuple[str, str, str, str]) -> Path:
    """A part with WAV files of the demonstration, each with engine, voice and text."""
    samples, lines = b"", []
    for file, engine, voice, text in utterances:
        with wave.open(str(SPEECH / file)) as opened:
            sound = opened.readframes(opened.getnframes())
        lines.append(f"{len(samples) // 2}\t{len(sound) // 2}\t{engine}\t{voice}\t{text}\n")
        samples += sound
    path.with_suffix(".i16").write_bytes(samples)
    path.with_suffix(".tsv").write_text("".join(lines), encoding="utf-8")
    return path


@given(words)
def test_what_was_heard_rightly_takes_no_edit(said: list[str]) -> None:
    assert edits(said, said) == 0


@given(words, words)
def test_edits_are_the_same_in_both_directions_and_within_the_lengths(said: list[str], heard: list[str]) -> None:
    found = edits(said, heard)
    assert found == edits(heard, said)
    assert abs(len(said) - len(heard)) <= found <= max(len(said), len(heard))
    assert (found == 0) == (said == heard)


@given(words, words, words)
def test_a_detour_takes_no_fewer_edits(said: list[str], between: list[str], heard: list[str]) -> None:
    assert edits(said, heard) <= edits(said, between) + edits(between, heard)


@given(words, words, st.sampled_from("abc"), st.data())
def test_one_more_word_is_at_most_one_more_edit(
    said: list[str], heard: list[str], word: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(heard)))
    assert abs(edits(said, [*heard[:at], word, *heard[at:]]) - edits(said, heard)) <= 1


@given(words, words, words, words)
def test_common_words_at_the_ends_take_no_edits(
    before: list[str], said: list[str], heard: list[str], after: list[str]
) -> None:
    assert edits([*before, *said, *after], [*before, *heard, *after]) == edits(said, heard)


def test_each_replaced_inserted_and_lost_word_is_an_edit() -> None:
    said = ["the", "pizza", "was", "cold"]
    assert edits(said, ["a", "pizza", "was", "very", "cold"]) == 2
    assert edits(said, ["pizza", "cold"]) == 2


def test_scores_are_kept_by_voice_and_set_and_mistakes_are_listed() -> None:
    scores, mistakes = summary(
        [
            decoded("a b c d", "a b c d"),
            decoded("a b c d", "a b x"),
            decoded("e f", "", "flite slt"),
            decoded("g", "g", test_set=OUTSIDE),
        ]
    )
    assert scores == (
        VoiceScore("espeak klatt", True, OUTSIDE, Score(0, 1, 1, 1)),
        VoiceScore("espeak klatt", True, STYLE, Score(2, 8, 1, 2)),
        VoiceScore("flite slt", False, STYLE, Score(2, 2, 0, 1)),
    )
    assert mistakes == (Mistake("espeak klatt", "a b c d", "a b x"), Mistake("flite slt", "e f", ""))


def test_rates_are_of_the_chosen_voices_and_sets() -> None:
    found = evaluation_of(
        decoded("a b c d", "a b c"),
        decoded("a b", "x y", test_set=OUTSIDE),
        decoded("a b c d", "a b c d", "flite slt"),
    )
    assert found.score(STYLE, is_held_out=True).rate == pytest.approx(0.25)
    assert found.score(STYLE).rate == pytest.approx(1 / 8)
    assert found.score(voice="flite slt").rate == 0.0
    assert found.mixture_rate(is_held_out=True) == pytest.approx(0.9 * 0.25 + 0.1 * 1.0)
    assert math.isnan(found.mixture_rate("flite slt"))
    assert found.real_time_factor == pytest.approx(0.02)


def test_no_words_have_no_rate() -> None:
    assert math.isnan(Score().rate)


def test_the_table_has_held_out_voices_first_and_both_totals() -> None:
    found = evaluation_of(
        decoded("a b c d", "a b c d", "flite slt"),
        decoded("a b c d", "a b c"),
        decoded("a b", "a", test_set=OUTSIDE),
    )
    assert table(found).splitlines()[2:] == [
        "| espeak klatt | no | 25.0 % of 4 | 50.0 % of 2 | 27.5 % |",
        "| flite slt | yes | 0.0 % of 4 | - | - |",
        "| **all held-out voices** | no | 25.0 % of 4 | 50.0 % of 2 | 27.5 % |",
        "| all voices of the training | yes | 0.0 % of 4 | - | - |",
    ]
    assert cost(found) == (
        "Of 100 s of sound each second took 0.020 s of processing; loading took 50 ms, and all of it 50 MB.\n"
    )


def test_an_evaluation_survives_json() -> None:
    found = evaluation_of(decoded("a b", "a"), decoded("a", "a", "flite slt"))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Evaluation) == found


@pytest.mark.servers
def test_vosk_decodes_a_part_with_a_model(tmp_path: Path) -> None:
    style = write_part(
        tmp_path / "style",
        ("pizza.wav", "espeak", "en-us+iven3", "we come every friday for the pizza"),
        ("carts.wav", "flite", "slt", "something else is said"),
    )
    outside = write_part(
        tmp_path / "out", ("mirror.wav", "espeak", "en-us+klatt3", "the mirror in the fitting room is broken")
    )
    found = evaluate(DEMONSTRATION, {STYLE: style, OUTSIDE: outside})
    assert {(entry.voice, entry.is_held_out, entry.test_set) for entry in found.scores} == {
        ("espeak iven", True, STYLE),
        ("espeak klatt", True, OUTSIDE),
        ("flite slt", False, STYLE),
    }
    assert found.score(is_held_out=True).errors == 0
    assert found.score(STYLE, "flite slt").rate > 0.5
    assert [mistake.voice for mistake in found.mistakes] == ["flite slt"]
    seconds_of_pads = 3 * 2 * evaluation.PAD_S
    assert 5 < found.audio_s - seconds_of_pads < 15
    assert 0 < found.decode_s < found.audio_s
    assert found.load_s > 0
    assert 10e6 < found.memory_bytes < 300e6


@pytest.mark.servers
def test_a_folder_without_a_model_is_said_in_one_sentence(tmp_path: Path) -> None:
    part = write_part(tmp_path / "style", ("pizza.wav", "flite", "slt", "pizza"))
    with pytest.raises(EvaluationError, match=r"was not evaluated \(exit status 1\): there is no model at"):
        evaluate(tmp_path / "nothing", {STYLE: part})


@pytest.mark.servers
def test_a_part_that_is_not_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="was not evaluated"):
        evaluate(DEMONSTRATION, {STYLE: tmp_path / "nothing"})


def test_vosk_and_pynini_are_kept_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pynini", sys)
    assert evaluation.main([str(DEMONSTRATION), f"{STYLE}={tmp_path}"]) == 1
    assert "do not work in one process" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["model"], ["model", "part"]])
def test_wrong_arguments_are_answered_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluation.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err
