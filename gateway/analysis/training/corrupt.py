"""Mishears texts the way a recogniser does, to measure how the analysis bears it."""

import random
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

SUBSTITUTED_SHARE: Final = 0.7
DELETED_SHARE: Final = 0.2
"""Kinds of recognition errors; what remains are insertions. Small offline models err in about these shares."""

_SOUND_ALIKES: Final = {
    "wait": "weight", "weight": "wait", "their": "there", "there": "their", "they're": "there", "no": "know",
    "know": "no", "staff": "stuff", "stuff": "staff", "here": "hear", "hear": "here", "for": "four", "four": "for",
    "to": "two", "two": "to", "too": "to", "rude": "rood", "bad": "bed", "bed": "bad", "meal": "mail", "mail": "male",
    "kiosk": "key osk", "queue": "cue", "by": "buy", "buy": "by", "our": "are", "are": "our", "won": "one",
    "one": "won", "piece": "peace", "whole": "hole", "great": "grate", "fair": "fare", "price": "prize",
    "can't": "can", "waste": "waist", "brake": "break", "broke": "bloke", "bill": "bell", "would": "wood",
    "i'm": "um", "very": "fairy", "cold": "called", "nice": "ice", "but": "bud", "and": "in", "in": "and",
}  # fmt: skip
_FILLERS: Final = ("the", "a", "uh", "and", "in", "huh", "it", "to")
_MIN_LIKENESS: Final = 0.55


def misheard(text: str, rate: float, vocabulary: Sequence[str], seed: int) -> str:
    """Return the text with about `rate` of its words (0..1) substituted, dropped or doubled by a filler.

    A word becomes a sound-alike or else the most similarly spelt of `vocabulary`. The same seed gives the same text.
    """
    chance = random.Random(f"{seed} {text}")  # noqa: S311 (no secret hangs on it)
    heard: list[str] = []
    for word in text.split():
        if chance.random() >= rate:
            heard.append(word)
            continue
        kind = chance.random()
        if kind < SUBSTITUTED_SHARE:
            heard.append(_like(word, vocabulary))
        elif kind >= SUBSTITUTED_SHARE + DELETED_SHARE:
            heard += [word, chance.choice(_FILLERS)]
    return " ".join(heard)


def _like(word: str, vocabulary: Sequence[str]) -> str:
    if word in _SOUND_ALIKES:
        return _SOUND_ALIKES[word]
    near = get_close_matches(word, vocabulary, n=2, cutoff=_MIN_LIKENESS)
    return next((other for other in near if other != word), "the")
