"""The agent: takes events from one queue, runs the machine of the visit, and has its effects carried out."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from audio.protocol import Level
from device import hours as opening_hours
from device.clock import Clock
from device.defects import Defects
from device.event_feed import EventFeed, Value
from device.hands import Hands
from device.hours import Hours
from device.inbox import Inbox, Stop
from device.intake import Intake
from device.language import LanguageButton
from device.parts import Ear, Outbox, Panel, PartEvent
from device.stats import AgentStats
from device.tally import Tally
from device.visit import effects, events
from device.visit.buttons import Buttons
from device.visit.limits import Limits
from device.visit.machine import deadline_s, phase_ends_s, rested, step
from device.visit.states import Finishing, Recording, State, Visit, name_of
from firmware_bridge import ButtonPressed, Scene

OWN_LANGUAGE = ("en",)
TURN_S = 1.0
"""The loop turns at least so often."""
DEFECT_PAUSE_S = 1.0
"""After a defect at a tick the next tick comes no sooner: a defect that repeats itself must not keep a core busy."""


class Agent:
    """The one thread of the kiosk. `post`, `stop` and `stats` are safe from every thread; all else belongs to `run`.

    A defect of the program costs the event at which it shows, and the visit that has to do with it, whose visitor is
    told; the loop goes on.
    """

    def __init__(
        self,
        *,
        spool: Outbox,
        feed: EventFeed,
        clock: Clock,
        limits: Limits,
        agent_version: str,
        consent_version: str | None,
        hours: Hours | None = None,
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
        self._hours = hours
        self._on_turn = on_turn
        self._monotonic = monotonic
        self._inbox = Inbox()
        self._defects = Defects(monotonic)
        self._tally = Tally()
        self._state = State()
        self._scene = Scene.OUT_OF_SERVICE
        self._language = LanguageButton(OWN_LANGUAGE, lambda _: None)
        self._look_s = self._tick_from_s = -math.inf
        self._visit_failed = False

    def post(self, event: PartEvent) -> None:
        """Put an event of the ear, the panel or the uplink into the queue."""
        self._inbox.put(event)

    def stop(self) -> None:
        """Make `run` return; also from a signal handler."""
        self._inbox.stop()

    def stats(self) -> AgentStats:
        """Return how the visits went; any thread."""
        tally, thanks_s = self._tally, self._tally.thanks_s
        return AgentStats(
            phase=name_of(self._state.phase),
            scene=self._scene.name.lower(),
            language=self._language.chosen,
            stuck_buttons=tuple(button.name.lower() for button in sorted(self._state.buttons.stuck)),
            last_thanks_s=None if thanks_s is None else self._monotonic() - thanks_s,
            visits=tally.visits,
            thanked=tally.thanked,
            taken_back=tally.taken_back,
            nothing_heard=tally.nothing_heard,
            failed=tally.failed,
            turned_away=tally.turned_away,
            defects=self._defects.count,
        )

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
        self._open(ear, panel, wake_uplink, understood)
        while True:
            event = self._inbox.get(self._wait_s())
            if isinstance(event, Stop):
                return
            self._turn(event)

    # ------------------------------------------------------------ the loop

    def _open(
        self, ear: Ear, panel: Panel | None, wake_uplink: Callable[[], None], understood: tuple[str, ...]
    ) -> None:
        self._language = LanguageButton(understood, ear.use_language)
        self._intake = Intake(
            tell=self._tell,
            clock=self._clock,
            language=self._language,
            spool=self._spool,
            defects=self._defects,
        )
        self._hands = Hands(
            ear=ear,
            panel=panel,
            spool=self._spool,
            wake_uplink=wake_uplink,
            language=self._language,
            tell=self._tell,
            tally=self._tally,
            monotonic=self._monotonic,
            agent_version=self._agent_version,
            consent_version=self._consent_version,
        )
        self._carry_out(effects.Show(Scene.OUT_OF_SERVICE))
        self._look_at_the_clock(self._monotonic())

    def _due_s(self) -> float:
        """Return when a tick is due."""
        dues_s = (deadline_s(self._state, self._limits), self._language.until_s, self._hands.debts.due_s, self._look_s)
        return max(min(due_s for due_s in dues_s if due_s is not None), self._tick_from_s)

    def _wait_s(self) -> float:
        """Return how long the loop may wait for an event."""
        return min(TURN_S, self._due_s() - self._monotonic())

    def _turn(self, event: PartEvent | None) -> None:
        """Take an event, if there is one, and see what time has brought: a flood of events must not stop the clock."""
        if event is not None:
            self._try(event)
        if self._monotonic() >= self._due_s():
            self._try(None)
        if self._on_turn is not None:
            self._defects.guard(self._on_turn)

    def _try(self, event: PartEvent | None) -> None:
        """Take an event, or a tick, and bear with a defect."""
        now_s = self._monotonic()
        self._visit_failed = False
        try:
            if event is None:
                self._tick(now_s)
            else:
                self._take(event, now_s)
        except Exception as error:  # noqa: BLE001
            self._defects.note(error)
            self._visit_failed |= event is None or self._is_of_the_visit(event)
        if self._visit_failed:
            self._end_visit(now_s)
            self._after_defect(event, now_s)

    def _tick(self, now_s: float) -> None:
        if now_s >= self._look_s:
            self._look_at_the_clock(now_s)
        self._defects.guard(self._language.tick, now_s)
        self._defects.guard(self._hands.debts.pay, now_s)
        self._step(events.Tick(now_s))

    def _take(self, event: PartEvent, now_s: float) -> None:
        if isinstance(event, Level):
            self._hands.show_level(event.dbfs)
            return
        for happening in self._intake.take(event, now_s, self._state.phase):
            self._step(happening)

    def _look_at_the_clock(self, now_s: float) -> None:
        # The next look is settled before this one, which may fail.
        self._look_s = now_s + opening_hours.LOOK_S
        opening = self._defects.guard(lambda: opening_hours.look(self._hours, self._clock.now()))
        if opening is None:
            return
        self._look_s = now_s + opening.look_s
        self._hands.tell_opening(opening)
        if opening.is_open is not self._state.is_open:
            self._step(events.Opened(now_s) if opening.is_open else events.ClosingTime(now_s))

    # ------------------------------------------------------------ the machine

    def _step(self, event: events.Event) -> None:
        happenings = deque([event])
        while happenings:
            before = self._state.phase
            try:
                self._state, todo = step(self._state, happenings.popleft(), self._limits)
            except Exception as error:  # noqa: BLE001
                self._defects.note(error)
                self._visit_failed = True
                return
            self._tally.moved(before, self._state.phase, self._monotonic())
            happenings.extend(answer for effect in todo if (answer := self._carry_out(effect)) is not None)

    def _carry_out(self, effect: effects.Effect) -> events.Event | None:
        """Carry an effect out, and return the answer if there is one; the next effects are carried out in any case."""
        if isinstance(effect, effects.Show):
            self._scene = effect.scene
        visit: Visit | None = getattr(self._state.phase, "visit", None)
        try:
            return self._hands.carry_out(effect, visit, phase_ends_s(self._state, self._limits))
        except Exception as error:  # noqa: BLE001
            self._defects.note(error)
            self._visit_failed = True
        if isinstance(effect, effects.Commit):
            return events.NotCommitted(effect.visit.id, self._monotonic())
        return None

    # ------------------------------------------------------------ defects

    def _is_of_the_visit(self, event: PartEvent) -> bool:
        visit: Visit | None = getattr(self._state.phase, "visit", None)
        of = getattr(event, "visit", None)
        return isinstance(event, ButtonPressed) or (visit is not None and of == visit.id)

    def _end_visit(self, now_s: float) -> None:
        """End the visit that a defect has spoilt; where even that fails, let the kiosk rest."""
        self._visit_failed = False
        self._step(events.Defect(now_s))
        phase = self._state.phase
        if isinstance(phase, Recording | Finishing):
            self._state, todo = rested(replace(self._state, buttons=Buttons()))
            for effect in (effects.Forget(phase.visit.id), *todo):
                self._carry_out(effect)

    def _after_defect(self, event: PartEvent | None, now_s: float) -> None:
        if event is None:
            self._tick_from_s = now_s + DEFECT_PAUSE_S
        elif isinstance(event, ButtonPressed):
            self._step(events.FoundDown(event.button, now_s))
            self._carry_out(effects.Decline(event.button, effects.Why.DEFECT))

    def _tell(self, event: str, *, state: str | None = None, **fields: Value) -> None:
        """Publish an event; a feed that fails disturbs nothing."""
        self._defects.guard(self._feed.publish, event, state=state, **fields)
