"""Softmax regression on sparse rows, by limited-memory BFGS; deterministic, numpy alone."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.analysis.vectors import Vector

Floats = NDArray[np.float64]

_MEMORY: Final = 10
_MAX_STEPS: Final = 300
_TOLERANCE: Final = 1e-4
_SUFFICIENT_DECREASE: Final = 1e-4
_SHORTEST_STEP: Final = 1e-10


class SparseRows:
    """A matrix of few non-zero entries, rows times features."""

    def __init__(self, vectors: Sequence[Vector], width: int) -> None:
        lengths = [len(indices) for indices, _ in vectors]
        self.height, self.width = len(vectors), width
        self._rows = np.repeat(np.arange(len(vectors)), lengths)
        self._columns = np.concatenate([indices for indices, _ in vectors])
        self._values = np.concatenate([values for _, values in vectors]).astype(np.float64)

    def times(self, weights: Floats) -> Floats:
        """Return rows x outputs for features x outputs."""
        products = (np.bincount(self._rows, self._values * column[self._columns], self.height) for column in weights.T)
        return np.stack(list(products), axis=1)

    def transposed_times(self, scores: Floats) -> Floats:
        """Return features x outputs for rows x outputs."""
        products = (np.bincount(self._columns, self._values * column[self._rows], self.width) for column in scores.T)
        return np.stack(list(products), axis=1)


def fit_softmax(
    rows: SparseRows, labels: NDArray[np.intp], row_weights: Floats, classes: int, strength: float
) -> tuple[Floats, Floats]:
    """Return weights (features x classes) and bias (classes) for labels 0..classes-1.

    Minimises the rows' weighted cross-entropy plus half the squared weights over `strength`; the bias is free.
    """
    one_hot = np.eye(classes)[labels]

    def loss(flat: Floats) -> tuple[float, Floats]:
        packed = flat.reshape(rows.width + 1, classes)
        weights, bias = packed[:-1], packed[-1]
        scores = rows.times(weights) + bias
        scores -= scores.max(axis=1, keepdims=True)
        logarithms = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        value = -float(row_weights @ (logarithms * one_hot).sum(axis=1)) + float((weights**2).sum()) / (2 * strength)
        slope = (np.exp(logarithms) - one_hot) * row_weights[:, None]
        gradient = np.vstack([rows.transposed_times(slope) + weights / strength, slope.sum(axis=0)])
        return value, gradient.ravel()

    packed = minimise(loss, np.zeros((rows.width + 1) * classes)).reshape(rows.width + 1, classes)
    return packed[:-1], packed[-1]


def minimise(function: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    """Return where a smooth function (value and gradient) is least, by L-BFGS with a backtracking line search."""
    history: deque[tuple[Floats, Floats]] = deque(maxlen=_MEMORY)
    point = start
    value, gradient = function(point)
    for _ in range(_MAX_STEPS):
        direction = -_scaled(gradient, history)
        slope = float(direction @ gradient)
        step = 1.0 if history else 1.0 / max(1.0, float(np.abs(gradient).sum()))
        while True:
            moved = point + step * direction
            new_value, new_gradient = function(moved)
            if new_value <= value + _SUFFICIENT_DECREASE * step * slope or step < _SHORTEST_STEP:
                break
            step /= 2
        shift, turn = moved - point, new_gradient - gradient
        if float(shift @ turn) > _SHORTEST_STEP:
            history.append((shift, turn))
        point, value, gradient = moved, new_value, new_gradient
        if float(np.abs(gradient).max()) < _TOLERANCE or step < _SHORTEST_STEP:
            break
    return point


def _scaled(gradient: Floats, history: Sequence[tuple[Floats, Floats]] | deque[tuple[Floats, Floats]]) -> Floats:
    """Apply the estimated inverse curvature (the two-loop recursion of Nocedal 1980)."""
    result = gradient.copy()
    shares = []
    for shift, turn in reversed(history):
        share = float(shift @ result) / float(shift @ turn)
        shares.append(share)
        result -= share * turn
    if history:
        shift, turn = history[-1]
        result *= float(shift @ turn) / float(turn @ turn)
    for (shift, turn), share in zip(history, reversed(shares), strict=True):
        result += (share - float(turn @ result) / float(shift @ turn)) * shift
    return result
