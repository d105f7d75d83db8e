"""The vocabulary, and from a text to the numbers that the weights are multiplied with."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.analysis.features import HAND_NAMES, grams, hand_features
from gateway.analysis.polarity import Lexicon

WORDS_SCALE: Final = 0.7
CHARACTERS_SCALE: Final = 0.5
"""Shares of the two n-gram blocks beside the hand-made features (1.0), found by cross-validation."""

_WORD_MARK: Final = "w"
_CHARACTER_MARK: Final = "c"

Vector = tuple[NDArray[np.intp], NDArray[np.float32]]


class Vocabulary:
    """Numbers the n-grams; the hand-made features come after them.

    An entry is `w` (words) or `c` (characters) followed by the n-gram. `idf` has the entry's inverse document
    frequency, `log((1 + texts) / (1 + texts with it)) + 1`.
    """

    def __init__(self, entries: Sequence[str], idf: NDArray[np.float32], lexicon: Lexicon) -> None:
        self.entries = tuple(entries)
        self.idf = idf
        self._lexicon = lexicon
        self._words = {entry[1:]: index for index, entry in enumerate(entries) if entry[0] == _WORD_MARK}
        self._characters = {entry[1:]: index for index, entry in enumerate(entries) if entry[0] == _CHARACTER_MARK}

    @classmethod
    def learn(
        cls, texts: Iterable[Sequence[str]], lexicon: Lexicon, *, min_words: int, min_characters: int
    ) -> "Vocabulary":
        """Collect the n-grams that stand in at least `min_words` or `min_characters` of the texts (lists of words)."""
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        total = 0
        for text in texts:
            total += 1
            found = grams(text)
            words.update(found.words.keys())
            characters.update(found.characters.keys())
        counted = [(_WORD_MARK + gram, count) for gram, count in sorted(words.items()) if count >= min_words]
        counted += [
            (_CHARACTER_MARK + gram, count) for gram, count in sorted(characters.items()) if count >= min_characters
        ]
        idf = np.array([math.log((1 + total) / (1 + count)) + 1 for _, count in counted], dtype=np.float16)
        return cls([entry for entry, _ in counted], idf.astype(np.float32), lexicon)

    def __len__(self) -> int:
        return len(self.entries) + len(HAND_NAMES)

    def known_share(self, words: Sequence[str]) -> float:
        """Return which share of the words stands in the vocabulary or the word list; 0.0 for no words."""
        known = sum(1 for word in words if word in self._words or word in self._lexicon)
        return known / len(words) if words else 0.0

    def vector(self, words: Sequence[str]) -> Vector:
        """Return the indices and values that are not zero; each n-gram block has the length of its scale."""
        found = grams(words)
        indices: list[int] = []
        values: list[float] = []
        blocks = (
            (found.words, self._words, WORDS_SCALE),
            (found.characters, self._characters, CHARACTERS_SCALE),
        )
        for counts, numbers, scale in blocks:
            block = {numbers[gram]: 1.0 + math.log(count) for gram, count in counts.items() if gram in numbers}
            weighted = [value * float(self.idf[index]) for index, value in block.items()]
            length = math.sqrt(sum(value * value for value in weighted))
            indices += block
            values += [value * scale / length for value in weighted]
        hand = hand_features(words, self._lexicon)
        indices += range(len(self.entries), len(self))
        values += hand
        return np.array(indices, dtype=np.intp), np.array(values, dtype=np.float32)
