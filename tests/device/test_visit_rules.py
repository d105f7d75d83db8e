"""The agent and the machine of the visit under random events: what must hold in every step."""

import shutil
import tempfile
from datetime import UTC
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from audio import protocol as ear_events
from device.agent import Agent
from device.clock import Stamp
from device.event_feed import EventFeed
from device.hours import OpeningHours, Span
from device.record import Record
from device.spool import SpoolError
from device.visit.limits import Limits
from device.visit.machine import deadline_s
from device.visit.states import Closed, Idle, OutOfService, Recording, Thanks
from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelOffline, Scene

LIMITS = Limits()
REST_S = LIMITS.speech_max_s + LIMITS.finishing_max_s + LIMITS.thanks_s + LIMITS.notice_s + LIMITS.answer_s
"""Within so long the kiosk comes to rest, whatever it does now."""


class FakeSpool:
    """Keeps records in memory, and fails when it is told to."""

    def __init__(self) -> None:
        self.fails = False
        self.full = False
        self.held: dict[str, Record] = {}
        self.committed: set[str] = set()
        self.released: set[str] = set()
        self.taken_back: set[str] = set()

    def refusal(self) -> str | None:
        return "the disk is full" if self.full else None

    def add(self, record: Record) -> None:
        self._work()
        assert record.id not in self.committed, "committed twice"
        self.committed.add(record.id)
        self.held[record.id] = record

    def release(self, visit: str) -> None:
        assert visit in self.committed, "released without a commit"
        assert visit not in self.taken_back, "released after it was taken back"
        assert visit not in self.released, "released twice"
        self._work()
        self.released.add(visit)

    def take_back(self, visit: str) -> None:
        assert visit in self.committed
        assert visit not in self.released, "taken back after it had left"
        self.taken_back.add(visit)
        self._work()

    def _work(self) -> None:
        if self.fails:
            raise SpoolError("the disk does not answer")


class FakeEar:
    """Keeps account of the recordings."""

    def __init__(self) -> None:
        self.listening: str | None = None
        self.transcribing: list[str] = []
        self.begun: set[str] = set()
        self.restarts = 0

    def begin(self, visit: str) -> None:
        assert self.listening is None, "a recording while another is under way"
        assert visit not in self.begun
        self.begun.add(visit)
        self.listening = visit

    def finish(self, visit: str) -> None:
        assert self.listening == visit, "the end of a recording that is not under way"
        self.listening = None
        self.transcribing.append(visit)

    def discard(self, visit: str) -> None:
        assert visit in self.begun, "a recording forgotten that never began"
        self.listening = None if self.listening == visit else self.listening
        self.transcribing = [one for one in self.transcribing if one != visit]

    def restart(self) -> None:
        self.restarts += 1

    def use_language(self, language: str) -> None:
        assert language in ("en", "de")

    def lost(self) -> str | None:
        """Lose the process, and return the recording that was under way."""
        lost, self.listening = self.listening, None
        return lost


class FakePanel:
    """Sees only what a panel shows: a scene that is shown already is no news."""

    def __init__(self, spool: FakeSpool) -> None:
        self.spool = spool
        self.durable_at_thanks: set[str] = set()
        self.scene: Scene | None = None
        self.changes: list[Scene] = []
        self.broken = False

    def show(self, scene: Scene) -> None:
        if self.broken:
            self.broken = False
            raise OSError("the panel is broken")
        if scene is not self.scene:
            self.changes.append(scene)
        if scene is Scene.THANKS:
            self.durable_at_thanks = set(self.spool.committed)
        self.scene = scene

    def level(self, value: int) -> None:
        assert 0 <= value <= 255


class FakeClock:
    """A wall clock that goes with the monotonic one, and may not be set."""

    def __init__(self) -> None:
        self.wall_s = 1_000.0
        self.synchronised = True

    def now(self) -> Stamp:
        return Stamp(boot_id="boot", since_boot_s=1.0, wall_s=self.wall_s, synchronised=self.synchronised)


