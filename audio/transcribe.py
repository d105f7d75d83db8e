"""Transcribes WAV files with the very code that transcribes visits."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from time import monotonic

import msgspec

from audio.model import ModelError, find_model
from audio.protocol import Transcript
from audio.recogniser import LoadedModel, Recogniser, RecogniserError, load
from audio.settings import AudioSettings
from audio.utterance import Utterance
from audio.voice import VoiceDetector
from audio.wav import WavError, WavReader


class TranscribeError(Exception):
    """A file could not be transcribed. One sentence."""


class Transcriber:
    """Transcribes files with one model: the settings' one, or one that is loaded already.

    Raises `TranscribeError` for a model that cannot be used.
    """

    def __init__(self, settings: AudioSettings | None = None, loaded: LoadedModel | None = None) -> None:
        self._settings = settings or AudioSettings()
        try:
            self._loaded = loaded or load(self._settings.model_folder)
        except ModelError as error:
            raise TranscribeError(str(error)) from error

    def transcribe(self, path: Path) -> Transcript:
        """The transcript of a WAV file; its `visit` is the file's name. Raises `TranscribeError`."""
        try:
            reader = WavReader(path)
        except WavError as error:
            raise TranscribeError(str(error)) from error
        try:
            return self._transcribe(path, reader)
        except (WavError, RecogniserError) as error:
            raise TranscribeError(f"{path} could not be transcribed: {error}") from error
        finally:
            reader.close()

    def _transcribe(self, path: Path, reader: WavReader) -> Transcript:
        utterance = Utterance(self._settings)
        voice = VoiceDetector(reader.rate_hz, self._settings.vad_mode)
        recogniser = Recogniser(self._loaded, reader.rate_hz)
        size = 0
        for samples in reader.pieces():
            size += len(samples)
            for frame in voice.frames(samples):
                utterance.hear(frame)
            recogniser.accept(samples)
        finish_s = monotonic()
        recognition = recogniser.finish()
        return utterance.transcript(
            path.name,
            recognition,
            model=self._loaded.model.name,
            audio_s=size / 2 / reader.rate_hz,
            finalise_ms=(monotonic() - finish_s) * 1000,
        )


def transcribe_wav(path: Path, model: Path | None = None, *, settings: AudioSettings | None = None) -> Transcript:
    """The transcript of one WAV file; `model` overrules the settings' one. Raises `TranscribeError`."""
    settings = settings or AudioSettings()
    if model is not None:
        settings = msgspec.structs.replace(settings, model=str(model))
    return Transcriber(settings).transcribe(path)


def transcribe_apart(paths: Sequence[Path], settings: AudioSettings) -> Iterator[Transcript | TranscribeError]:
    """Transcribe files in a process of its own, which a damaged model may end; one result for each file, in order.

    Raises `TranscribeError` when the model cannot be used.
    """
    try:
        find_model(settings.model_folder)
    except ModelError as error:
        raise TranscribeError(str(error)) from error
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare_worker, (settings,)) as worker:
        for path in paths:
            try:
                yield worker.submit(_transcribe_in_worker, path).result()
            except BrokenProcessPool as error:
                raise TranscribeError(
                    f"{path} could not be transcribed: the recogniser died, so the model is damaged or memory ran "
                    "out; install the model again, or use a smaller one"
                ) from error


_settings_of_worker: AudioSettings
_transcriber_of_worker: Transcriber | None = None


def _prepare_worker(settings: AudioSettings) -> None:
    global _settings_of_worker  # noqa: PLW0603 - a pool's worker has no other place of its own
    _settings_of_worker = settings
    # Vosk explains its end in pages; the parent says it in a sentence.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _transcribe_in_worker(path: Path) -> Transcript | TranscribeError:
    global _transcriber_of_worker  # noqa: PLW0603 - as above
    try:
        _transcriber_of_worker = _transcriber_of_worker or Transcriber(_settings_of_worker)
        return _transcriber_of_worker.transcribe(path)
    except TranscribeError as error:
        return error
