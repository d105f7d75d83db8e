"""The thread in which Vosk works, so that neither sound nor commands ever wait for it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from audio.model import Model, ModelError
from audio.recogniser import LoadedModel, Recogniser, RecogniserError, Recognition, load
from audio.settings import AudioSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is in memory."""

    model: Model


@dataclass(frozen=True, slots=True)
class Unusable:
    """There will be no recogniser."""

    reason: str


@dataclass(frozen=True, slots=True)
class SoFar:
    """The words of a visit so far."""

    visit: str
    text: str


@dataclass(frozen=True, slots=True)
class Recognised:
    """The words of a visit."""

    visit: str
    recognition: Recognition


@dataclass(frozen=True, slots=True)
class Refused:
    """Vosk could not work on a visit."""

    visit: str
    reason: str


Report = Loaded | Unusable | SoFar | Recognised | Refused


@dataclass(frozen=True, slots=True)
class _Sound:
    visit: str
    samples: bytes


@dataclass(frozen=True, slots=True)
class _End:
    visit: str


class RecogniserWorker(threading.Thread):
    """Loads the model, then works on one visit after the other. `report` is called in this thread."""

    def __init__(self, settings: AudioSettings, rate_hz: int, report: Callable[[Report], None]) -> None:
        super().__init__(name="recogniser", daemon=True)
        self._settings = settings
        self._rate_hz = rate_hz
        self._report = report
        self._jobs: SimpleQueue[_Sound | _End] = SimpleQueue()
        self._wanted: set[str] = set()
        self._bytes_given = 0
        self._bytes_done = 0
        self._current: tuple[str, Recogniser] | None = None
        self._since_partial_bytes = 0
        self._partial = ""

    @property
    def backlog_s(self) -> float:
        """Sound that was given and not worked on yet, in seconds."""
        return (self._bytes_given - self._bytes_done) / 2 / self._rate_hz

    def feed(self, visit: str, samples: bytes) -> None:
        """More sound of a visit; the first of a visit begins it."""
        self._wanted.add(visit)
        self._bytes_given += len(samples)
        self._jobs.put(_Sound(visit, samples))

    def finish(self, visit: str) -> None:
        """All sound of the visit was given: report its words."""
        self._wanted.add(visit)
        self._jobs.put(_End(visit))

    def drop(self, visit: str) -> None:
        """Forget the visit, also what waits of it."""
        self._wanted.discard(visit)

    def run(self) -> None:
        """Work until the process ends."""
        try:
            loaded = load(self._settings.model_folder)
            self._report(Loaded(loaded.model))
            while True:
                self._work(loaded, self._jobs.get())
        except ModelError as error:
            self._report(Unusable(str(error)))
        except Exception as error:
            logger.exception("the recogniser's thread ended")
            self._report(Unusable(f"the recogniser failed: {error!r}"))

    def _work(self, loaded: LoadedModel, job: _Sound | _End) -> None:
        if isinstance(job, _Sound):
            self._bytes_done += len(job.samples)
        if job.visit not in self._wanted:
            if self._current is not None and self._current[0] == job.visit:
                self._current = None
            return
        try:
            recogniser = self._recogniser(loaded, job.visit)
            if isinstance(job, _Sound):
                recogniser.accept(job.samples)
                self._report_partial(recogniser, job)
            else:
                self._current = None
                self._wanted.discard(job.visit)
                self._report(Recognised(job.visit, recogniser.finish()))
        except RecogniserError as error:
            self._current = None
            self._wanted.discard(job.visit)
            self._report(Refused(job.visit, str(error)))

    def _recogniser(self, loaded: LoadedModel, visit: str) -> Recogniser:
        if self._current is None or self._current[0] != visit:
            self._current = (visit, Recogniser(loaded, self._rate_hz))
            self._since_partial_bytes = 0
            self._partial = ""
        return self._current[1]

    def _report_partial(self, recogniser: Recogniser, job: _Sound) -> None:
        self._since_partial_bytes += len(job.samples)
        if self._since_partial_bytes < self._settings.partial_every_s * self._rate_hz * 2:
            return
        self._since_partial_bytes = 0
        text = recogniser.partial()
        if text != self._partial:
            self._partial = text
            self._report(SoFar(job.visit, text))
