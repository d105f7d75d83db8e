"""The agent: takes events from one queue, runs the machine of the visit, carries out its effects."""

import logging
import queue
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from audio import protocol as ear_events
from audio.protocol import EarEvent, Transcript
from contract.messages import Word
from device import language as languages
from device.clock import Clock
from device.event_feed import EventFeed
from device.record import Record
from device.spool import Spool, SpoolError
from device.stats import AgentStats
from device.uplink import Offline, Online, Settled, UplinkEvent
from device.visit import effects, events
from device.visit.limits import Limits
from device.visit.machine import deadline_s, step
from device.visit.states import Finishing, Idle, Notice, OutOfService, Phase, Recording, State, Thanks, Visit
from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline, Scene

log = logging.getLogger(__name__)

LEVEL_FLOOR_DBFS = -60.0
"""Shown as nothing on the panel; the full scale is 0 dBFS."""
OWN_LANGUAGE = ("en",)
TURN_S = 1.0
_PHASES: dict[type[Phase], str] = {
    Idle: "idle",
    Recording: "recording",
    Finishing: "finishing",
    Thanks: "thanks",
    Notice: "notice",
    OutOfService: "out_of_service",
}


class Ear(Protocol):
    """What the agent asks of the ear."""

    def begin(self, visit: str) -> None:
        """Begin a recording."""
        ...

    def finish(self, visit: str) -> None:
        """End it and transcribe."""
        ...

    def discard(self, visit: str) -> None:
        """Forget it."""
        ...

    def restart(self) -> None:
        """Replace the process."""
        ...

    def use_language(self, language: str) -> None:
        """Understand the next visits in another language."""
        ...


class Panel(Protocol):
    """What the agent asks of a button panel."""

    def show(self, scene: Scene) -> None:
        """Show a scene."""
        ...

    def level(self, value: int) -> None:
        """Show a level from 0 to 255."""
        ...


@dataclass(frozen=True, slots=True)
class _Stop:
    """The agent shall end."""


Inbound = EarEvent | PanelEvent | UplinkEvent | _Stop