class Visitors(RuleBasedStateMachine):
    """Everything that can happen at a kiosk, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.spool, self.ear = FakeSpool(), FakeEar()
        self.panel = FakePanel(self.spool)
        self.clock = FakeClock()
        self.folder = Path(tempfile.mkdtemp())
        spans = tuple(Span(hour * 60, hour * 60 + 30) for hour in range(24))
        self.agent = Agent(
            spool=self.spool,  # type: ignore[arg-type]
            feed=EventFeed(self.folder),
            clock=self.clock,
            limits=LIMITS,
            agent_version="test",
            consent_version=None,
            monotonic=lambda: self.now_s,
            hours=OpeningHours(UTC, (spans,) * 7),
        )
        self.agent.stop()
        self.agent.run(self.ear, self.panel, lambda: None, ("en", "de"))
        self.expected_defects = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def take(self, event: object) -> list[Scene]:
        """Give the agent's own turn an event, and return what could be seen of it."""
        seen = len(self.panel.changes)
        self.agent._turn(event)  # type: ignore[arg-type]
        changes = self.panel.changes[seen:]
        phase = self.agent._state.phase
        if Scene.THANKS in changes:
            assert isinstance(phase, Thanks)
            assert phase.visit.id in self.panel.durable_at_thanks, "thanks before the commit"
        return changes

    def visit(self) -> str:
        phase = self.agent._state.phase
        known = getattr(phase, "visit", None)
        return known.id if known is not None else "another"

    @initialize(hears=st.booleans())
    def starts(self, hears: bool) -> None:
        if hears:
            self.becomes_ready()

    @rule(button=st.sampled_from([Button.RECORD, Button.RECORD, Button.CANCEL]))
    def press(self, button: Button) -> None:
        self.agent._tend(self.now_s)
        assert self.take(ButtonPressed(button)), f"no answer to {button.name} in {self.agent._state.phase}"

    @rule(button=st.sampled_from([Button.LANGUAGE, Button.REPLY]))
    def press_another(self, button: Button) -> None:
        self.take(ButtonPressed(button))

    @rule(button=st.sampled_from(list(Button)))
    def release(self, button: Button) -> None:
        self.take(ButtonReleased(button))

    @rule(seconds=st.sampled_from([0.1, 0.3, 0.7, 1.0, 3.0, 5.0, 11.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while (due_s := deadline_s(self.agent._state, LIMITS)) is not None and due_s <= until_s:
            self.now_s = max(self.now_s, due_s)
            self.take(None)
        self.now_s = until_s
        self.take(None)

    @rule(last=st.booleans())
    def speech_ends(self, last: bool) -> None:
        self.take((ear_events.SpeechEnded if last else ear_events.NothingSaid)(visit=self.visit()))

    @rule(text=st.sampled_from(["hello", "hello", None]), late=st.booleans())
    def words_come(self, text: str | None, late: bool) -> None:
        waiting = self.ear.transcribing
        if not waiting:
            return
        visit = waiting.pop(0 if late else -1)
        self.take(
            ear_events.Transcript(
                visit=visit,
                text=text,
                language="en",
                model="m",
                confidence=None,
                words=(),
                audio_s=1.0,
                speech_s=1.0,
                finalise_ms=1.0,
                too_quiet=False,
                too_loud=False,
            )
        )

    @rule(text=st.sampled_from(["hello", "hello", None]))
    def somebody_speaks(self, text: str | None) -> None:
        for _ in range(2):
            self.press(Button.RECORD)
            self.release(Button.RECORD)
        self.words_come(text=text, late=False)

    @rule()
    def recogniser_fails(self) -> None:
        if self.ear.transcribing:
            self.take(ear_events.Failed(visit=self.ear.transcribing.pop(), reason="it failed"))

    @rule()
    def becomes_ready(self) -> None:
        self.take(
            ear_events.Ready(device="mic", rate_hz=1, channels=1, model="m", model_is_demonstration=True, language="en")
        )

    @rule(kept=st.booleans())
    def ear_dies(self, kept: bool) -> None:
        lost = self.ear.lost()
        if lost is not None and kept:
            self.take(ear_events.Interrupted(visit=lost, reason="it died", lost_for_s=0.5))
            self.ear.transcribing.append(lost)
        self.take(ear_events.EarLost(reason="it died"))

    @rule(fails=st.booleans(), full=st.booleans())
    def disk_changes(self, fails: bool, full: bool) -> None:
        self.spool.fails, self.spool.full = fails, full

    @rule(minute=st.sampled_from([0, 29, 31, 59]), synchronised=st.booleans())
    def the_clock_is_set(self, minute: int, synchronised: bool) -> None:
        self.clock.wall_s, self.clock.synchronised = minute * 60.0, synchronised
        self.now_s += 30.0
        due_s = deadline_s(self.agent._state, LIMITS)
        if due_s is not None:
            self.now_s = max(due_s, self.now_s)
        self.take(None)
        assert self.agent._state.is_open == (minute < 30 or not synchronised)

    @rule(is_there=st.booleans())
    def panel_changes(self, is_there: bool) -> None:
        if not is_there:
            self.take(PanelOffline("unplugged", frozenset({Button.RECORD})))

    @rule()
    def an_effect_fails(self) -> None:
        self.panel.broken = True
        before = self.agent.stats().defects
        self.agent._turn(ButtonPressed(Button.RECORD))
        assert self.agent.stats().defects > before
        self.expected_defects = self.agent.stats().defects
        self.panel.broken = False

    @invariant()
    def no_unexpected_defect(self) -> None:
        assert self.agent.stats().defects == self.expected_defects

    @invariant()
    def the_next_tick_is_ahead(self) -> None:
        due_s = deadline_s(self.agent._state, LIMITS)
        if due_s is not None and due_s <= self.now_s:
            self.take(None)
            due_s = deadline_s(self.agent._state, LIMITS)
        assert due_s is None or due_s > self.now_s, "a busy loop"

    @invariant()
    def the_ear_listens_only_while_somebody_speaks(self) -> None:
        phase = self.agent._state.phase
        assert self.ear.listening == (phase.visit.id if isinstance(phase, Recording) else None)

    @invariant()
    def what_is_shown_is_what_is_so(self) -> None:
        assert (self.panel.scene is Scene.RECORDING) == isinstance(self.agent._state.phase, Recording)

    @rule()
    def ticks_alone_lead_to_rest(self) -> None:
        self.time_passes(REST_S)
        assert isinstance(self.agent._state.phase, Idle | OutOfService | Closed)
        assert self.agent._state.answer is None


TestVisitors = Visitors.TestCase
TestVisitors.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
