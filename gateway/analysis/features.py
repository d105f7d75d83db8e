"""The numbers that the linear engine reads from a text: word and character sequences, polarity, flags, length."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gateway.analysis import cues
from gateway.analysis.polarity import Lexicon, polarity

WORD_LENGTHS: Final = (1, 2, 3)
CHARACTER_LENGTHS: Final = (3, 4, 5)
_LONGEST_WORD_CHARACTERS: Final = 30
_MAX_FLAG_COUNT: Final = 2

POLARITY_NAMES: Final = (
    "overall", "good", "bad", "best_window", "worst_window", "best_clause", "worst_clause", "first_clause",
    "last_clause", "strongest", "good_and_bad", "spread", "is_good", "is_bad", "is_flat",
)  # fmt: skip
LENGTH_NAMES: Final = ("length", "short", "long")
HAND_NAMES: Final = (
    *(f"polarity_{name}" for name in POLARITY_NAMES),
    *(f"flag_{name}" for name in cues.FLAGS),
    *LENGTH_NAMES,
)
"""Names of the hand-made features, in the order of `hand_features`."""


class Grams(msgspec.Struct, frozen=True):
    """Counts of the sequences in a text: of one to three words, and of three to five characters within a word."""

    words: Counter[str]
    characters: Counter[str]


def grams(words: Sequence[str]) -> Grams:
    """Count the sequences; word sequences are joined by spaces, words are edged by spaces for the characters."""
    return Grams(Counter(_word_grams(words)), Counter(_character_grams(words)))


def _word_grams(words: Sequence[str]) -> Iterator[str]:
    for length in WORD_LENGTHS:
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])


def _character_grams(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if len(word) > _LONGEST_WORD_CHARACTERS:
            continue
        edged = f" {word} "
        for length in CHARACTER_LENGTHS:
            for start in range(len(edged) - length + 1):
                yield edged[start : start + length]


def hand_features(words: Sequence[str], lexicon: Lexicon) -> list[float]:
    """Return the features of `HAND_NAMES`, each about within -1..1."""
    found = polarity(words, lexicon)
    flags = [min(count, _MAX_FLAG_COUNT) / _MAX_FLAG_COUNT + 0.5 * (count > 0) for count in cues.flags(" ".join(words))]
    return [
        found.overall,
        found.good,
        found.bad,
        found.best_window,
        found.worst_window,
        found.best_clause,
        found.worst_clause,
        found.first_clause,
        found.last_clause,
        found.strongest,
        math.sqrt(max(found.best_window, 0.0) * max(-found.worst_window, 0.0)),
        found.best_clause - found.worst_clause,
        float(found.overall > 0.25),
        float(found.overall < -0.25),
        float(found.good == 0.0 and found.bad == 0.0),
        *flags,
        math.log1p(len(words)) / 4.0,
        float(len(words) <= 4),
        float(len(words) > 25),
    ]
