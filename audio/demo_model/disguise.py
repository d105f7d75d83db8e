"""Features as if somebody else had spoken: few voices are learnt from, and all others are to be understood.

Four things that differ from speaker to speaker and from microphone to microphone are drawn for each utterance: where
the formants lie, how sharp they are, the mean spectrum, and a band that says nothing. All act on the logarithms of the
filters' energies, which the coefficients are a linear map of, so that they take one small matrix for each utterance.
"""

import random
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio.demo_model.mfcc import CEPSTRA, COSINES

P_EACH: Final = 0.6
"""The chance of each of the four."""
KNOTS: Final = (0, 8, 16, 24, 32, 39)
"""Filters at which a displacement is drawn; those between are displaced by a straight line."""
DISPLACEMENT: Final = 0.8
"""Its standard deviation, in filters: about 60 mel."""
SHARPNESS: Final = (0.8, 1.25)
"""How much the features move around their mean over the utterance."""
SPECTRUM_COEFFICIENTS: Final = 13
SPECTRUM: Final = 0.35
"""Standard deviation of the mean spectrum, as a part of each coefficient's own."""
WIDEST_BAND: Final = 6
"""In filters."""

_INVERSE: Final = np.linalg.inv(COSINES.astype(np.float64))


def disguise(features: Tensor, deviation: Tensor, rng: random.Random) -> None:
    """Change each utterance of `features` (utterances, frames, 40) in place. `deviation` (40,): of each coefficient."""
    for utterance in features:
        mean = utterance.mean(0)
        moved = utterance - mean
        change = np.eye(CEPSTRA)
        if rng.random() < P_EACH:
            change = formants_moved(rng)
            mean = mean @ torch.from_numpy(change).float()
        if rng.random() < P_EACH:
            change = change @ band_blanked(rng)
        if rng.random() < P_EACH:
            change = change * rng.uniform(*SHARPNESS)
        if rng.random() < P_EACH:
            drawn = torch.tensor([rng.gauss(0.0, SPECTRUM) for _ in range(SPECTRUM_COEFFICIENTS)])
            mean = mean.clone()
            mean[:SPECTRUM_COEFFICIENTS] += drawn * deviation[:SPECTRUM_COEFFICIENTS]
        torch.addmm(mean, moved, torch.from_numpy(change).float(), out=utterance)


def formants_moved(rng: random.Random) -> NDArray[np.float64]:
    """The matrix (40, 40) for coefficients of which each filter is taken from a place nearby."""
    displaced = np.interp(np.arange(CEPSTRA), KNOTS, [rng.gauss(0.0, DISPLACEMENT) for _ in KNOTS])
    places = np.clip(np.arange(CEPSTRA) + displaced, 0.0, CEPSTRA - 1.0)
    below = np.minimum(places.astype(int), CEPSTRA - 2)
    part = places - below
    taken = np.zeros((CEPSTRA, CEPSTRA))
    taken[below, np.arange(CEPSTRA)] = 1.0 - part
    taken[below + 1, np.arange(CEPSTRA)] = part
    return _on_coefficients(taken)


def band_blanked(rng: random.Random) -> NDArray[np.float64]:
    """The matrix (40, 40) for coefficients without what some neighbouring filters say."""
    width = rng.randint(1, WIDEST_BAND)
    start = rng.randint(0, CEPSTRA - width)
    kept = np.eye(CEPSTRA)
    kept[start : start + width] = 0.0
    return _on_coefficients(kept)


def _on_coefficients(on_filters: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = _INVERSE @ on_filters @ COSINES
    return product
