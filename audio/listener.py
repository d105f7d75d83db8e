"""What the ear does with sound and commands. No thread, no device: blocks and commands in, events out."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from audio.level import Loudness, together
from audio.preroll import Preroll
from audio.protocol import (
    Event,
    Failed,
    FirstSound,
    Heartbeat,
    Level,
    NothingSaid,
    Partial,
    SpeechEnded,
    SpeechStarted,
)
from audio.settings import AudioSettings
from audio.speech import Sign
from audio.utterance import Utterance
from audio.voice import FRAME_MS, Frame, VoiceDetector
from audio.worker import Recognised, Refused, SoFar

LEVEL_FRAMES_IN_VISIT: Final = 3
LEVEL_FRAMES_BETWEEN: Final = 10
HEARTBEAT_S: Final = 1.0


class Worker(Protocol):
    """What the listener needs of `RecogniserWorker`."""

    @property
    def backlog_s(self) -> float:
        """Sound that waits, in seconds."""

    def feed(self, visit: str, samples: bytes) -> None:
        """More sound of a visit."""

    def finish(self, visit: str) -> None:
        """All sound of the visit was given."""

    def drop(self, visit: str) -> None:
        """Forget the visit."""


@dataclass(slots=True)
class _Visit:
    name: str
    utterance: Utterance
    preroll_s: float
    audio_bytes: int
    heard_sound: bool = False
    is_full: bool = False
    finish_asked_s: float | None = None
    tail_bytes: int = 0


class Listener:
    """Turns the sound of the microphone into the events of visits.

    `emit` takes each event; `monotonic` gives seconds. `model` is the model's name, for transcripts.
    """

    def __init__(
        self,
        settings: AudioSettings,
        rate_hz: int,
        worker: Worker,
        emit: Callable[[Event], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._bytes_per_s = rate_hz * 2
        self._worker = worker
        self._emit = emit
        self._monotonic = monotonic
        self._voice = VoiceDetector(rate_hz, settings.vad_mode)
        self._preroll = Preroll(rate_hz * settings.preroll_ms // 1000 * 2)
        self._preroll_frames: deque[Frame] = deque(maxlen=settings.preroll_ms // FRAME_MS)
        self._visit: _Visit | None = None
        self._finishing: dict[str, _Visit] = {}
        self._levels: list[Loudness] = []
        self._blocks = 0
        self._overflows = 0
        self._bytes_to_heartbeat = 0
        self.model = ""

    def begin(self, visit: str) -> None:
        """Listen for this visit from now on, pre-roll included."""
        if self._visit is not None:
            self._fail(self._visit, "another visit began before this one was finished")
        sound = self._preroll.take()
        utterance = Utterance(self._settings, self._preroll_frames)
        self._preroll_frames.clear()
        self._levels.clear()
        self._visit = _Visit(visit, utterance, len(sound) / self._bytes_per_s, len(sound))
        self._worker.feed(visit, sound)
        for sign in utterance.earlier_signs:
            self._tell(self._visit, sign)

    def finish(self, visit: str) -> None:
        """End the visit after its tail. No effect on a visit that is not open."""
        current = self._visit
        if current is None or current.name != visit or current.finish_asked_s is not None:
            return
        current.finish_asked_s = self._monotonic()
        current.tail_bytes = self._bytes_per_s * self._settings.tail_ms // 1000
        self._end_when_tail_is_in(current)

    def discard(self, visit: str) -> None:
        """Forget the visit. No effect on a visit that is unknown."""
        if self._visit is not None and self._visit.name == visit:
            self._visit = None
        self._finishing.pop(visit, None)
        self._worker.drop(visit)

    def hear(self, samples: bytes, *, overflowed: bool = False) -> None:
        """Take a block of 16-bit mono samples."""
        self._blocks += 1
        self._overflows += overflowed
        visit = self._visit
        if visit is None:
            self._preroll.write(samples)
        else:
            self._record(visit, samples)
        for frame in self._voice.frames(samples):
            self._judge(visit, frame)
        if visit is not None and visit is self._visit:
            self._check_length(visit)
            self._end_when_tail_is_in(visit)
        self._beat(len(samples))

    def report(self, report: SoFar | Recognised | Refused) -> None:
        """Take what the recogniser made of a visit; nothing of a visit that was discarded."""
        if isinstance(report, SoFar):
            if self._visit is not None and self._visit.name == report.visit:
                self._emit(Partial(visit=report.visit, text=report.text))
        elif isinstance(report, Recognised):
            self._finished(report)
        else:
            visit = self._finishing.get(report.visit) or self._visit
            if visit is not None and visit.name == report.visit:
                self._fail(visit, report.reason)

    def _record(self, visit: _Visit, samples: bytes) -> None:
        if not visit.heard_sound:
            visit.heard_sound = True
            self._emit(FirstSound(visit=visit.name, preroll_s=round(visit.preroll_s, 3)))
        visit.tail_bytes -= len(samples)
        if not visit.is_full:
            visit.audio_bytes += len(samples)
            self._worker.feed(visit.name, samples)

    def _judge(self, visit: _Visit | None, frame: Frame) -> None:
        self._levels.append(frame.level)
        if visit is None:
            self._preroll_frames.append(frame)
        elif not visit.is_full:
            sign = visit.utterance.hear(frame)
            if sign is not None:
                self._tell(visit, sign)
        if len(self._levels) >= (LEVEL_FRAMES_BETWEEN if visit is None else LEVEL_FRAMES_IN_VISIT):
            level = together(self._levels)
            self._levels.clear()
            self._emit(Level(dbfs=round(level.dbfs, 1), peak=round(level.peak, 4)))

    def _tell(self, visit: _Visit, sign: Sign) -> None:
        if visit.finish_asked_s is not None:
            return
        if sign is Sign.STARTED:
            self._emit(SpeechStarted(visit=visit.name, at_s=round(visit.utterance.speech_started_s or 0.0, 2)))
        elif sign is Sign.ENDED:
            self._emit(SpeechEnded(visit=visit.name))
        else:
            self._emit(NothingSaid(visit=visit.name))

    def _check_length(self, visit: _Visit) -> None:
        if not visit.is_full and visit.audio_bytes >= self._settings.longest_s * self._bytes_per_s:
            visit.is_full = True
            self._tell(visit, Sign.ENDED)

    def _end_when_tail_is_in(self, visit: _Visit) -> None:
        if visit.finish_asked_s is not None and visit.tail_bytes <= 0:
            self._visit = None
            self._finishing[visit.name] = visit
            self._worker.finish(visit.name)

    def _finished(self, report: Recognised) -> None:
        visit = self._finishing.pop(report.visit, None)
        if visit is None or visit.finish_asked_s is None:
            return
        transcript = visit.utterance.transcript(
            visit.name,
            report.recognition,
            model=self.model,
            audio_s=visit.audio_bytes / self._bytes_per_s,
            finalise_ms=(self._monotonic() - visit.finish_asked_s) * 1000,
        )
        self._emit(transcript)

    def _fail(self, visit: _Visit, reason: str) -> None:
        self.discard(visit.name)
        self._emit(Failed(visit=visit.name, reason=reason))

    def _beat(self, size: int) -> None:
        self._bytes_to_heartbeat -= size
        if self._bytes_to_heartbeat > 0:
            return
        self._bytes_to_heartbeat = round(HEARTBEAT_S * self._bytes_per_s)
        self._emit(
            Heartbeat(blocks=self._blocks, overflows=self._overflows, backlog_s=round(self._worker.backlog_s, 2))
        )
