"""Words from sound, as it comes: one utterance through Vosk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from audio.model import Model, ModelError, find_model
from audio.model_memory import resident_bytes
from audio.protocol import Word
from audio.resample import Interpolator

CHUNK_MS: Final = 100
"""Vosk gets sound in pieces of just this length, so that the words do not depend on how the sound arrived."""
_VOSK_QUIET: Final = -1


class RecogniserError(Exception):
    """Vosk refused the sound."""


class _VoskWord(msgspec.Struct, frozen=True):
    word: str
    start: float
    end: float
    conf: float = 1.0


class _VoskResult(msgspec.Struct, frozen=True):
    text: str = ""
    result: tuple[_VoskWord, ...] = ()


class _VoskPartial(msgspec.Struct, frozen=True):
    partial: str = ""


_results = msgspec.json.Decoder(_VoskResult)
_partials = msgspec.json.Decoder(_VoskPartial)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What Vosk made of an utterance."""

    text: str
    words: tuple[Word, ...]


class LoadedModel:
    """A model in memory: from 75 MB for the embedded one to gigabytes for the largest.

    Vosk frees it when the last `Recogniser` is gone, but rarely gives all memory back: end the process for that.
    Some damaged models make libvosk end the process; others raise `ModelError` here.
    """

    def __init__(self, model: Model) -> None:
        import vosk  # not before a model is wanted: it takes as long as all the rest of the ear's start

        vosk.SetLogLevel(_VOSK_QUIET)
        self.model = model
        self.make_recogniser: Callable[[Any, int], Any] = vosk.KaldiRecognizer
        before = resident_bytes()
        try:
            self.handle: Any = vosk.Model(str(model.path))
        except Exception as error:
            raise ModelError(f"the model {model.path} is damaged: Vosk cannot load it; install it again") from error
        self.memory_bytes = max(0, resident_bytes() - before)
        """By how much the process grew. What recognising takes comes on top."""


class Recogniser:
    """One utterance of 16-bit mono samples at `rate_hz`. Not for several threads at once.

    `stepped` is called after each `CHUNK_MS` of sound that Vosk has worked on.
    """

    def __init__(self, loaded: LoadedModel, rate_hz: int, stepped: Callable[[], None] = lambda: None) -> None:
        vosk_rate_hz = max(rate_hz, loaded.model.rate_hz)
        self._interpolator = Interpolator(rate_hz, vosk_rate_hz) if vosk_rate_hz > rate_hz else None
        self._vosk = loaded.make_recogniser(loaded.handle, vosk_rate_hz)
        self._vosk.SetWords(True)
        self._chunk_bytes = vosk_rate_hz * CHUNK_MS // 1000 * 2
        self._waiting = bytearray()
        self._segments: list[_VoskResult] = []
        self._stepped = stepped

    def accept(self, samples: bytes) -> None:
        """Hear more. Takes up to about a tenth of the sound's own length on a small model. Raises `RecogniserError`."""
        self._waiting += self._interpolator.convert(samples) if self._interpolator else samples
        while len(self._waiting) >= self._chunk_bytes:
            chunk = bytes(self._waiting[: self._chunk_bytes])
            del self._waiting[: self._chunk_bytes]
            self._feed(chunk)

    def partial(self) -> str:
        """The words so far."""
        newest = _partials.decode(self._vosk.PartialResult()).partial
        return _joined([*(segment.text for segment in self._segments), newest])

    def finish(self) -> Recognition:
        """The words of the whole utterance; the recogniser is used up afterwards. Raises `RecogniserError`."""
        if self._waiting:
            self._feed(bytes(self._waiting))
            self._waiting.clear()
        self._segments.append(_results.decode(self._vosk.FinalResult()))
        words = tuple(
            Word(word.word, word.start, word.end, min(1.0, max(0.0, word.conf)))
            for segment in self._segments
            for word in segment.result
        )
        return Recognition(_joined([segment.text for segment in self._segments]), words)

    def _feed(self, chunk: bytes) -> None:
        try:
            at_endpoint = self._vosk.AcceptWaveform(chunk)
        except Exception as error:
            raise RecogniserError("Vosk refused the sound") from error
        if at_endpoint:
            self._segments.append(_results.decode(self._vosk.Result()))
        self._stepped()


def load(path: Path | None = None) -> LoadedModel:
    """Check and load the model in `path`, or the demonstration model. Raises `ModelError`."""
    return LoadedModel(find_model(path))


def _joined(texts: list[str]) -> str:
    return " ".join(text for text in texts if text)
