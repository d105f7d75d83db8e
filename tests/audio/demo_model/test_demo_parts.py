import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")

from audio.demo_model import parts, synthesis  # noqa: E402
from audio.demo_model.parts import FeaturePart, PartError, SpeechPart, make_features, make_speech  # noqa: E402
from audio.demo_model.voices import FLITE, Voice  # noqa: E402

JOBS = [(f"word {'x' * number}".strip(), Voice(FLITE, f"voice{number % 3}")) for number in range(45)]


def hum(job: synthesis.Job) -> Any:
    """A sound that differs from job to job."""
    text, _ = job
    return (5000 * np.sin(np.arange(3000 + 100 * len(text)) / (5 + len(text)))).astype(np.int16)


@pytest.fixture(autouse=True)
def _humming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "speak", lambda jobs, workers: [hum(job) for job in jobs])


def failing(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    def speak(jobs: Sequence[synthesis.Job], workers: int) -> list[Any]:
        return [None if job[0] in texts else hum(job) for job in jobs]

    monkeypatch.setattr(synthesis, "speak", speak)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_spoken_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "JOBS_AT_A_TIME", 20)
    make_speech(tmp_path / "speech" / "some", JOBS)
    part = SpeechPart.open(tmp_path / "speech" / "some")
    assert [(item.text, Voice(item.engine, item.voice)) for item in part.utterances] == JOBS
    for number, job in enumerate(JOBS):
        assert np.array_equal(part.sound(number), hum(job))
    assert part.hours == pytest.approx(sum(len(hum(job)) for job in JOBS) / 16000 / 3600)


def test_a_failure_is_left_out_and_counted_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = JOBS + JOBS[5:10]
    failing(monkeypatch, JOBS[4][0])
    with caplog.at_level(logging.INFO):
        part = make_speech(tmp_path / "some", jobs)
    assert [item.text for item in part.utterances] == [text for text, _ in jobs if text != JOBS[4][0]]
    assert "some: 1 of 50 sentences failed and are left out" in caplog.messages
    assert any(message.startswith("some: 50 of 50 sentences spoken") for message in caplog.messages)


def test_many_failures_are_an_error_that_names_the_voices_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, JOBS[1][0], JOBS[4][0])
    with pytest.raises(PartError, match="2 of 45 sentences failed, spoken by these voices: flite voice1"):
        make_speech(tmp_path / "some", JOBS)
    assert not parts.is_whole(tmp_path / "some")
    assert content(tmp_path) == {}


def test_an_interruption_leaves_the_older_part_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_speech(tmp_path / "some", JOBS[:10])
    before = content(tmp_path)

    def interrupted(jobs: Sequence[synthesis.Job], workers: int) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthesis, "speak", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_speech(tmp_path / "some", JOBS)
    assert content(tmp_path) == before
    assert parts.is_whole(tmp_path / "some")


def test_features_hold_every_copy_of_every_utterance_in_order(tmp_path: Path) -> None:
    speech = make_speech(tmp_path / "speech" / "some", JOBS)
    make_features(speech, tmp_path / "features" / "some", copies=2, seed=1, workers=1)
    part = FeaturePart.open(tmp_path / "features" / "some")
    assert [segment.text for segment in part.segments] == [text for text, _ in JOBS for _ in range(2)]
    assert part.rows.dtype == np.float16
    assert sum(len(part.features(number)) for number in range(len(part.segments))) == len(part.rows)
    assert np.isfinite(part.rows).all()
    assert not np.array_equal(part.features(0)[:5], part.features(1)[:5])
    assert part.hours == pytest.approx(len(part.rows) / 100 / 3600)


def test_features_do_not_depend_on_how_many_work_at_them(tmp_path: Path) -> None:
    speech = make_speech(tmp_path / "speech", JOBS)
    make_features(speech, tmp_path / "one" / "some", copies=1, seed=1, workers=1)
    make_features(speech, tmp_path / "two" / "some", copies=1, seed=1, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_another_seed_and_another_name_give_other_features(tmp_path: Path) -> None:
    speech = make_speech(tmp_path / "speech", JOBS[:3])
    some, seeded, named = (
        make_features(speech, tmp_path / name, copies=1, seed=seed).rows
        for name, seed in (("some", 1), ("seeded/some", 2), ("named", 1))
    )
    assert not np.array_equal(some[:20], seeded[:20])
    assert not np.array_equal(some[:20], named[:20])


def test_utterances_with_the_same_sound_are_augmented_differently(tmp_path: Path) -> None:
    speech = make_speech(tmp_path / "speech", [JOBS[0]] * 2)
    part = make_features(speech, tmp_path / "features", copies=1, seed=1)
    assert not np.array_equal(part.features(0)[:20], part.features(1)[:20])


def test_a_part_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    assert not parts.is_whole(tmp_path / "some")
    with pytest.raises(PartError, match=r"some\.tsv cannot be read .* make the part first"):
        SpeechPart.open(tmp_path / "some")


@pytest.mark.parametrize(
    "table",
    [
        "",
        "0\t10\tflite\tslt\n",
        "1\t10\tflite\tslt\thello\n",
        "0\t-10\tflite\tslt\thello\n",
        "0\tten\tflite\tslt\thello\n",
        "0\t5\tflite\tslt\thello\n6\t4\tflite\tslt\thello\n",
        "0\t11\tflite\tslt\thello\n",
        "0\t9\tflite\tslt\thello\n",
        "\n",
    ],
)
def test_a_damaged_part_is_one_error(tmp_path: Path, table: str) -> None:
    (tmp_path / "some.i16").write_bytes(bytes(20))
    (tmp_path / "some.tsv").write_text(table)
    with pytest.raises(PartError, match="make the part again"):
        SpeechPart.open(tmp_path / "some")


def test_features_without_their_rows_are_one_error(tmp_path: Path) -> None:
    speech = make_speech(tmp_path / "speech", JOBS[:2])
    make_features(speech, tmp_path / "features", copies=1, seed=1)
    (tmp_path / "features.f16").unlink()
    with pytest.raises(PartError, match=r"features\.f16 cannot be read"):
        FeaturePart.open(tmp_path / "features")
