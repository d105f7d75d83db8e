"""The parent's account of its ears: what is open, what is in use, what is to be told. Pure; times are passed in."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from audio.ear_stats import EarProgress, EarStats
from audio.kept_sound import tag_of
from audio.languages import Languages
from audio.microphone_care import MicrophoneCare
from audio.open_visits import OpenVisits
from audio.protocol import (
    EarEvent,
    EarLost,
    Event,
    Failed,
    FirstSound,
    Heartbeat,
    Interrupted,
    LanguageReady,
    LanguageUnusable,
    Level,
    MicrophoneHealth,
    NoRoom,
    NothingSaid,
    Partial,
    Ready,
    SpeechEnded,
    SpeechStarted,
    Start,
    Transcript,
)
from audio.remedy import Cure
from audio.settings import AudioSettings
from audio.vigil import EarLimits, Vigil
from audio.vitals import Vitals, Work

logger = logging.getLogger(__name__)

NOT_STARTED: Final = "the ear is being started"
HUNG_S: Final = 0.6
"""A recogniser that takes longer over a step while the main thread gives no sign either holds the whole ear up."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Why there is no ear any more."""

    reason: str
    died: bool = False
    """It ended without a word."""
    was_asked: bool = False
    """Its replacement was asked for, so that it is no alarm."""


