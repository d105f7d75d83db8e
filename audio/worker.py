"""The thread in which Vosk works, so that neither sound nor commands ever wait for it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from audio.kept_sound import tag_of
from audio.loaded_models import LoadedModels, NoRoomError
from audio.model import Model, ModelError
from audio.recogniser import Recogniser, RecogniserError, Recognition
from audio.vitals import VitalSigns, Work

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model of a language is in memory."""

    language: str
    model: Model
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """There is no recogniser for a language. `for_want_of_room`: beside the others; alone there may be."""

    language: str
    reason: str
    for_want_of_room: bool = False


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


@dataclass(frozen=True, slots=True)
class Worked:
    """A piece of a visit's kept sound is done; the next may come."""

    visit: str


Report = Loaded | Unusable | SoFar | Recognised | Refused | Worked


@dataclass(frozen=True, slots=True)
class VisitSound:
    """What must be known of a visit to recognise its sound."""

    name: str
    language: str
    rate_hz: int
    is_kept: bool = False
    """An earlier ear did not finish it: `Worked` is reported for each piece, and no words before the last."""

    @property
    def work(self) -> Work:
        """What working on it is."""
        return Work.RECOVERING if self.is_kept else Work.LISTENING


@dataclass(frozen=True, slots=True)
class _Load:
    language: str


@dataclass(frozen=True, slots=True)
class _Sound:
    visit: VisitSound
    samples: bytes


@dataclass(frozen=True, slots=True)
class _End:
    visit: VisitSound


@dataclass(frozen=True, slots=True)
class _Drop:
    visit: VisitSound


_Job = _Load | _Sound | _End | _Drop


@dataclass(slots=True)
class _Progress:
    """A recogniser at work on a visit."""

    recogniser: Recogniser
    since_partial_bytes: int = 0
    partial: str = ""


class RecogniserWorker(threading.Thread):
    """Loads models and works on visits. `report` is called in this thread, every other method in one other.

    `vital_signs` is told what the thread owes, and each step that it does.
    """

    def __init__(
        self,
        models: LoadedModels,
        report: Callable[[Report], None],
        *,
        partial_every_s: float,
        vital_signs: VitalSigns | None = None,
    ) -> None:
        super().__init__(name="recogniser", daemon=True)
        self._models = models
        self._report = report
        self._partial_every_s = partial_every_s
        self._vital_signs = vital_signs or VitalSigns(None)
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._visits: dict[str, VisitSound] = {}
        self._given_s = 0.0
        self._done_s = 0.0
        self._progress: dict[str, _Progress] = {}

    @property
    def backlog_s(self) -> float:
        """Sound of the microphone that was given and not worked on yet, in seconds."""
        return self._given_s - self._done_s

    def load(self, language: str) -> None:
        """Load the model of a language, after what was asked before: `Loaded` or `Unusable` is reported."""
        self._put(_Load(language))

    def begin(self, visit: VisitSound) -> None:
        """Sound of this visit will come; its model was reported to be loaded."""
        self._visits[visit.name] = visit

    def feed(self, name: str, samples: bytes) -> None:
        """More sound of a visit."""
        if visit := self._visits.get(name):
            self._given_s += _length_s(visit, samples)
            self._put(_Sound(visit, samples))

    def finish(self, name: str) -> None:
        """All sound of the visit was given: report its words."""
        if visit := self._visits.get(name):
            self._put(_End(visit))

    def drop(self, name: str) -> None:
        """Forget the visit, also what waits of it."""
        if visit := self._visits.pop(name, None):
            self._put(_Drop(visit))

    def run(self) -> None:
        """Work until the process ends."""
        while True:
            job = self._jobs.get()
            self._vital_signs.work(*_owed(job))
            self._work(job)
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._vital_signs.work(Work.NONE)

    def _put(self, job: _Job) -> None:
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                # From here on, so that a thread that does not even take the job up is found out.
                self._vital_signs.work(*_owed(job))
        self._jobs.put(job)

    def _work(self, job: _Job) -> None:
        if isinstance(job, _Load):
            self._load(job.language)
            return
        visit = job.visit
        if isinstance(job, _Sound):
            self._done_s += _length_s(visit, job.samples)
        if isinstance(job, _Drop) or self._visits.get(visit.name) is not visit:
            self._progress.pop(visit.name, None)
            return
        try:
            self._recognise(job)
        except RecogniserError as error:
            self._refuse(visit, str(error))
        except Exception as error:
            logger.exception("a visit was given up")
            self._refuse(visit, f"the recogniser failed: {error!r}")

    def _load(self, language: str) -> None:
        try:
            loaded = self._models.load(language)
        except NoRoomError as error:
            self._report(Unusable(language, str(error), for_want_of_room=True))
        except ModelError as error:
            self._report(Unusable(language, str(error)))
        except Exception as error:
            logger.exception("a model could not be loaded")
            self._report(Unusable(language, f"the model could not be loaded: {error!r}"))
        else:
            self._report(Loaded(language, loaded.model, loaded.memory_bytes))

    def _recognise(self, job: _Sound | _End) -> None:
        visit = job.visit
        progress = self._progress_of(visit)
        if isinstance(job, _End):
            recognition = progress.recogniser.finish()
            self._forget(visit)
            self._report(Recognised(visit.name, recognition))
            return
        progress.recogniser.accept(job.samples)
        if visit.is_kept:
            self._report(Worked(visit.name))
        else:
            self._report_partial(visit, progress, job.samples)

    def _progress_of(self, visit: VisitSound) -> _Progress:
        progress = self._progress.get(visit.name)
        if progress is None:
            loaded = self._models.get(visit.language)
            if loaded is None:
                raise RecogniserError(f"no model for the language {visit.language!r} is loaded")
            progress = _Progress(Recogniser(loaded, visit.rate_hz, self._vital_signs.step))
            self._progress[visit.name] = progress
        return progress

    def _refuse(self, visit: VisitSound, reason: str) -> None:
        self._forget(visit)
        self._report(Refused(visit.name, reason))

    def _forget(self, visit: VisitSound) -> None:
        self._progress.pop(visit.name, None)
        self._visits.pop(visit.name, None)

    def _report_partial(self, visit: VisitSound, progress: _Progress, samples: bytes) -> None:
        progress.since_partial_bytes += len(samples)
        if progress.since_partial_bytes < self._partial_every_s * visit.rate_hz * 2:
            return
        progress.since_partial_bytes = 0
        text = progress.recogniser.partial()
        if text != progress.partial:
            progress.partial = text
            self._report(SoFar(visit.name, text))


def _length_s(visit: VisitSound, samples: bytes) -> float:
    """Of the microphone's sound alone; what was kept can wait."""
    return 0.0 if visit.is_kept else len(samples) / 2 / visit.rate_hz


def _owed(job: _Job) -> tuple[Work, bytes]:
    return (Work.LOADING, tag_of(job.language)) if isinstance(job, _Load) else (job.visit.work, tag_of(job.visit.name))
