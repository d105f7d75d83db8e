"""A kiosk without hardware, threads or waiting: the real agent and its real machine, between parts that can fail."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from audio import protocol as ear_events
from audio.protocol import EarEvent
from device.agent import Agent
from device.clock import Stamp
from device.event_feed import EventFeed, Value
from device.hours import Hours
from device.parts import PartEvent
from device.record import Record
from device.spool import SpoolError
from device.visit.limits import Limits
from device.visit.states import Phase, Recording, Thanks
from firmware_bridge import Button, ButtonPressed, ButtonReleased, Display, Identity, PanelOffline, PanelOnline, Scene
from tests.device.records import a_transcript

BEGIN_S = 1_000.0
LONGEST_WALL_S = 4e9
READY = ear_events.Ready(device="mic", rate_hz=16000, channels=1, model="m", model_is_demonstration=True, language="en")


VIOLATIONS: list[str] = []
"""What must not happen and did: the agent bears with an exception in a part, and would hide it."""


def demand(holds: object, otherwise: str) -> None:
    """Note a violation, for `World.turn` to fail with."""
    if not holds:
        VIOLATIONS.append(otherwise)


class DefectError(RuntimeError):
    """What no part would raise by itself."""


@dataclass
class Trouble:
    """What fails by a defect at its next call, by name."""

    armed: set[str] = field(default_factory=set)
    struck: Counter[str] = field(default_factory=Counter)

    def strike(self, name: str) -> None:
        if name in self.armed:
            self.armed.remove(name)
            self.struck[name] += 1
            raise DefectError(name)


@dataclass
class FakeClock:
    trouble: Trouble
    now_s: float = BEGIN_S
    wall_s: float = 1_779_926_400.0 + 6 * 3600
    """Six in the morning, in UTC."""
    synchronised: bool = True

    def monotonic(self) -> float:
        return self.now_s

    def now(self) -> Stamp:
        self.trouble.strike("now")
        return Stamp(boot_id="boot", since_boot_s=self.now_s, wall_s=self.wall_s, synchronised=self.synchronised)

    def pass_to(self, now_s: float) -> None:
        self.wall_s += now_s - self.now_s
        self.now_s = now_s


class FakeEar:
    """Keeps the promises of `audio.ear_process.EarProcess`, and demands that it is used as it must be."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.is_ready = False
        self.recording: set[str] = set()
        self.owed: set[str] = set()
        """Visits of which a transcript or a failure is still to come."""
        self.begun: list[str] = []
        self.news: list[EarEvent] = []
        """What it has to say, and has not said yet."""

    def begin(self, visit: str) -> None:
        self.trouble.strike("begin")
        demand(not self.recording, "two recordings at a time")
        demand(visit not in self.begun, "a visit was begun twice")
        self.begun.append(visit)
        if self.is_ready:
            self.recording.add(visit)
        self.owed.add(visit)
        if not self.is_ready:
            self.fail(visit)

    def finish(self, visit: str) -> None:
        self.trouble.strike("finish")
        demand(visit in self.begun, "finished what was not begun")
        self.recording.discard(visit)

    def discard(self, visit: str) -> None:
        self.recording.discard(visit)
        self.owed.discard(visit)

    def restart(self) -> None:
        self.lose()

    def use_language(self, language: str) -> None:
        self.trouble.strike("use_language")

    def lose(self, *, lost_for_s: float = 0.0, is_kept: bool = True) -> None:
        """Lose the ear: what was being said is kept, and transcribed by the next one, or it is lost, too."""
        for visit in sorted(self.owed) if is_kept else ():
            self.news.append(ear_events.Interrupted(visit=visit, reason="it died", lost_for_s=lost_for_s))
        self.recording.clear()
        if self.is_ready:
            self.news.append(ear_events.EarLost(reason="it died"))
        self.is_ready = False
        for visit in () if is_kept else sorted(self.owed):
            self.fail(visit)

    def fail(self, visit: str) -> None:
        self.recording.discard(visit)
        if visit in self.owed:
            self.owed.discard(visit)
            self.news.append(ear_events.Failed(visit=visit, reason="no words"))

    def hear(self, visit: str, text: str | None) -> None:
        if visit in self.owed and visit not in self.recording:
            self.owed.discard(visit)
            self.news.append(a_transcript(visit, text))


class FakePanel:
    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.told: list[Scene | None] = []
        """Scenes, and None for each answer."""
        self.on_thanks: Callable[[], None] = lambda: None

    def show(self, scene: Scene) -> None:
        self.trouble.strike("show")
        self.told.append(scene)
        if scene is Scene.THANKS:
            self.on_thanks()

    def answer(self) -> None:
        self.told.append(None)

    def level(self, value: int) -> None:
        self.trouble.strike("level")


