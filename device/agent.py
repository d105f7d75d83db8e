"""The agent: takes events from one queue, runs the machine of the visit, carries out its effects."""

import logging
import math
import queue
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass

from audio import protocol as ear_events
from audio.protocol import EarEvent, Transcript
from device import language as languages
from device.buttons import STUCK_S, Buttons
from device.clock import Clock
from device.debts import Debts
from device.defects import Defects
from device.event_feed import EventFeed
from device.hours import OpeningHours
from device.parts import Ear, Panel
from device.record import record_of
from device.spool import Spool, SpoolError
from device.stats import AgentStats
from device.tally import Tally, name_of
from device.uplink import Offline, Online, Settled, UplinkEvent
from device.visit import effects, events
from device.visit.limits import Limits
from device.visit.machine import deadline_s, step
from device.visit.states import Idle, Notice, State, Thanks, Visit
from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline, Scene

log = logging.getLogger(__name__)

LEVEL_FLOOR_DBFS = -60.0
"""Shown as nothing on the panel; the full scale is 0 dBFS."""
OWN_LANGUAGE = ("en",)
TURN_S = 1.0
HOURS_S = 10.0
"""Between two looks at the opening hours."""


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
        stuck_s: float = STUCK_S,
        hours: OpeningHours | None = None,
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
        self._hours = hours
        self._hours_due_s = -math.inf
        self._tally = Tally()
        self._defects = Defects()
        self._debts = Debts()
        self._buttons = Buttons(stuck_s)
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
            self._turn(event)
            if self._on_turn is not None:
                self._on_turn()

    def stats(self) -> AgentStats:
        """Return how the visits went; any thread."""
        return AgentStats(
            phase=name_of(self._state.phase),
            scene=self._scene.name.lower(),
            language=self._choice.chosen,
            stuck_buttons=tuple(button.name.lower() for button in self._buttons.stuck),
            last_thanks_s=None if self._thanks_s is None else self._monotonic() - self._thanks_s,
            visits=self._tally.visits,
            thanked=self._tally.thanked,
            taken_back=self._tally.taken_back,
            nothing_heard=self._tally.nothing_heard,
            failed=self._tally.failed,
            turned_away=self._tally.turned_away,
            defects=self._defects.count,
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

    def _turn(self, event: Inbound | None) -> None:
        """Take an event. An exception costs this event, and the visit that it may have belonged to."""
        try:
            self._tend(self._monotonic())
            self._take(event)
        except Exception as error:  # noqa: BLE001 a kiosk that goes on is better than one that waits for its restart
            self._defects.add(event, error, self._monotonic())
            self._recover()

    def _recover(self) -> None:
        todo = self._advance(events.Defect(self._monotonic()))
        for effect in todo:
            try:
                self._carry_out(effect)
            except Exception as error:  # noqa: BLE001 the other parts are told all the same
                self._defects.add(effect, error, self._monotonic())

    def _tend(self, now_s: float) -> None:
        if self._debts.pay(now_s):
            self._wake_uplink()
        if self._hours is not None:
            self._look_at_hours(self._hours, now_s)
        for button in self._buttons.newly_stuck(now_s):
            log.warning("The button %s has been down for a long time: is it stuck?", button.name.lower())
            self._feed.publish("stuck", button=button.name.lower())

    def _look_at_hours(self, hours: OpeningHours, now_s: float) -> None:
        if now_s < self._hours_due_s:
            return
        self._hours_due_s = now_s + HOURS_S
        stamp = self._clock.now()
        # A clock that is not set must not keep visitors out.
        is_open = not stamp.synchronised or hours.is_open(stamp.wall_s)
        if is_open != self._state.is_open:
            log.info("The kiosk %s, by its opening hours", "opens" if is_open else "closes")
            self._feed.publish("hours", state="hours", is_open=is_open)
            self._step(events.Opening(is_open))

    def _released(self, buttons: Collection[Button], now_s: float) -> None:
        for button in self._buttons.released(buttons):
            log.info("The button %s is not stuck any more", button.name.lower())
            self._feed.publish("unstuck", button=button.name.lower())
        for button in buttons:
            self._step(events.Released(button, now_s))

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
                self._buttons.pressed(button, now_s)
                self._feed.publish("pressed", button=button.name.lower())
                if button is Button.LANGUAGE and isinstance(self._state.phase, Idle | Notice):
                    self._choose(languages.another(self._choice, now_s))
                refusal = self._spool.refusal() if button is Button.RECORD else None
                self._step(events.Pressed(button, now_s, visit, refusal))
            case ButtonReleased(button=button):
                self._feed.publish("released", button=button.name.lower())
                self._released((button,), now_s)
            case PanelOnline(identity=identity):
                self._feed.publish("panel_online", state="panel", firmware=".".join(map(str, identity.firmware)))
            case PanelOffline(reason=reason, held=held):
                self._feed.publish("panel_offline", state="panel", reason=reason)
                self._released(held, now_s)

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
        for effect in self._advance(event):
            self._carry_out(effect)

    def _advance(self, event: events.Event) -> tuple[effects.Effect, ...]:
        before = self._state
        self._state, todo = step(before, event, self._limits)
        self._tally.count(before, event, self._state)
        if isinstance(event, events.Committed) and isinstance(self._state.phase, Thanks):
            self._thanks_s = event.at_s
        return todo

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
        self._scene = scene
        if self._panel is not None:
            self._panel.show(scene)
        self._feed.publish("scene", state="scene", scene=scene.name.lower(), visit=visit.id if visit else None)

    def _show_level(self, dbfs: float) -> None:
        value = round(255 * (1 - max(LEVEL_FLOOR_DBFS, min(0.0, dbfs)) / LEVEL_FLOOR_DBFS))
        if self._panel is not None:
            self._panel.level(value)
        self._feed.publish("level", dbfs=dbfs)

    def _commit(self, visit: Visit, transcript: Transcript) -> None:
        began_s = self._monotonic()
        try:
            record = record_of(visit.id, visit.pressed, transcript, self._agent_version, self._consent_version)
            self._spool.add(record)
        except SpoolError as error:
            log.error("A feedback could not be kept, its visitor is told: %s", error)  # noqa: TRY400
            self._step(events.NotCommitted(visit.id, self._monotonic()))
            return
        done_s = self._monotonic()
        self._feed.publish("committed", visit=visit.id, ms=round((done_s - began_s) * 1000, 2))
        self._step(events.Committed(visit.id, done_s))

    def _with_spool(self, change: Callable[[str], None], visit: str) -> None:
        # If the agent ends before it could be made, the row stays held, and the next start releases it.
        self._debts.add(change, visit, self._monotonic())
