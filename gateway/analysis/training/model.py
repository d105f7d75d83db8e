"""From rows to a linear engine: vocabulary, heads, and the probabilities below which a head stays silent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.analysis.features import HAND_NAMES
from gateway.analysis.linear import Head, LinearEngine, Manifest
from gateway.analysis.polarity import Lexicon
from gateway.analysis.text import words_of
from gateway.analysis.training.rows import FIELDS, Row
from gateway.analysis.training.scores import macro_f1
from gateway.analysis.training.softmax import SparseRows, fit_softmax
from gateway.analysis.vectors import Vocabulary

ENGINE_NAME: Final = "linear-1"
STRENGTH: Final = 0.7
"""Inverse of the L2 penalty; like the scales and weights below found by cross-validation by topic."""
OWN_WEIGHT: Final = 4.0
OTHER_WEIGHT: Final = 0.2
WEAK_WEIGHT: Final = 0.4
BALANCE_EXPONENT: Final = 0.5
MIN_TEXTS_WORDS: Final = 2
MIN_TEXTS_CHARACTERS: Final = 3
FOLDS: Final = 5
TOLERATED_LOSS: Final = 0.005
"""How much macro-F1 a threshold may cost: it buys silence instead of a guess."""

_FALLBACKS: Final[Mapping[str, str | None]] = {"sentiment": "neutral", "category": "other", "emotion_family": None}
_THRESHOLDS: Final = tuple(step / 50 for step in range(31))


def train(rows: Sequence[Row], lexicon: Lexicon, classes: tuple[str, ...]) -> LinearEngine:
    """Train every head on the rows that have its field; thresholds come from cross-validation over the own rows."""
    thresholds = choose_thresholds(rows, lexicon)
    return _fit(rows, lexicon, thresholds, classes)


def _fit(
    rows: Sequence[Row], lexicon: Lexicon, thresholds: Mapping[str, float], classes: tuple[str, ...]
) -> LinearEngine:
    texts = [words_of(row.text) for row in rows]
    vocabulary = Vocabulary.learn(texts, lexicon, min_words=MIN_TEXTS_WORDS, min_characters=MIN_TEXTS_CHARACTERS)
    vectors = [vocabulary.vector(text) for text in texts]
    weights, biases, heads = [], [], []
    for field, labels in FIELDS.items():
        chosen = [index for index, row in enumerate(rows) if row.label(field) is not None]
        if not chosen:
            weights.append(np.zeros((len(vocabulary), len(labels))))
            biases.append(np.zeros(len(labels)))
        else:
            numbers = np.array([labels.index(rows[index].label(field) or "") for index in chosen], dtype=np.intp)
            matrix = SparseRows([vectors[index] for index in chosen], len(vocabulary))
            row_weights = _row_weights([rows[index] for index in chosen], field, numbers)
            head_weights, bias = fit_softmax(matrix, numbers, row_weights, len(labels), STRENGTH)
            weights.append(head_weights)
            biases.append(bias)
        heads.append(Head(field=field, labels=labels, threshold=thresholds.get(field, 0.0)))
    manifest = Manifest(
        name=ENGINE_NAME,
        heads=tuple(heads),
        hand_features=HAND_NAMES,
        licence_classes=classes,
        rows_by_origin=dict(sorted(Counter(row.origin for row in rows).items())),
    )
    packed = np.hstack(weights).astype(np.float16).astype(np.float32)
    return LinearEngine(manifest, vocabulary, packed, np.concatenate(biases).astype(np.float32))


def _row_weights(rows: Sequence[Row], field: str, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return a weight for each row: by origin, by how sure its label is, and against the labels' imbalance."""
    base = np.array([_base_weight(row, field) for row in rows])
    totals = np.bincount(numbers, base)
    present = totals[totals > 0]
    balance = np.where(totals > 0, (present.mean() / np.maximum(totals, 1e-9)) ** BALANCE_EXPONENT, 0.0)
    return base * balance[numbers]


def _base_weight(row: Row, field: str) -> float:
    weight = OWN_WEIGHT if row.licence_class == "own" else OTHER_WEIGHT
    return weight * WEAK_WEIGHT if field in row.weak else weight


def topic_folds(rows: Sequence[Row]) -> list[tuple[list[Row], list[Row]]]:
    """Split the own rows into parts for training and testing, whole topics together; other rows only train."""
    topics = sorted({row.topic for row in rows if row.topic is not None})
    folds = []
    for fold in range(FOLDS):
        held = set(topics[fold::FOLDS])
        tested = [row for row in rows if row.topic in held]
        if tested:
            folds.append(([row for row in rows if row.topic not in held], tested))
    return folds


def cross_validated(rows: Sequence[Row], lexicon: Lexicon) -> list[tuple[Row, dict[str, NDArray[np.float32]]]]:
    """Return each own row with the probabilities by a model that has seen no row of its topic."""
    answers = []
    for trained, tested in topic_folds(rows):
        engine = _fit(trained, lexicon, {}, ())
        answers += [(row, engine.probabilities(words_of(row.text))) for row in tested]
    return answers


def choose_thresholds(rows: Sequence[Row], lexicon: Lexicon) -> dict[str, float]:
    """Return for each field the highest probability that may be asked for at almost no loss of macro-F1."""
    answers = cross_validated(rows, lexicon)
    chosen = {}
    for field, fallback in _FALLBACKS.items():
        known = [(row, chances[field]) for row, chances in answers if row.label(field) is not None]
        scores = {threshold: _score(field, known, threshold, fallback) for threshold in _THRESHOLDS} if known else {}
        best = max(scores.values(), default=0.0)
        chosen[field] = max((step for step, score in scores.items() if score >= best - TOLERATED_LOSS), default=0.0)
    return chosen


def _score(
    field: str, known: Sequence[tuple[Row, NDArray[np.float32]]], threshold: float, fallback: str | None
) -> float:
    labels = FIELDS[field]
    truth = [row.label(field) or "" for row, _ in known]
    answers = [labels[int(chances.argmax())] if float(chances.max()) >= threshold else fallback for _, chances in known]
    return macro_f1(truth, answers)
