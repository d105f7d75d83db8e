"""Whatever happens at a kiosk: random events and faults for the real agent and its real machine, and what must hold."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import device.agent
from audio import protocol as ear_events
from device.hours import WEEKDAYS, parse
from device.visit import events
from device.visit.effects import Commit, Decline, Effect, Listen, Show
from device.visit.limits import Limits
from device.visit.machine import deadline_s, step
from device.visit.states import Closed, Finishing, Idle, Notice, OutOfService, Recording, State, Thanks
from firmware_bridge import Button, Scene
from tests.device.kiosk_world import World, demand

LIMITS = Limits(stuck_s=20.0)
HALF_DAYS = parse("UTC", {day: ["00:00-12:00"] for day in WEEKDAYS}, {})
"""So that half a day's jump of the clock opens or closes the kiosk."""
REST = (Idle, Closed, OutOfService)
LONGEST_WAY_TO_REST_S = LIMITS.speech_max_s + LIMITS.finishing_max_s + LIMITS.thanks_s + LIMITS.notice_s
ANSWERED = (Button.RECORD, Button.CANCEL)
DEFECTS = ("begin", "finish", "show", "level", "use_language", "add", "release", "refusal", "publish", "now")
SECONDS = st.sampled_from([0.01, 0.3, 0.7, 1.1, 3.1, 3.1, 5.0, 11.0, 25.0, 61.0, 4000.0])
SCENES = {
    Idle: Scene.IDLE,
    Recording: Scene.RECORDING,
    Finishing: Scene.FINISHING,
    Thanks: Scene.THANKS,
    Closed: Scene.CLOSED,
    OutOfService: Scene.OUT_OF_SERVICE,
}


def checked_step(state: State, event: events.Event, limits: Limits) -> tuple[State, tuple[Effect, ...]]:
    """Take a step of the machine, and look at it alone."""
    after, todo = step(state, event, limits)
    shown = [effect.scene for effect in todo if isinstance(effect, Show)]
    if isinstance(event, events.Pressed) and event.button in ANSWERED:
        demand(shown or any(isinstance(effect, Decline) for effect in todo), "a press without an answer")
    if Scene.THANKS in shown:
        demand(isinstance(event, events.Committed), "thanks without a commit")
    if isinstance(event, events.Tick):
        due_s = deadline_s(after, limits)
        demand(due_s is None or due_s > event.at_s, "a deadline that has passed already")
    for effect in todo:
        if isinstance(effect, Listen):
            may_begin = isinstance(event, events.Pressed) and event.refusal is None
            demand(may_begin and state.is_open and state.can_hear, "a recording where none may be")
        if isinstance(effect, Commit):
            demand(isinstance(event, events.Heard), "a commit without words")
    return after, todo


def check_exit(state: State) -> None:
    """From here ticks alone lead to a rest, within a bounded time."""
    now_s = began_s = max((visit_s for visit_s in (state.ended_s, deadline_s(state, LIMITS)) if visit_s), default=0.0)
    for _ in range(3 + len(Button)):
        if isinstance(state.phase, REST):
            break
        due_s = deadline_s(state, LIMITS)
        assert due_s is not None, f"no exit from {state.phase}"
        now_s = max(now_s, due_s)
        state, _ = step(state, events.Tick(now_s), LIMITS)
    assert isinstance(state.phase, REST)
    assert now_s - began_s <= LONGEST_WAY_TO_REST_S


