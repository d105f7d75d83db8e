"""Macro-F1: the mean over the labels of the harmonic mean of precision and recall."""

from collections.abc import Sequence


def macro_f1(truth: Sequence[str], answers: Sequence[str | None]) -> float:
    """Return macro-F1 of 0..1 over the labels that occur in the truth; null is an answer that is never right."""
    labels = sorted(set(truth))
    return sum(_f1(label, truth, answers) for label in labels) / len(labels)


def _f1(label: str, truth: Sequence[str], answers: Sequence[str | None]) -> float:
    pairs = list(zip(truth, answers, strict=True))
    hits = sum(1 for right, answer in pairs if right == label == answer)
    named = sum(1 for right, answer in pairs if (right == label) + (answer == label))
    wrong = named - hits
    return 2 * hits / (2 * hits + wrong) if hits else 0.0
