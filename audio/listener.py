"""What the ear does with sound and commands. No thread, no device: blocks and commands in, events out."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from audio.background import BackgroundMeter
from audio.keeper import Keeper
from audio.level import Loudness, together
from audio.preroll import Preroll
from audio.protocol import (
    Event,
    Failed,
    FirstSound,
    Heartbeat,
    Interrupted,
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
from audio.worker import Recognised, Refused, SoFar, VisitSound

LEVEL_FRAMES_IN_VISIT: Final = 3
LEVEL_FRAMES_BETWEEN: Final = 10
HEARTBEAT_S: Final = 1.0


class Worker(Protocol):
    """What the listener needs of `RecogniserWorker`."""

    @property
    def backlog_s(self) -> float:
        """Sound that waits, in seconds."""

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
    language: str
    model: str
    utterance: Utterance
    preroll_s: float
    audio_bytes: int
    heard_sound: bool = False
    is_full: bool = False
    finish_asked_s: float | None = None
    tail_bytes: int = 0
    interrupted: bool = False


class Listener:
    """Turns the sound of the microphone into the events of visits.

    `emit` takes each event; `monotonic` gives seconds; `keeper` keeps the sound of each visit until its end.
    """

    def __init__(
        self,
        settings: AudioSettings,
        rate_hz: int,
        worker: Worker,
        emit: Callable[[Event], None],
        monotonic: Callable[[], float],
        keeper: Keeper | None = None,
    ) -> None:
        self._settings = settings
        self._rate_hz = rate_hz
        self._bytes_per_s = rate_hz * 2
        self._worker = worker
        self._emit = emit
        self._monotonic = monotonic
        self._keeper = keeper or Keeper(None)
        self._language = settings.language
        self._model = ""
        self._voice = VoiceDetector(rate_hz, settings.vad_mode)
        self._preroll = Preroll(rate_hz * settings.preroll_ms // 1000 * 2)
        self._preroll_frames: deque[Frame] = deque(maxlen=settings.preroll_ms // FRAME_MS)
        self._background = BackgroundMeter(round(settings.noise_s * 1000 / FRAME_MS))
        self._visit: _Visit | None = None
        self._finishing: dict[str, _Visit] = {}
        self._levels: list[Loudness] = []
        self._blocks = 0
        self._overflows = 0
        self._bytes_to_heartbeat = 0

    def use(self, language: str, model: str) -> None:
        """Understand visits that begin from now on in this language, with the model of this name."""
        self._language, self._model = language, model

    def begin(self, visit: str) -> None:
        """Listen for this visit from now on, pre-roll included."""
        if self._visit is not None:
            self._fail(self._visit, "another visit began before this one was finished")
        sound = self._preroll.take()
        utterance = Utterance(self._settings, self._preroll_frames, self._background.measure())
        self._preroll_frames.clear()
        self._levels.clear()
        preroll_s = len(sound) / self._bytes_per_s
        self._visit = _Visit(visit, self._language, self._model, utterance, preroll_s, len(sound))
        self._keeper.begin(visit, self._rate_hz, self._language)
        self._worker.begin(VisitSound(visit, self._language, self._rate_hz))
        self._take(visit, sound)
        for sign in utterance.earlier_signs:
            self._tell(self._visit, sign)

    def finish(self, visit: str) -> None:
        """End the visit after its tail. No effect on a visit that is not open."""
        current = self._visit
        if current is None or current.name != visit or current.finish_asked_s is not None:
            return
        current.finish_asked_s = self._monotonic()
        current.tail_bytes = self._bytes_per_s * self._settings.tail_ms // 1000
        self._keeper.finish(visit)
        self._end_when_tail_is_in(current)

    def deaden(self, reason: str, dead_s: float) -> None:
        """The microphone has been dead for so long: end the open visit, if it has waited that long for a visitor.

        What was said before is recognised.
        """
        visit = self._visit
        if visit is None or visit.finish_asked_s is not None:
            return
        if visit.audio_bytes / self._bytes_per_s - visit.preroll_s < dead_s:
            return
        if visit.utterance.speech_started_s is None:
            self._fail(visit, reason)
            return
        visit.interrupted = True
        self._emit(Interrupted(visit=visit.name, reason=reason, lost_for_s=round(dead_s, 3)))
        self._keeper.finish(visit.name)
        visit.finish_asked_s = self._monotonic()
        self._end_when_tail_is_in(visit)

    def discard(self, visit: str) -> None:
        """Forget the visit. No effect on a visit that is unknown."""
        if self._visit is not None and self._visit.name == visit:
            self._visit = None
        self._finishing.pop(visit, None)
        self._worker.drop(visit)
        self._keeper.forget(visit)

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
                self._visit.utterance.hear_words(report.text)
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
            self._take(visit.name, samples)

    def _take(self, visit: str, samples: bytes) -> None:
        # Kept first: what the recogniser dies of must be there for the next one.
        self._keeper.write(visit, samples)
        self._worker.feed(visit, samples)

    def _judge(self, visit: _Visit | None, frame: Frame) -> None:
        self._levels.append(frame.level)
        if visit is None:
            self._preroll_frames.append(frame)
            self._background.hear(frame.low_dbfs)
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
            language=visit.language,
            model=visit.model,
            audio_s=visit.audio_bytes / self._bytes_per_s,
            finalise_ms=(self._monotonic() - visit.finish_asked_s) * 1000,
            interrupted=visit.interrupted,
        )
        self._emit(transcript)
        self._keeper.forget(visit.name)

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