class KioskRules(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(LIMITS, HALF_DAYS)
        self.world.ear_is_ready()

    # ------------------------------------------------------------ people

    @rule(button=st.sampled_from([*ANSWERED, *ANSWERED, *Button]))
    def press(self, button: Button) -> None:
        world = self.world
        is_seen = world.is_plugged and button not in world.down
        told, begun, thanked = len(world.panel.told), len(world.ear.begun), len(world.thanked)
        struck = world.trouble.struck.total()
        was_open = world.agent._state.is_open
        world.press(button)
        if is_seen and button in ANSWERED:
            is_spoilt = world.trouble.struck.total() > struck
            assert len(world.panel.told) > told or is_spoilt, "a press without light or sound"
        if not was_open or button is not Button.RECORD:
            assert len(world.ear.begun) == begun
        assert len(world.thanked) == thanked

    @rule(button=st.sampled_from(Button))
    def release(self, button: Button) -> None:
        self.world.release(button)

    @rule()
    def tap(self) -> None:
        self.world.tap()

    @rule(pause_s=st.sampled_from([0.0, 1.5]))
    def somebody_speaks(self, pause_s: float) -> None:
        """Press, speak, and pause, as most visitors do."""
        world = self.world
        world.time_passes(pause_s)
        begun = len(world.ear.begun)
        world.tap()
        if len(world.ear.begun) > begun:
            world.time_passes(2.0)
            world.happens(ear_events.SpeechEnded(visit=world.ear.begun[-1]))

    @rule(pause_s=st.sampled_from([0.0, 1.5]))
    def somebody_is_thanked_if_all_is_well(self, pause_s: float) -> None:
        self.somebody_speaks(pause_s)
        self.the_last_words_come_at_once()

    @rule()
    def the_last_words_come_at_once(self) -> None:
        if self.world.ear.begun:
            self.world.ear.hear(self.world.ear.begun[-1], "hello")
            self.world.happens()

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.world.time_passes(seconds)

    # ------------------------------------------------------------ the ear

    @rule()
    def ear_comes(self) -> None:
        self.world.ear_is_ready()

    @precondition(lambda self: self.world.ear.is_ready)
    @rule(lost_for_s=st.sampled_from([0.0, 1.1, 30.0]), is_kept=st.booleans())
    def ear_is_lost(self, lost_for_s: float, is_kept: bool) -> None:
        self.world.ear.lose(lost_for_s=lost_for_s, is_kept=is_kept)
        self.world.happens()

    @rule(text=st.sampled_from(["hello", None]), data=st.data())
    def words_come(self, text: str | None, data: st.DataObject) -> None:
        visits = sorted(self.world.ear.owed - self.world.ear.recording, key=self.world.ear.begun.index)
        if visits:
            self.world.ear.hear(data.draw(st.sampled_from(visits)), text)
            self.world.happens()

    @rule(data=st.data())
    def a_recording_fails(self, data: st.DataObject) -> None:
        visits = sorted(self.world.ear.owed, key=self.world.ear.begun.index)
        if visits:
            self.world.ear.fail(data.draw(st.sampled_from(visits)))
            self.world.happens()

    @rule(kind=st.sampled_from([ear_events.SpeechEnded, ear_events.NothingSaid]), data=st.data())
    def speech_ends_also_of_visits_long_over(
        self, kind: type[ear_events.SpeechEnded | ear_events.NothingSaid], data: st.DataObject
    ) -> None:
        if self.world.ear.begun:
            self.world.happens(kind(visit=data.draw(st.sampled_from(self.world.ear.begun[-3:]))))

    @rule()
    def level(self) -> None:
        self.world.happens(ear_events.Level(dbfs=-20.0, peak=0.5))

    # ------------------------------------------------------------ faults

    @rule()
    def panel_is_unplugged(self) -> None:
        self.world.unplug()

    @rule()
    def panel_is_plugged_in(self) -> None:
        self.world.plug()

    @rule(refuses=st.sampled_from([None, "the disk is full"]))
    def spool_refuses(self, refuses: str | None) -> None:
        self.world.spool.refuses = refuses

    @rule(add_fails=st.booleans(), changes_fail=st.booleans())
    def disk_breaks(self, add_fails: bool, changes_fail: bool) -> None:
        self.world.spool.add_fails, self.world.spool.changes_fail = add_fails, changes_fail

    @rule(name=st.sampled_from(DEFECTS))
    def a_defect_waits(self, name: str) -> None:
        self.world.trouble.armed = {name}

    @rule(seconds=st.sampled_from([-366 * 86400.0, -43200.0, -1.0, 1.0, 43200.0, 366 * 86400.0]))
    def wall_clock_jumps(self, seconds: float) -> None:
        phase = self.world.phase
        self.world.jump(seconds)
        self.world.turn(None)
        if not isinstance(phase, REST):
            assert self.world.phase is phase, "the wall clock has touched a visit"

    @rule(seconds=st.sampled_from([-43200.0, 43200.0]))
    def opening_or_closing_time(self, seconds: float) -> None:
        """As the jump of the clock, and noticed at once."""
        self.world.jump(seconds)
        self.world.agent._look_s = self.world.clock.now_s
        self.world.turn(None)

    @rule(synchronised=st.booleans())
    def clock_is_synchronised_or_not(self, synchronised: bool) -> None:
        self.world.clock.synchronised = synchronised

    # ------------------------------------------------------------ what must hold

    @invariant()
    def there_is_an_exit(self) -> None:
        check_exit(self.world.agent._state)

    @invariant()
    def one_recording_at_most_and_only_while_the_visitor_is_told_so(self) -> None:
        phase, recording = self.world.phase, self.world.ear.recording
        assert recording <= ({phase.visit.id} if isinstance(phase, Recording) else set())

    @invariant()
    def the_scene_is_that_of_the_phase(self) -> None:
        phase = self.world.phase
        expected = phase.scene if isinstance(phase, Notice) else SCENES[type(phase)]
        assert self.world.agent.stats().scene == expected.name.lower()

    @invariant()
    def only_words_that_can_still_come_are_awaited(self) -> None:
        assert {visit.id for visit in self.world.agent._state.late} <= self.world.ear.owed

    @invariant()
    def no_button_that_is_up_is_stuck(self) -> None:
        known = {button.name.lower() for button in self.world.down} if self.world.is_plugged else set()
        assert set(self.world.agent.stats().stuck_buttons) <= known

    @invariant()
    def the_counters_tell_what_happened(self) -> None:
        world, stats = self.world, self.world.agent.stats()
        struck = world.trouble.struck.total()
        assert stats.defects == struck
        assert stats.thanked - struck <= len(world.thanked) <= stats.thanked
        assert stats.visits - struck <= len(world.ear.begun) <= stats.visits

    def teardown(self) -> None:
        world = self.world
        world.trouble.armed.clear()
        world.spool.add_fails = world.spool.changes_fail = False
        world.spool.refuses = None
        for visit in sorted(world.ear.owed):
            world.ear.fail(visit)
        world.happens()
        world.time_passes(200.0)
        assert isinstance(world.phase, REST)
        if world.is_plugged:
            assert set(world.agent.stats().stuck_buttons) == {button.name.lower() for button in world.down}
        assert world.ear.recording == set()
        # A release that fails by a defect is made good by the next start of the agent.
        assert len(world.spool.held) <= world.trouble.struck["release"], "a feedback that never leaves"
        assert not set(world.spool.released) & set(world.spool.taken_back)
        assert set(world.thanked) <= world.spool.committed
        # And the next visitor can speak.
        for button in Button:
            world.release(button)
        world.plug()
        world.clock.synchronised = False
        world.time_passes(31.0)
        world.ear_is_ready()
        begun = len(world.ear.begun)
        world.press()
        assert len(world.ear.begun) == begun + 1


@pytest.fixture(autouse=True)
def _look_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.agent, "step", checked_step)


TestKioskRules = KioskRules.TestCase
TestKioskRules.settings = settings(
    max_examples=int(os.environ.get("VOISEBACK_VISITS_EXAMPLES", "300")),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
