"""The linear engine: softmax heads over n-grams and hand-made features; needs numpy alone."""

import zlib
from pathlib import Path
from typing import Final, cast
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.analysis.emotion import emotion_word
from gateway.analysis.engine import Analysis, Category, EmotionFamily, Intensity, Sentiment
from gateway.analysis.features import HAND_NAMES
from gateway.analysis.polarity import Lexicon
from gateway.analysis.summary import summarise
from gateway.analysis.text import has_content, words_of
from gateway.analysis.vectors import Vocabulary

WEIGHTS_FILE: Final = "linear.npz"
VOCABULARY_FILE: Final = "linear_vocabulary.txt"
MANIFEST_FILE: Final = "linear.json"
LEXICON_FILES: Final = ("lexicon.txt", "kiosk_words.txt")

MIN_KNOWN_SHARE: Final = 0.3
"""With fewer known words than this the text is another language or not a text: nothing is claimed about it.
English reviews and questions lie above it for 99 of 100 texts; German, French or Spanish feedback mostly below."""
MAX_WORDS: Final = 2_000
"""Words of a text that are weighed; the rest cannot turn the verdict any more."""


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field: its labels in the order of the columns, and the least probability at which it is claimed."""

    field: str
    labels: tuple[str, ...]
    threshold: float


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the weights are and what they were trained on."""

    name: str
    heads: tuple[Head, ...]
    hand_features: tuple[str, ...]
    licence_classes: tuple[str, ...]
    rows_by_origin: dict[str, int]


class WeightsError(Exception):
    """The weights' files are missing, damaged or belong to another version of the program."""


class LinearEngine:
    """Analyses English transcripts; holds nothing that changes, so any number of threads may share it."""

    def __init__(
        self, manifest: Manifest, vocabulary: Vocabulary, weights: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> None:
        self._manifest = manifest
        self._vocabulary = vocabulary
        self._weights = weights
        self._bias = bias

    @property
    def name(self) -> str:
        """Name and version of the weights."""
        return self._manifest.name

    @property
    def manifest(self) -> Manifest:
        """What the weights are and what they were trained on."""
        return self._manifest

    @classmethod
    def load(cls, directory: Path) -> "LinearEngine":
        """Read the weights from a folder; raises `WeightsError`, one sentence, when they cannot be used."""
        try:
            manifest = msgspec.json.decode((directory / MANIFEST_FILE).read_bytes(), type=Manifest)
            entries = (directory / VOCABULARY_FILE).read_text(encoding="utf-8").split("\n")[:-1]
            lexicon = Lexicon.read(directory / name for name in LEXICON_FILES)
            with (directory / WEIGHTS_FILE).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                weights, bias, idf = (arrays[key].astype(np.float32) for key in ("weights", "bias", "idf"))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, msgspec.MsgspecError) as error:
            message = f"The analysis weights in {directory} cannot be read ({error}); install the program again."
            raise WeightsError(message) from error
        columns = sum(len(head.labels) for head in manifest.heads)
        rows = len(entries) + len(HAND_NAMES)
        if manifest.hand_features != HAND_NAMES or weights.shape != (rows, columns) or len(idf) != len(entries):
            raise WeightsError(
                f"The analysis weights in {directory} belong to another version; train or install again."
            )
        return cls(manifest, Vocabulary(entries, idf, lexicon), weights, bias)

    def save(self, directory: Path) -> None:
        """Write the weights, vocabulary and manifest; the same engine always gives the same bytes."""
        entries = self._vocabulary.entries
        (directory / VOCABULARY_FILE).write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
        manifest = msgspec.json.format(msgspec.json.encode(self._manifest), indent=1)
        (directory / MANIFEST_FILE).write_bytes(manifest + b"\n")
        np.savez_compressed(
            directory / WEIGHTS_FILE,
            weights=self._weights.astype(np.float16),
            bias=self._bias,
            idf=self._vocabulary.idf.astype(np.float16),
        )

    def probabilities(self, words: list[str]) -> dict[str, NDArray[np.float32]]:
        """Return for each field the probabilities of its labels."""
        indices, values = self._vocabulary.vector(words)
        scores = values @ self._weights[indices] + self._bias
        found = {}
        start = 0
        for head in self._manifest.heads:
            part = scores[start : start + len(head.labels)]
            start += len(head.labels)
            raised = np.exp(part - part.max())
            found[head.field] = raised / raised.sum()
        return found

    def family(self, text: str) -> EmotionFamily | None:
        """Return the family of the emotion, of which `analyse` gives one word; null where that is null."""
        words = self._readable(text)
        return None if words is None else cast("EmotionFamily | None", self._labels(words)["emotion_family"])

    def analyse(self, text: str) -> Analysis:
        """Return the analysis; all null for a text without content or in a language that is not known."""
        words = self._readable(text)
        if words is None:
            return Analysis()
        picked = self._labels(words)
        sentiment = cast("Sentiment", picked["sentiment"] or "neutral")
        category = cast("Category", picked["category"] or "other")
        intensity = cast("Intensity", picked["intensity"] or "moderate")
        family = cast("EmotionFamily | None", picked["emotion_family"])
        quotable = picked["is_testimonial_candidate"] == "true"
        return Analysis(
            sentiment=sentiment,
            category=category,
            summary=summarise(text, category),
            emotion=emotion_word(" ".join(words), family, intensity),
            intensity=intensity,
            is_testimonial_candidate=quotable and sentiment == "positive" and category == "praise",
        )

    def _readable(self, text: str) -> list[str] | None:
        words = words_of(text)[:MAX_WORDS]
        known = has_content(words) and self._vocabulary.known_share(words) >= MIN_KNOWN_SHARE
        return words if known else None

    def _labels(self, words: list[str]) -> dict[str, str | None]:
        probabilities = self.probabilities(words)
        picked: dict[str, str | None] = {}
        for head in self._manifest.heads:
            chances = probabilities[head.field].copy()
            if head.field == "emotion_family":
                _rule_out(chances, head.labels, picked["sentiment"])
            best = int(chances.argmax())
            picked[head.field] = head.labels[best] if chances[best] >= head.threshold else None
        return picked


_CONTRADICTIONS: Final[dict[str, tuple[EmotionFamily, ...]]] = {
    "negative": ("pleased",),
    "positive": ("angry", "upset"),
}


def _rule_out(chances: NDArray[np.float32], labels: tuple[str, ...], sentiment: str | None) -> None:
    for family in _CONTRADICTIONS.get(sentiment or "", ()):
        chances[labels.index(family)] = 0.0