class EarAccount:
    """What happened to the ears of one `EarProcess`, and what follows from it. Not for several threads at once."""

    def __init__(self, settings: AudioSettings, limits: EarLimits) -> None:
        self._limits = limits
        self._vigil: Vigil | None = None
        self._ready: Ready | None = None
        self._heartbeat = Heartbeat(blocks=0, overflows=0, backlog_s=0.0)
        self._lost_s: float | None = None
        self._has_vitals = False
        self._starts = self._losses = self._transcripts = self._failures = self._interruptions = 0
        self.settings = settings
        self.visits = OpenVisits(limits.keep_s)
        self.languages = Languages(settings, limits)
        self.microphone = MicrophoneCare()
        self.is_ready = False
        self.reason: str | None = NOT_STARTED
        """Why it is not ready."""

    def set(self, settings: AudioSettings) -> None:
        """Other settings, for the next ear."""
        self.settings = settings
        self.languages = Languages(settings, self._limits)

    def start(self, shared_fd: int | None, now_s: float) -> Start:
        """A new ear is started: its orders."""
        self._starts += 1
        self._has_vitals = shared_fd is not None
        self._heartbeat = Heartbeat(blocks=0, overflows=0, backlog_s=0.0)
        self._vigil = Vigil(self._limits, now_s)
        language = self.languages.begin(now_s)
        if language is None:
            self._vigil.loaded()
        recover = self.visits.interrupted if shared_fd is not None else []
        for visit in recover:
            self._vigil.recovering(visit)
        return Start(
            settings=self.settings,
            language=language,
            shared_fd=shared_fd,
            recover=tuple(recover),
            avoid=self.languages.blocked(now_s),
            measured_mb=self.languages.measured_mb,
        )

    def begin(self, visit: str) -> Failed | None:
        """A visit begins; what is to be told if it cannot."""
        if self.is_ready:
            self.visits.begin(visit)
            return None
        self._failures += 1
        return Failed(visit=visit, reason=self.reason or NOT_STARTED)

    def finish(self, visit: str, now_s: float) -> bool:
        """A visit's transcript is wanted; whether the ear is to be told."""
        if self._vigil is None or visit not in self.visits or visit in self.visits.interrupted:
            return False
        self._vigil.finishing(visit, now_s)
        return True

    def end(self, visit: str) -> bool:
        """A visit is over; whether it was open."""
        if self._vigil is not None:
            self._vigil.done(visit)
        return self.visits.end(visit)

    def ask(self, now_s: float) -> str | None:
        """The language that the ear is to be asked for now. Nobody who speaks is disturbed by its loading."""
        language = None if self.visits.live and self.languages.in_use else self.languages.due(now_s)
        if language is not None and self._vigil is not None:
            self._vigil.loading(now_s)
        return language

    def expire(self, now_s: float) -> list[Failed]:
        """Give up visits for which there has been no ear for too long; what is to be told."""
        failed = self.visits.expire(now_s)
        self._failures += len(failed)
        return failed

    def cure(self, now_s: float) -> Cure | None:
        """What is to be done now about a microphone whose sound is wrong; it counts as done. Never during a visit."""
        return self.microphone.due(now_s, is_visited=bool(self.visits)) if self.is_ready else None

    def verdict(self, now_s: float, vitals: Vitals | None) -> str | None:
        """Why the ear must be given up; None while it need not."""
        return self._vigil.verdict(now_s, vitals) if self._vigil else None

    def take(self, event: Event, now_s: float) -> list[EarEvent]:
        """The ear says something: what is to be told of it."""
        assert self._vigil is not None, "an ear that speaks was started"
        match event:
            case Ready():
                self._become_ready(event, now_s)
                self._vigil.ready(now_s)
            case Level():
                self._vigil.heard(now_s)
            case Heartbeat():
                self._vigil.heard(now_s)
                self._heartbeat = event
            case MicrophoneHealth():
                return [*self.microphone.take(event, now_s)]
            case LanguageReady() | LanguageUnusable() | NoRoom():
                self._vigil.loaded()
                return self._take_language(event, now_s)
            case FirstSound():
                self._vigil.heard(now_s)  # presses in quick succession leave no time for a `Level`
        return [event] if self._is_wanted(event, now_s) else []

    def lose(self, loss: Loss, kept: Collection[str], vitals: Vitals | None, now_s: float) -> list[EarEvent]:
        """The ear is lost, and sound of the visits in `kept` is there: what is to be told."""
        silent_s = self._vigil.silent_for_s(now_s, vitals) if self._vigil else 0.0
        told: list[EarEvent] = [
            *self._blame_language(loss, vitals, now_s),
            *self.visits.lose(kept, self._blamed(loss, vitals, now_s), loss.reason, lost_for_s=silent_s, now_s=now_s),
        ]
        self.languages.lost()
        self.is_ready, self._vigil = False, None
        return self._count(told) + self._tell_loss(loss, now_s)

    def was_steady(self, now_s: float) -> bool:
        """Whether the ear has worked for some time."""
        return self._vigil is not None and self._vigil.was_steady(now_s)

    def progress(self, turns: int) -> EarProgress:
        """How far it has come, while the watch has taken so many turns. Safe without the lock."""
        return EarProgress(is_ready=self.is_ready, turns=turns, starts=self._starts, blocks=self._heartbeat.blocks)

    def stats(self, pid: int | None, kept_bytes: int, last_words: tuple[str, ...]) -> EarStats:
        """All of it, for the health report."""
        return EarStats(
            is_ready=self.is_ready,
            reason=self.reason,
            ready=self._ready,
            problems=self.microphone.problems,
            pid=pid,
            starts=self._starts,
            losses=self._losses,
            blocks=self._heartbeat.blocks,
            overflows=self._heartbeat.overflows,
            backlog_s=self._heartbeat.backlog_s,
            transcripts=self._transcripts,
            failures=self._failures,
            interruptions=self._interruptions,
            waiting=len(self.visits.interrupted),
            kept_bytes=kept_bytes,
            language=self.languages.in_use,
            languages=self.languages.stats(),
            last_words=last_words,
        )

    def _is_wanted(self, event: Event, now_s: float) -> bool:
        """Take what is said of a visit; whether it is to be told."""
        match event:
            case Transcript() | Failed():
                was_open = self.end(event.visit)
                self._transcripts += was_open and isinstance(event, Transcript)
                self._failures += was_open and isinstance(event, Failed)
                return was_open
            case Interrupted():
                was_live = self.visits.interrupt(event.visit, now_s)
                if was_live and self._vigil is not None:
                    self._vigil.finishing(event.visit, now_s)
                self._interruptions += was_live
                return was_live
            case FirstSound() | SpeechStarted() | SpeechEnded() | NothingSaid() | Partial():
                return event.visit in self.visits
            case _:
                return True

    def _become_ready(self, ready: Ready, now_s: float) -> None:
        self._ready, self.is_ready, self.reason = ready, True, None
        if self._lost_s is not None:
            logger.info("the ear is back after %.1f s", now_s - self._lost_s)
            self._lost_s = None
        logger.info("the ear hears %r at %d Hz with the model %s", ready.device, ready.rate_hz, ready.model)

    def _take_language(self, event: LanguageReady | LanguageUnusable | NoRoom, now_s: float) -> list[EarEvent]:
        if isinstance(event, LanguageReady):
            self.languages.ready(event)
            logger.info("the ear understands %r with the model %s", event.language, event.model)
            return [event]
        if isinstance(event, NoRoom):
            self.languages.no_room(event.language)
            return []
        told = self._refuse(event, now_s)
        return told if self.languages.in_use else told + self._tell_loss(Loss(event.reason), now_s)

    def _refuse(self, event: LanguageUnusable, now_s: float, *, is_deadly: bool = False) -> list[EarEvent]:
        if not self.languages.refused(event.language, event.reason, now_s, is_deadly=is_deadly):
            return []
        if self.languages.in_use:  # else the same is said of the ear as a whole
            logger.warning("the language %r cannot be used: %s", event.language, event.reason)
        return [event]

    def _blame_language(self, loss: Loss, vitals: Vitals | None, now_s: float) -> list[EarEvent]:
        """A model whose loading ends the ear must not be loaded again and again."""
        language = self.languages.loading
        is_loading = vitals is not None and vitals.work is Work.LOADING
        if language is None or loss.was_asked or (self._has_vitals and not is_loading):
            return []
        took_s = vitals.overdue_s(now_s) if vitals else 0.0
        if not loss.died and took_s < self._limits.load_s / 2:
            return []
        reason = f"the ear was lost while it loaded the model of {language!r}, which may be damaged: {loss.reason}"
        return self._refuse(LanguageUnusable(language=language, reason=reason), now_s, is_deadly=True)

    def _blamed(self, loss: Loss, vitals: Vitals | None, now_s: float) -> list[str]:
        """The visits of whose sound the ear seems to have died, or over which it hung."""
        if vitals is None:
            return self.visits.names if loss.died and not self._has_vitals else []
        if vitals.work not in (Work.LISTENING, Work.RECOVERING):
            return []
        took_s = vitals.overdue_s(now_s)
        hung = took_s > self._limits.patient_s or (took_s > HUNG_S and now_s - vitals.beat_s > HUNG_S)
        return [visit for visit in self.visits.names if tag_of(visit) == vitals.tag] if loss.died or hung else []

    def _count(self, told: list[EarEvent]) -> list[EarEvent]:
        self._failures += sum(isinstance(event, Failed) for event in told)
        self._interruptions += sum(isinstance(event, Interrupted) for event in told)
        return told

    def _tell_loss(self, loss: Loss, now_s: float) -> list[EarEvent]:
        self.reason = loss.reason
        if self._lost_s is not None:
            logger.debug("there is still no ear: %s", loss.reason)
            return []
        self._lost_s = now_s
        self._losses += 1
        logger.log(logging.INFO if loss.was_asked else logging.WARNING, "there is no ear: %s", loss.reason)
        return [EarLost(reason=loss.reason)]
