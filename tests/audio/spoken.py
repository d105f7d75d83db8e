"""Sentences of synthetic voices for the tests of the ear, and what bare Vosk makes of them."""

import json
import tomllib
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from audio.protocol import Word
from demo.sentences import SENTENCES

FOLDER: Final = Path(__file__).parent / "speech"
MANIFEST: Final = FOLDER / "manifest.toml"
RATE_HZ: Final = 16000
CHUNK_MS: Final = 100
SPEECH_OF_PEAK: Final = 0.01
"""Samples of a synthetic voice above this share of its peak are speech; between words it is all but silent."""

Samples = NDArray[np.float64]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the manifest."""

    file: str
    voice: str
    text: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    speech: tuple[Entry, ...]


class Spoken(NamedTuple):
    """A sentence, from its first to its last sound."""

    name: str
    text: str
    samples: Samples
    rate_hz: int = RATE_HZ

    def at(self, rate_hz: int) -> "Spoken":
        """The same at another rate."""
        return self._replace(samples=resampled(self.samples, self.rate_hz, rate_hz), rate_hz=rate_hz)

    def within(self, before_s: float, after_s: float) -> bytes:
        """Its 16-bit samples with so much silence before and after them."""
        before, after = (np.zeros(round(self.rate_hz * length_s)) for length_s in (before_s, after_s))
        return pcm(np.concatenate((before, self.samples, after)))


def all_spoken() -> list[Spoken]:
    """The sentences of the manifest, and those of the demonstration."""
    manifest = msgspec.convert(tomllib.loads(MANIFEST.read_text(encoding="utf-8")), Manifest)
    ours = [(FOLDER / entry.file, entry.text) for entry in manifest.speech]
    return [Spoken(path.stem, text, trimmed(read(path))) for path, text in [*SENTENCES.items(), *ours]]


def read(path: Path) -> Samples:
    """The samples of a 16-bit mono WAV file at `RATE_HZ`."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ), path
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


def trimmed(samples: Samples) -> Samples:
    """Without the silence around speech."""
    loud = np.flatnonzero(np.abs(samples) >= SPEECH_OF_PEAK * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The same sound at another rate; what the lower of the two cannot hold is cut off."""
    if from_hz == to_hz:
        return samples
    count = round(len(samples) * to_hz / from_hz)
    spectrum = np.fft.rfft(samples)
    wanted = np.zeros(count // 2 + 1, dtype=np.complex128)
    shared = min(len(spectrum), len(wanted))
    wanted[:shared] = spectrum[:shared]
    return np.fft.irfft(wanted, count) * (count / len(samples))


def pcm(samples: Samples) -> bytes:
    """As 16-bit samples in native byte order."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16).tobytes()


def bare_words(vosk: Any, model: Any, samples: bytes, rate_hz: int) -> tuple[Word, ...]:
    """What Vosk alone makes of 16-bit mono samples: the loop of its own examples."""
    recogniser = vosk.KaldiRecognizer(model, rate_hz)
    recogniser.SetWords(True)
    size = rate_hz * CHUNK_MS // 1000 * 2
    pieces = (samples[at : at + size] for at in range(0, len(samples), size))
    results = [recogniser.Result() for piece in pieces if recogniser.AcceptWaveform(piece)]
    results.append(recogniser.FinalResult())
    found = [word for result in results for word in json.loads(result).get("result", ())]
    return tuple(Word(word["word"], word["start"], word["end"], word["conf"]) for word in found)


def text_of(words: Iterable[Word]) -> str:
    return " ".join(word.word for word in words)
