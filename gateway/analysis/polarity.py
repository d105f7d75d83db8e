"""How good or bad the words of a text are: a word list with values, negation, and the course over the text.

The word list is VADER's (Hutto and Gilbert 2014, MIT licence), with own values for words that mean something else in
a shop (`cold`, `queue`, `like`); the squashing of a sum into -1..1 and its constant 15 are VADER's too.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from gateway.analysis.text import word_set

NEGATIONS: Final = word_set(
    """
    not no never none nobody nothing neither nor without hardly barely cannot can't couldn't don't doesn't didn't isn't
    wasn't weren't aren't won't wouldn't shouldn't haven't hasn't hadn't ain't cant dont doesnt didnt isnt wasnt wont
    """
)
CONTRASTS: Final = word_set(
    "but however although though except unfortunately shame pity only still yet unless until then"
)
_BOOSTERS: Final = word_set(
    """
    very really so absolutely extremely incredibly totally super completely truly exceptionally most such always
    especially particularly quite way too utterly deeply
    """
)
_DAMPERS: Final = word_set("slightly somewhat bit little rather fairly almost sometimes kinda partly")

_NEGATION_REACH: Final = 3
_NEGATED: Final = -0.74
_BOOST: Final = 0.3
_SQUASH: Final = 15.0
_WINDOW_WORDS: Final = 6
_LONGEST_PHRASE_WORDS: Final = 4


class Polarity(msgspec.Struct, frozen=True, kw_only=True):
    """Values of -1..1 for the whole text and for its best and worst stretch, and the masses behind them."""

    overall: float
    good: float
    bad: float
    best_window: float
    worst_window: float
    best_clause: float
    worst_clause: float
    first_clause: float
    last_clause: float
    strongest: float


class Lexicon:
    """Words and phrases with values from -4 (very bad) to 4 (very good)."""

    def __init__(self, values: dict[str, float]) -> None:
        self._values = values
        self._openers = frozenset(entry.split(" ", 1)[0] for entry in values if " " in entry)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> "Lexicon":
        """Read files with one entry a line, `words<TAB>value`; a later file corrects an earlier one."""
        values: dict[str, float] = {}
        for path in paths:
            for line in path.read_text(encoding="utf-8").splitlines():
                if line and not line.startswith("#"):
                    words, _, value = line.partition("\t")
                    values[words] = float(value)
        return cls(values)

    def __contains__(self, word: str) -> bool:
        return word in self._values

    def values(self, words: Sequence[str]) -> list[float]:
        """Return a value for each word, negation and boosters applied; a phrase has its value at its first word."""
        values = [0.0] * len(words)
        position = 0
        while position < len(words):
            length, value = self._entry(words, position)
            if value:
                values[position] = _in_context(value, words[max(0, position - _NEGATION_REACH) : position])
            position += length
        return values

    def _entry(self, words: Sequence[str], position: int) -> tuple[int, float]:
        if words[position] in self._openers:
            for length in range(min(_LONGEST_PHRASE_WORDS, len(words) - position), 1, -1):
                value = self._values.get(" ".join(words[position : position + length]))
                if value is not None:
                    return length, value
        return 1, self._values.get(words[position], 0.0)


def _in_context(value: float, before: Sequence[str]) -> float:
    sign = math.copysign(1.0, value)
    negated = False
    for distance, word in enumerate(reversed(before), start=1):
        if word in CONTRASTS:
            break
        if word in _BOOSTERS:
            value += sign * _BOOST / distance
        elif word in _DAMPERS:
            value -= sign * _BOOST / distance
        elif word in NEGATIONS:
            negated = True
    return value * _NEGATED if negated else value


def squash(total: float) -> float:
    """Bring a sum of values into -1..1."""
    return total / math.sqrt(total * total + _SQUASH)


def clauses(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return the stretches between contrasts (`but`, `however`) as (start, end); never empty for a text with words."""
    starts = [0, *(index for index, word in enumerate(words) if index and word in CONTRASTS)]
    return list(zip(starts, [*starts[1:], len(words)], strict=True))


def polarity(words: Sequence[str], lexicon: Lexicon) -> Polarity:
    """Measure a text, given as its words in lower case."""
    values = lexicon.values(words)
    running = [0.0]
    for value in values:
        running.append(running[-1] + value)
    ends = range(min(_WINDOW_WORDS, len(values)), len(values) + 1)
    windows = [squash(running[end] - running[max(0, end - _WINDOW_WORDS)]) for end in ends]
    parts = [squash(running[end] - running[start]) for start, end in clauses(words)]
    return Polarity(
        overall=squash(running[-1]),
        good=squash(sum(value for value in values if value > 0)),
        bad=squash(sum(value for value in values if value < 0)),
        best_window=max(windows),
        worst_window=min(windows),
        best_clause=max(parts),
        worst_clause=min(parts),
        first_clause=parts[0],
        last_clause=parts[-1],
        strongest=max((abs(value) for value in values), default=0.0) / 4.0,
    )
