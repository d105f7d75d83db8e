"""Transcribes the sound that an earlier ear left behind, a piece at a time, so that a visitor of now need not wait."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from audio.kept_sound import KeptSound, Slot
from audio.protocol import Event, Failed
from audio.settings import AudioSettings
from audio.utterance import Utterance
from audio.voice import VoiceDetector
from audio.worker import Recognised, Refused, Report, VisitSound, Worked

PIECE_S: Final = 0.5
"""So long may a visitor's sound wait for a piece on a machine that is just fast enough."""
LIVE_BACKLOG_S: Final = 0.2
"""With more sound of the microphone waiting, the kept sound waits."""


class Worker(Protocol):
    """What the recovery needs of `RecogniserWorker`."""

    @property
    def backlog_s(self) -> float:
        """Sound of the microphone that waits, in seconds."""

    def begin(self, visit: VisitSound) -> None:
        """Sound of this visit will come."""

    def feed(self, name: str, samples: bytes) -> None:
        """More sound of a visit."""

    def finish(self, name: str) -> None:
        """All sound of the visit was given."""

    def drop(self, name: str) -> None:
        """Forget the visit."""


@dataclass(slots=True)
class _Visit:
    name: str
    slot: Slot
    utterance: Utterance
    voice: VoiceDetector
    began_s: float | None = None
    read_bytes: int = 0


class Recovery:
    """Works on `visits` in their order. For one thread: that which calls `report` with the worker's reports."""

    def __init__(
        self,
        settings: AudioSettings,
        kept: KeptSound | None,
        visits: Iterable[str],
        worker: Worker,
        emit: Callable[[Event], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._emit = emit
        self._monotonic = monotonic
        self._models: dict[str, str] = {}
        self._unusable: set[str] = set()
        self._current: _Visit | None = None
        self._is_piece_under_way = False
        self._visits: dict[str, _Visit] = {}
        for name in visits:
            self._take_over(kept, name)

    @property
    def languages(self) -> list[str]:
        """Languages that are needed, in the order of the visits."""
        return list(dict.fromkeys(visit.slot.header.language for visit in self._visits.values()))

    @property
    def is_busy(self) -> bool:
        """Whether something is left that can be done, or may be once a model is loaded."""
        return any(visit.slot.header.language not in self._unusable for visit in self._visits.values())

    def loaded(self, language: str, model: str) -> None:
        """The model of this name can be used for a language."""
        self._models[language] = model
        self._unusable.discard(language)

    def unusable(self, language: str, reason: str, *, for_good: bool) -> None:
        """A language cannot be understood. Its visits fail `for_good`, or stay for another time."""
        self._unusable.add(language)
        for visit in list(self._visits.values()):
            if for_good and visit.slot.header.language == language:
                self._end(visit, Failed(visit=visit.name, reason=reason))

    def discard(self, name: str) -> None:
        """Forget a visit. No effect on one that is unknown."""
        if visit := self._visits.get(name):
            self._worker.drop(name)
            self._end(visit, None)

    def report(self, report: Report) -> None:
        """Take what became of the last piece."""
        visit = self._current
        if visit is None or not isinstance(report, Worked | Recognised | Refused) or report.visit != visit.name:
            return
        if isinstance(report, Worked):
            self._is_piece_under_way = False
        elif isinstance(report, Refused):
            self._end(visit, Failed(visit=visit.name, reason=report.reason))
        else:
            self._transcribed(visit, report)

    def go_on(self) -> None:
        """Give the worker the next piece, unless it has something better to do."""
        if self._current is None:
            self._current = next((each for each in self._visits.values() if self._can_begin(each)), None)
            self._is_piece_under_way = False
        if self._current is None or self._is_piece_under_way or self._worker.backlog_s > LIVE_BACKLOG_S:
            return
        try:
            self._give_piece(self._current)
        except OSError as error:
            self._worker.drop(self._current.name)
            self._end(self._current, Failed(visit=self._current.name, reason=f"its sound cannot be read: {error}"))

    def _take_over(self, kept: KeptSound | None, name: str) -> None:
        try:
            slot = kept.find(name) if kept is not None else None
        except OSError:
            slot = None
        if slot is None:
            self._emit(Failed(visit=name, reason="nothing of its sound was kept"))
            return
        voice = VoiceDetector(slot.header.rate_hz, self._settings.vad_mode)
        self._visits[name] = _Visit(name, slot, Utterance(self._settings), voice)

    def _can_begin(self, visit: _Visit) -> bool:
        return visit.slot.header.language in self._models

    def _give_piece(self, visit: _Visit) -> None:
        header = visit.slot.header
        if visit.began_s is None:
            visit.began_s = self._monotonic()
            self._worker.begin(VisitSound(visit.name, header.language, header.rate_hz, is_kept=True))
        samples = visit.slot.read(visit.read_bytes, round(header.rate_hz * PIECE_S) * 2)
        self._is_piece_under_way = True
        if not samples:
            self._worker.finish(visit.name)
            return
        visit.read_bytes += len(samples)
        for frame in visit.voice.frames(samples):
            visit.utterance.hear(frame)
        self._worker.feed(visit.name, samples)

    def _transcribed(self, visit: _Visit, report: Recognised) -> None:
        header = visit.slot.header
        transcript = visit.utterance.transcript(
            visit.name,
            report.recognition,
            language=header.language,
            model=self._models[header.language],
            audio_s=visit.read_bytes / 2 / header.rate_hz,
            finalise_ms=(self._monotonic() - (visit.began_s or 0.0)) * 1000,
            interrupted=True,
        )
        self._end(visit, transcript)

    def _end(self, visit: _Visit, event: Event | None) -> None:
        # The event first: who dies between the two leaves sound that the parent wipes, and no lost words.
        if event is not None:
            self._emit(event)
        del self._visits[visit.name]
        if self._current is visit:
            self._current = None
        # The parent wipes it too, when this ear ends.
        with contextlib.suppress(OSError):
            visit.slot.wipe()