class Agent:
    """The one thread of the kiosk. `post` is safe from every thread; everything else belongs to `run`."""

    def __init__(
        self,
        *,
        spool: Spool,
        feed: EventFeed,
        clock: Clock,
        limits: Limits,
        agent_version: str,
        consent_version: str | None,
        on_turn: Callable[[], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_turn`` is called after every event, and at least once a second when nothing happens."""
        self._spool = spool
        self._feed = feed
        self._clock = clock
        self._limits = limits
        self._agent_version = agent_version
        self._consent_version = consent_version
        self._on_turn = on_turn
        self._monotonic = monotonic
        self._visits = self._thanked = self._taken_back = self._nothing_heard = self._failed = 0
        self._thanks_s: float | None = None
        self._scene = Scene.OUT_OF_SERVICE
        self._inbox: queue.SimpleQueue[Inbound] = queue.SimpleQueue()
        self._state = State()
        self._choice = languages.Choice.of(OWN_LANGUAGE)

    def post(self, event: EarEvent | PanelEvent | UplinkEvent) -> None:
        """Put an event of the ear, the panel or the uplink into the queue."""
        self._inbox.put(event)

    def stop(self) -> None:
        """Make `run` return."""
        self._inbox.put(_Stop())

    def run(
        self,
        ear: Ear,
        panel: Panel | None,
        wake_uplink: Callable[[], None],
        understood: tuple[str, ...] = OWN_LANGUAGE,
    ) -> None:
        """Work until `stop`. A visit that is under way then is dropped; a committed one is in the spool.

        A visitor can choose among the languages `understood`, the kiosk's own first.
        """
        self._choice = languages.Choice.of(understood)
        self._ear, self._panel, self._wake_uplink = ear, panel, wake_uplink
        self._carry_out(effects.Show(Scene.OUT_OF_SERVICE))
        while True:
            event = self._next()
            if isinstance(event, _Stop):
                return
            self._take(event)
            if self._on_turn is not None:
                self._on_turn()

    def stats(self) -> AgentStats:
        """Return how the visits went; any thread."""
        return AgentStats(
            phase=_PHASES[type(self._state.phase)],
            scene=self._scene.name.lower(),
            language=self._choice.chosen,
            stuck_buttons=(),
            last_thanks_s=None if self._thanks_s is None else self._monotonic() - self._thanks_s,
            visits=self._visits,
            thanked=self._thanked,
            taken_back=self._taken_back,
            nothing_heard=self._nothing_heard,
            failed=self._failed,
            turned_away=0,
            defects=0,
        )

    # ------------------------------------------------------------ events in

    def _next(self) -> Inbound | None:
        dues_s = [due for due in (deadline_s(self._state, self._limits), self._choice.until_s) if due is not None]
        due_s = min(dues_s, default=None)
        try:
            wait_s = TURN_S if due_s is None else min(TURN_S, due_s - self._monotonic())
            return self._inbox.get(timeout=max(0.0, wait_s))
        except queue.Empty:
            return None

    def _take(self, event: Inbound | None) -> None:
        now_s = self._monotonic()
        match event:
            case None:
                self._choose(languages.at(self._choice, now_s))
                self._step(events.Tick(now_s))
            case ButtonPressed() | ButtonReleased() | PanelOnline() | PanelOffline():
                self._take_panel(event, now_s)
            case Online() | Offline() | Settled():
                self._take_uplink(event)
            case _Stop():
                pass
            case _:
                self._take_ear(event, now_s)

    def _take_panel(self, event: PanelEvent, now_s: float) -> None:
        match event:
            case ButtonPressed(button=button):
                visit = Visit(str(uuid.uuid4()), self._clock.now())
                self._feed.publish("pressed", button=button.name.lower())
                if button is Button.LANGUAGE and isinstance(self._state.phase, Idle | Notice):
                    self._choose(languages.another(self._choice, now_s))
                self._step(events.Pressed(button, now_s, visit))
            case ButtonReleased(button=button):
                self._feed.publish("released", button=button.name.lower())
                self._step(events.Released(button, now_s))
            case PanelOnline(identity=identity):
                self._feed.publish("panel_online", state="panel", firmware=".".join(map(str, identity.firmware)))
            case PanelOffline(reason=reason, held=held):
                self._feed.publish("panel_offline", state="panel", reason=reason)
                for button in held:
                    self._step(events.Released(button, now_s))

    def _take_ear(self, event: EarEvent, now_s: float) -> None:
        match event:
            case ear_events.Level(dbfs=dbfs):
                self._show_level(dbfs)
            case ear_events.Ready():
                self._feed.publish(
                    "ear_ready",
                    state="ear",
                    device=event.device,
                    rate_hz=event.rate_hz,
                    model=event.model,
                    model_is_demonstration=event.model_is_demonstration,
                )
                self._step(events.EarReady(now_s))
            case ear_events.EarLost(reason=reason):
                self._feed.publish("ear_lost", state="ear", reason=reason)
                self._step(events.EarLost(now_s))
            case ear_events.MicrophoneHealth(problem=problem, is_present=is_present, text=text):
                self._feed.publish("microphone", problem=problem.value, is_present=is_present, text=text)
            case ear_events.LanguageReady(language=language, model=model):
                self._feed.publish("language", state="language", language=language, model=model)
            case ear_events.LanguageUnusable(language=language, reason=reason):
                self._feed.publish("language_unusable", language=language, reason=reason)
                if language == self._choice.chosen:
                    self._choose(languages.own(self._choice))
            case _:
                self._take_visit(event, now_s)

    def _take_visit(self, event: EarEvent, now_s: float) -> None:
        match event:
            case ear_events.SpeechStarted(visit=visit):
                self._feed.publish("first_sound", visit=visit)
            case ear_events.Partial(visit=visit, text=text):
                self._feed.publish("partial", visit=visit, text=text)
            case ear_events.SpeechEnded(visit=visit):
                self._step(events.SpeechEnded(visit, now_s))
            case ear_events.NothingSaid(visit=visit):
                self._step(events.NothingSaid(visit, now_s))
            case ear_events.Transcript():
                self._take_transcript(event, now_s)
            case ear_events.Interrupted(visit=visit, reason=reason, lost_for_s=lost_for_s):
                self._feed.publish("interrupted", visit=visit, reason=reason)
                self._step(events.Interrupted(visit, now_s - lost_for_s))
            case ear_events.Failed(visit=visit, reason=reason):
                log.warning("The recording of visit %s could not be transcribed: %s", visit, reason)
                self._step(events.NotTranscribed(visit, now_s))
            case _:
                pass

    def _take_transcript(self, transcript: Transcript, now_s: float) -> None:
        self._feed.publish(
            "heard",
            visit=transcript.visit,
            text=transcript.text,
            confidence=transcript.confidence,
            audio_s=transcript.audio_s,
            speech_s=transcript.speech_s,
            finalise_ms=transcript.finalise_ms,
        )
        self._step(events.Heard(transcript.visit, now_s, transcript if transcript.text else None))

    def _take_uplink(self, event: UplinkEvent) -> None:
        match event:
            case Online():
                self._feed.publish("online", state="uplink")
            case Offline(reason=reason):
                self._feed.publish("offline", state="uplink", reason=reason)
            case Settled(record_id=record_id, stored=stored, reason=reason):
                self._feed.publish("receipt", visit=record_id, stored=stored, reason=reason)

    # ------------------------------------------------------------ effects out

    def _step(self, event: events.Event) -> None:
        self._state, todo = step(self._state, event, self._limits)
        for effect in todo:
            self._carry_out(effect)

    def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Show(scene=scene):
                self._show(scene)
            case effects.Listen(visit=visit):
                self._choice = languages.kept(self._choice)
                self._ear.begin(visit)
            case effects.StopListening(visit=visit):
                self._ear.finish(visit)
            case effects.Forget(visit=visit):
                self._ear.discard(visit)
            case effects.ReplaceEar():
                self._ear.restart()
            case effects.Commit(visit=visit, transcript=transcript):
                self._commit(visit, transcript)
            case effects.Release(visit=visit):
                self._with_spool(self._spool.release, visit)
                self._wake_uplink()
            case effects.TakeBack(visit=visit):
                self._with_spool(self._spool.take_back, visit)
                self._feed.publish("taken_back", visit=visit)

    def _choose(self, choice: languages.Choice) -> None:
        before, self._choice = self._choice, choice
        if choice.chosen != before.chosen:
            self._ear.use_language(choice.chosen)

    def _show(self, scene: Scene) -> None:
        if scene is Scene.IDLE and self._choice.until_s is None:
            self._choose(languages.own(self._choice))
        visit: Visit | None = getattr(self._state.phase, "visit", None)
        self._count(scene)
        if self._panel is not None:
            self._panel.show(scene)
        self._feed.publish("scene", state="scene", scene=scene.name.lower(), visit=visit.id if visit else None)

    def _count(self, scene: Scene) -> None:
        self._scene = scene
        self._visits += scene is Scene.RECORDING
        self._thanked += scene is Scene.THANKS
        self._taken_back += scene is Scene.DISCARDED
        self._nothing_heard += scene is Scene.NOTHING_HEARD
        self._failed += scene is Scene.SORRY
        if scene is Scene.THANKS:
            self._thanks_s = self._monotonic()

    def _show_level(self, dbfs: float) -> None:
        value = round(255 * (1 - max(LEVEL_FLOOR_DBFS, min(0.0, dbfs)) / LEVEL_FLOOR_DBFS))
        if self._panel is not None:
            self._panel.level(value)
        self._feed.publish("level", dbfs=dbfs)

    def _commit(self, visit: Visit, transcript: Transcript) -> None:
        began_s = self._monotonic()
        try:
            self._spool.add(self._record(visit, transcript))
        except SpoolError as error:
            log.error("A feedback could not be kept, its visitor is told: %s", error)  # noqa: TRY400
            self._step(events.NotCommitted(visit.id, self._monotonic()))
            return
        done_s = self._monotonic()
        self._feed.publish("committed", visit=visit.id, ms=round((done_s - began_s) * 1000, 2))
        self._step(events.Committed(visit.id, done_s))

    def _record(self, visit: Visit, transcript: Transcript) -> Record:
        return Record(
            id=visit.id,
            pressed=visit.pressed,
            transcript=transcript.text or "",
            language=transcript.language,
            confidence=transcript.confidence,
            words=tuple(
                Word(word=word.word, start_s=word.start_s, end_s=word.end_s, confidence=word.confidence)
                for word in transcript.words
            ),
            speech_s=transcript.speech_s,
            audio_s=transcript.audio_s,
            model=transcript.model,
            agent_version=self._agent_version,
            consent_version=self._consent_version,
        )

    def _with_spool(self, change: Callable[[str], None], visit: str) -> None:
        try:
            change(visit)
        except SpoolError as error:
            # The row stays held; the next start of the agent releases it.
            log.error("The spool could not be changed for visit %s: %s", visit, error)  # noqa: TRY400
