import random
from typing import Any

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")

from audio.demo_model import disguise as disguises  # noqa: E402
from audio.demo_model.disguise import band_blanked, disguise, formants_moved  # noqa: E402
from audio.demo_model.mfcc import CEPSTRA, COSINES, RATE_HZ, mfcc  # noqa: E402

FRAMES = 200


def features(seed: int = 1) -> Any:
    noise = np.random.default_rng(seed).normal(0.0, 1000.0, RATE_HZ * 2 + 400)
    return torch.from_numpy(mfcc(noise)[:FRAMES])


def energies(coefficients: Any) -> Any:
    """The logarithms of the filters' energies."""
    return coefficients.double() @ torch.from_numpy(np.linalg.inv(COSINES.astype(np.float64)))


def test_without_displacement_the_formants_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disguises, "DISPLACEMENT", 0.0)
    assert np.allclose(formants_moved(random.Random(1)), np.eye(CEPSTRA))


def test_moved_formants_lie_within_a_few_filters() -> None:
    peak = torch.zeros(CEPSTRA, dtype=torch.float64)
    peak[20] = 1.0
    for seed in range(50):
        moved = energies(
            (peak @ torch.from_numpy(COSINES).double()) @ torch.from_numpy(formants_moved(random.Random(seed)))
        )
        assert 15 <= int(moved.argmax()) <= 25


def test_a_blanked_band_says_nothing_and_the_others_stay() -> None:
    before = energies(features() - features().mean(0))
    matrix = torch.from_numpy(band_blanked(random.Random(4)))
    after = energies((features() - features().mean(0)).double() @ matrix)
    blank = [place for place in range(CEPSTRA) if bool(after[:, place].abs().max() < 1e-3)]
    assert 1 <= len(blank) <= disguises.WIDEST_BAND
    others = [place for place in range(CEPSTRA) if place not in blank]
    assert torch.allclose(before[:, others], after[:, others], atol=1e-3)


def test_each_utterance_gets_a_disguise_of_its_own_and_keeps_its_course() -> None:
    batch = torch.stack([features(), features(), features()])
    plain = batch.clone()
    disguise(batch, torch.ones(CEPSTRA), random.Random(2))
    assert torch.isfinite(batch).all()
    assert not torch.allclose(batch[0], batch[1])
    for one, before in zip(batch, plain, strict=True):
        loud = torch.corrcoef(torch.stack([one[:, 0], before[:, 0]]))[0, 1]
        assert loud > 0.6


def test_the_same_seed_gives_the_same_disguise() -> None:
    first, second = features()[None].clone(), features()[None].clone()
    disguise(first, torch.ones(CEPSTRA), random.Random(7))
    disguise(second, torch.ones(CEPSTRA), random.Random(7))
    assert torch.equal(first, second)