class FakeSpool:
    """Fails when it is told to, and demands that nothing is done twice or in vain."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.refuses: str | None = None
        self.add_fails = False
        self.changes_fail = False
        self.held: set[str] = set()
        self.released: list[str] = []
        self.taken_back: list[str] = []

    def refusal(self) -> str | None:
        self.trouble.strike("refusal")
        return self.refuses

    def add(self, record: Record) -> None:
        self.trouble.strike("add")
        if self.add_fails:
            self.fail()
        demand(record.id not in self.committed, "kept twice")
        self.held.add(record.id)

    def release(self, record_id: str) -> None:
        self.trouble.strike("release")
        if self.changes_fail:
            self.fail()
        demand(record_id in self.held, "released what was not committed, or was taken back")
        self.held.discard(record_id)
        self.released.append(record_id)

    def take_back(self, record_id: str) -> None:
        if self.changes_fail:
            self.fail()
        demand(record_id in self.held, "taken back what was not committed, or had left")
        self.held.discard(record_id)
        self.taken_back.append(record_id)

    def fail(self) -> NoReturn:
        raise SpoolError("the disk is broken")

    @property
    def committed(self) -> set[str]:
        return self.held | set(self.released) | set(self.taken_back)


class NotedFeed(EventFeed):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(Path("/nonexistent"))
        self.trouble = trouble
        self.lines: list[dict[str, Value]] = []

    def publish(self, event: str, *, state: str | None = None, **fields: Value) -> None:
        self.trouble.strike("publish")
        self.lines.append({"event": event, **fields})


class World:
    """The agent, its parts, and a person at the panel."""

    def __init__(self, limits: Limits, hours: Hours | None = None) -> None:
        VIOLATIONS.clear()
        self.limits = limits
        self.trouble = Trouble()
        self.clock = FakeClock(self.trouble)
        self.ear, self.panel, self.spool = FakeEar(self.trouble), FakePanel(self.trouble), FakeSpool(self.trouble)
        self.feed = NotedFeed(self.trouble)
        self.panel.on_thanks = self.check_thanks
        self.thanked: list[str] = []
        self.down: set[Button] = set()
        self.is_plugged = True
        self.turns = 0
        self.agent = Agent(
            spool=self.spool,
            feed=self.feed,
            clock=self.clock,
            limits=limits,
            agent_version="test",
            consent_version=None,
            hours=hours,
            on_turn=self.count_turn,
            monotonic=self.clock.monotonic,
        )
        self.agent._open(self.ear, self.panel, lambda: None, ("en", "de"))

    @property
    def phase(self) -> Phase:
        return self.agent._state.phase

    def count_turn(self) -> None:
        self.turns += 1

    def check_thanks(self) -> None:
        phase = self.phase
        visit = phase.visit.id if isinstance(phase, Thanks) else "nobody"
        demand(visit in self.spool.held, "thanked before the commit")
        demand(visit not in self.thanked, "thanked twice")
        self.thanked.append(visit)

    def happens(self, *happenings: PartEvent) -> None:
        """Let the agent take events, and what the ear has to say on account of them."""
        for event in happenings:
            self.turn(event)
        while self.ear.news:
            self.turn(self.ear.news.pop(0))

    def turn(self, event: PartEvent | None) -> None:
        before = self.turns
        self.agent._turn(event)
        assert not VIOLATIONS
        assert self.agent.stats().defects == self.trouble.struck.total()
        assert self.turns == before + 1
        if isinstance(self.phase, Recording):
            assert self.phase.visit.id in self.ear.recording, "a visitor speaks to nobody"
        assert self.agent._due_s() > self.clock.now_s, "the loop would keep a core busy"

    def time_passes(self, seconds: float) -> None:
        """Let time pass, with a turn at each moment at which the agent wants one."""
        end_s = self.clock.now_s + seconds
        while (due_s := self.agent._due_s()) <= end_s:
            self.clock.pass_to(due_s)
            self.turn(None)
            self.happens()
        self.clock.pass_to(end_s)
        self.turn(None)
        self.happens()

    def press(self, button: Button = Button.RECORD) -> None:
        if button not in self.down:
            self.down.add(button)
            if self.is_plugged:
                self.happens(ButtonPressed(button))

    def release(self, button: Button = Button.RECORD) -> None:
        if button in self.down:
            self.down.remove(button)
            if self.is_plugged:
                self.happens(ButtonReleased(button))

    def tap(self, button: Button = Button.RECORD) -> None:
        self.press(button)
        self.time_passes(0.1)
        self.release(button)

    def unplug(self) -> None:
        if self.is_plugged:
            self.is_plugged = False
            self.happens(PanelOffline("unplugged", frozenset(self.down)))

    def plug(self) -> None:
        if not self.is_plugged:
            self.is_plugged = True
            held = frozenset(self.down)
            self.happens(PanelOnline(Identity(1, 7, (1, 1, 0), frozenset(Button), held, 0, 3, Display.NONE, "KP-1")))

    def ear_is_ready(self) -> None:
        self.ear.is_ready = True
        self.happens(READY)

    def jump(self, seconds: float) -> None:
        """Move the wall clock."""
        self.clock.wall_s = min(max(0.0, self.clock.wall_s + seconds), LONGEST_WALL_S)
