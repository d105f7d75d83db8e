"""Training: deterministic, licence-gated, and evaluation that counts what it should."""

import json
from pathlib import Path

import numpy as np
import pytest

from gateway.analysis.embedded import WEIGHTS_DIRECTORY
from gateway.analysis.linear import LinearEngine
from gateway.analysis.training import evaluate, train
from gateway.analysis.training.corrupt import misheard
from gateway.analysis.training.model import topic_folds
from gateway.analysis.training.rows import Row, read_rows
from gateway.analysis.training.scores import macro_f1
from gateway.analysis.training.softmax import SparseRows, fit_softmax

TINY = [
    ("the coffee is wonderful", "positive", "praise", "cafe"),
    ("wonderful staff and great cake", "positive", "praise", "bakery"),
    ("great shop i love it", "positive", "praise", "shop"),
    ("the machine is broken", "neutral", "bug", "cafe"),
    ("broken door and broken lamp", "negative", "bug", "shop"),
    ("the staff was rude and slow", "negative", "other", "bakery"),
    ("where is the exit", "neutral", "question", "cinema"),
    ("where are the toilets", "neutral", "question", "museum"),
]


def write_rows(path: Path, licence: str = "own") -> Path:
    rows = [
        {"id": f"t{number}", "text": text, "origin": "tiny", "licence_class": licence, "topic": topic,
         "sentiment": sentiment, "category": category}
        for number, (text, sentiment, category, topic) in enumerate(TINY)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_training_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    for out in ("a", "b"):
        assert train.main(["--rows", str(rows), "--out", str(tmp_path / out)]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_trained_engine_answers_and_says_what_it_stands_on(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", licence="permissive")
    assert train.main(["--rows", str(rows), "--out", str(tmp_path / "out")]) == 0
    engine = LinearEngine.load(tmp_path / "out")
    assert engine.manifest.licence_classes == ("permissive",)
    assert engine.manifest.rows_by_origin == {"tiny": len(TINY)}
    chances = engine.probabilities(["the", "door", "is", "broken"])["category"]
    assert chances.argmax() == 0


@pytest.mark.parametrize("licence", ["non-commercial", "research-only", "unstated"])
def test_rows_of_another_licence_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], licence: str
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", licence=licence)
    assert train.main(["--rows", str(rows), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert licence in said
    assert "tiny" in said
    assert not (tmp_path / "out").exists()


def test_rows_of_another_licence_are_taken_on_an_explicit_wish_and_recorded(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", licence="non-commercial")
    command = ["--rows", str(rows), "--out", str(tmp_path / "out"), "--accept-other-licences"]
    assert train.main(command) == 0
    assert LinearEngine.load(tmp_path / "out").manifest.licence_classes == ("non-commercial",)


@pytest.mark.parametrize("line", ['{"id": "x"}', "not json", '{"id":"x","text":"y","origin":"z","sentiment":"great"}'])
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f"\n{line}\n")
    assert train.main(["--rows", str(rows), "--out", str(tmp_path / "out")]) == 1
    assert f"{rows}, line 2" in capsys.readouterr().err


def test_a_missing_file_of_rows_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--rows", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_development_and_training_rows_share_no_topic_and_no_text() -> None:
    training, development = read_rows([train.OWN_ROWS]), read_rows([evaluate.DEVELOPMENT_ROWS])
    assert not {row.topic for row in training} & {row.topic for row in development}
    assert not {row.text for row in training} & {row.text for row in development}
    assert {row.licence_class for row in training + development} == {"own"}
    assert len({row.id for row in training + development}) == len(training + development)


def test_folds_keep_a_topic_together() -> None:
    for trained, tested in topic_folds(read_rows([train.OWN_ROWS])):
        assert tested
        assert not {row.topic for row in trained} & {row.topic for row in tested}


def test_the_shipped_engine_reaches_its_floor_on_the_development_rows() -> None:
    engine = LinearEngine.load(WEIGHTS_DIRECTORY)
    rows = read_rows([evaluate.DEVELOPMENT_ROWS])
    scores = evaluate.score(rows, lambda row: evaluate.answers(engine, row.text))
    floors = {"sentiment": 0.72, "category": 0.72, "emotion_family": 0.55, "intensity": 0.57}
    assert {field: scores[field] for field in floors if scores[field] < floors[field]} == {}


def test_evaluation_prints_every_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    assert evaluate.main(["--rows", str(rows)]) == 0
    printed = capsys.readouterr().out
    assert "sentiment" in printed
    assert "category" in printed
    assert "intensity" not in printed


def test_evaluation_without_weights_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--weights", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_macro_f1_is_the_mean_over_labels() -> None:
    assert macro_f1(["a", "a", "b"], ["a", "a", "b"]) == 1.0
    assert macro_f1(["a", "b"], ["a", "a"]) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1(["a", "b"], [None, "b"]) == pytest.approx(0.5)


def test_alternates_and_null_for_empty_speech_are_right() -> None:
    row = Row(id="1", text="x", origin="o", emotion_family="calm", also={"emotion_family": ("pleased",)}, nullable=True)
    assert row.accepts("emotion_family", "pleased")
    assert row.accepts("emotion_family", None)
    assert not row.accepts("emotion_family", "angry")


def test_mishearing_is_reproducible_and_about_as_frequent_as_asked() -> None:
    text = "the staff did not wait for the bill " * 200
    heard = misheard(text, 0.1, ["stuff", "built", "waits"], seed=1)
    assert heard == misheard(text, 0.1, ["stuff", "built", "waits"], seed=1)
    changed = sum(1 for word in heard.split() if word not in text.split())
    assert 0.01 < changed / len(text.split()) < 0.15
    assert misheard(text, 0.0, [], seed=1) == text.strip()


def test_softmax_regression_finds_the_known_optimum() -> None:
    # Two rows with one feature each, label = feature: by symmetry the weights are +w and -w, and the slope
    # condition w = strength * (1 - p) with p = 1 / (1 + exp(-2 w)) gives w = 0.338 for strength 1.
    one, zero = np.array([1.0], dtype=np.float32), np.array([0], dtype=np.intp)
    rows = SparseRows([(zero, one), (zero + 1, one)], 2)
    weights, bias = fit_softmax(rows, np.array([0, 1]), np.ones(2), 2, strength=1.0)
    expected = weights[0, 0]
    assert expected == pytest.approx(0.338, abs=2e-3)
    assert expected == pytest.approx(1 - 1 / (1 + np.exp(-2 * expected)), abs=1e-3)
    assert weights == pytest.approx(np.array([[expected, -expected], [-expected, expected]]), abs=1e-3)
    assert bias == pytest.approx(np.zeros(2), abs=1e-3)
