"""What the ear, the panel and the uplink tell, as events of the visit; what only the screen cares for is published."""

import logging
import uuid
from collections.abc import Iterator

from audio import protocol as ear_events
from audio.protocol import EarEvent, Transcript
from device.clock import Clock
from device.defects import Defects
from device.language import LanguageButton
from device.parts import Outbox, PartEvent, Tell
from device.uplink import Offline, Online, Settled, UplinkEvent
from device.visit import events
from device.visit.states import Idle, Notice, Phase, Visit
from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline

log = logging.getLogger(__name__)

VisitEvents = Iterator[events.Event]


class Intake:
    """Takes one event of a part at a time.

    What fails beside a press by a defect is noted in ``defects``, and the press counts all the same.
    """

    def __init__(self, *, tell: Tell, clock: Clock, language: LanguageButton, spool: Outbox, defects: Defects) -> None:
        self._tell = tell
        self._clock = clock
        self._language = language
        self._spool = spool
        self._defects = defects

    def take(self, event: PartEvent, now_s: float, phase: Phase) -> VisitEvents:
        """Yield the events of the visit that lie in ``event``, in order; ``phase`` is the visit's present one."""
        match event:
            case ButtonPressed() | ButtonReleased() | PanelOnline() | PanelOffline():
                yield from self._take_panel(event, now_s, phase)
            case Online() | Offline() | Settled():
                self._take_uplink(event)
            case _:
                yield from self._take_ear(event, now_s)

    def _take_panel(self, event: PanelEvent, now_s: float, phase: Phase) -> VisitEvents:
        match event:
            case ButtonPressed(button=button):
                self._tell("pressed", button=button.name.lower())
                if button is Button.LANGUAGE and isinstance(phase, Idle | Notice):
                    self._defects.guard(self._language.press, now_s)
                visit = Visit(str(uuid.uuid4()), self._clock.now())
                refusal = self._defects.guard(self._spool.refusal) if button is Button.RECORD else None
                yield events.Pressed(button, now_s, visit, refusal)
            case ButtonReleased(button=button):
                self._tell("released", button=button.name.lower())
                yield events.Released(button, now_s)
            case PanelOnline(identity=identity):
                self._tell("panel_online", state="panel", firmware=".".join(map(str, identity.firmware)))
                for button in sorted(identity.held):
                    yield events.FoundDown(button, now_s)
            case PanelOffline(reason=reason, held=held):
                self._tell("panel_offline", state="panel", reason=reason)
                for button in sorted(held):
                    yield events.Released(button, now_s)

    def _take_ear(self, event: EarEvent, now_s: float) -> VisitEvents:
        match event:
            case ear_events.Ready():
                self._tell(
                    "ear_ready",
                    state="ear",
                    device=event.device,
                    rate_hz=event.rate_hz,
                    model=event.model,
                    model_is_demonstration=event.model_is_demonstration,
                )
                yield events.EarReady(now_s)
            case ear_events.EarLost(reason=reason):
                self._tell("ear_lost", state="ear", reason=reason)
                yield events.EarLost(now_s)
            case ear_events.MicrophoneHealth(problem=problem, is_present=is_present, text=text):
                self._tell("microphone", problem=problem.value, is_present=is_present, text=text)
            case ear_events.LanguageReady(language=language, model=model):
                self._tell("language", state="language", language=language, model=model)
            case ear_events.LanguageUnusable(language=language, reason=reason):
                self._tell("language_unusable", language=language, reason=reason)
                self._language.give_up(language)
            case _:
                yield from self._take_visit(event, now_s)

    def _take_visit(self, event: EarEvent, now_s: float) -> VisitEvents:
        match event:
            case ear_events.SpeechStarted(visit=visit):
                self._tell("first_sound", visit=visit)
            case ear_events.Partial(visit=visit, text=text):
                self._tell("partial", visit=visit, text=text)
            case ear_events.SpeechEnded(visit=visit):
                yield events.SpeechEnded(visit, now_s)
            case ear_events.NothingSaid(visit=visit):
                yield events.NothingSaid(visit, now_s)
            case ear_events.Transcript():
                yield self._heard(event, now_s)
            case ear_events.Interrupted(visit=visit, reason=reason, lost_for_s=lost_for_s):
                self._tell("interrupted", visit=visit, reason=reason)
                yield events.Interrupted(visit, now_s - lost_for_s)
            case ear_events.Failed(visit=visit, reason=reason):
                log.warning("The recording of visit %s could not be transcribed: %s", visit, reason)
                yield events.NotTranscribed(visit, now_s)
            case _:
                pass

    def _heard(self, transcript: Transcript, now_s: float) -> events.Heard:
        self._tell(
            "heard",
            visit=transcript.visit,
            text=transcript.text,
            confidence=transcript.confidence,
            audio_s=transcript.audio_s,
            speech_s=transcript.speech_s,
            finalise_ms=transcript.finalise_ms,
        )
        return events.Heard(transcript.visit, now_s, transcript if transcript.text else None)

    def _take_uplink(self, event: UplinkEvent) -> None:
        match event:
            case Online():
                self._tell("online", state="uplink")
            case Offline(reason=reason):
                self._tell("offline", state="uplink", reason=reason)
            case Settled(record_id=record_id, stored=stored, reason=reason):
                self._tell("receipt", visit=record_id, stored=stored, reason=reason)
