"""Both sides of the link over good and bad lines, in simulated time: the same visit must come out right on each."""

import random
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.events import ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.link import HostLink
from firmware_bridge.messages import Button, Scene
from firmware_bridge.panel_link import PanelDescription, PanelHappening, PanelLink, SceneShown
from firmware_bridge.timing import LOST_S

STEP_S = 0.005
Mangle = Callable[[bytes], list[bytes]]


def direct(data: bytes) -> list[bytes]:
    return [data]


def one_byte_at_a_time(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def duplicating(data: bytes) -> list[bytes]:
    return [data, data]


def losing(seed: int) -> Mangle:
    rng = random.Random(seed)
    return lambda data: [data] if rng.random() >= 0.2 else []


def noisy(seed: int) -> Mangle:
    rng = random.Random(seed)

    def mangle(data: bytes) -> list[bytes]:
        damaged = bytes(byte ^ (1 << rng.randrange(8)) if rng.random() < 0.01 else byte for byte in data)
        return [rng.randbytes(rng.randrange(3)), damaged]

    return mangle


def corrupting(seed: int) -> Mangle:
    """One piece in twenty arrives with some of its bytes changed."""
    rng = random.Random(seed)

    def mangle(data: bytes) -> list[bytes]:
        if rng.random() >= 0.05:
            return [data]
        return [bytes(byte if rng.random() < 0.5 else rng.randrange(256) for byte in data)]

    return mangle


def reordering(seed: int) -> Mangle:
    """Chunks of up to eight bytes, of which one pair in ten is swapped."""
    rng = random.Random(seed)

    def mangle(data: bytes) -> list[bytes]:
        chunks = [data[at : at + 8] for at in range(0, len(data), 8)]
        for at in range(len(chunks) - 1):
            if rng.random() < 0.1:
                chunks[at], chunks[at + 1] = chunks[at + 1], chunks[at]
        return chunks

    return mangle


class Overtaking:
    """Holds back one piece in ten until the next has gone: whole frames change places."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.held: list[bytes] = []

    def __call__(self, data: bytes) -> list[bytes]:
        pieces = [data, *self.held]
        self.held = []
        if len(pieces) == 1 and self.rng.random() < 0.1:
            self.held = pieces
            return []
        return pieces


class World:
    """A host, a panel and a line between them; `now_s` is the only clock."""

    def __init__(self, mangle_out: Mangle = direct, mangle_in: Mangle = direct, delay_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.delay_s = delay_s
        self.mangle_out, self.mangle_in = mangle_out, mangle_in
        self.cut = False
        self.to_panel: deque[tuple[float, bytes]] = deque()
        self.to_host: deque[tuple[float, bytes]] = deque()
        self.events: list[PanelEvent] = []
        self.shown: list[Scene] = []
        self.sessions = iter(range(1, 1_000_000))
        self.host = HostLink(lambda: next(self.sessions))
        self.panel = PanelLink(PanelDescription(), self.now_s)

    def run(self, duration_s: float) -> None:
        end_s = self.now_s + duration_s
        while self.now_s < end_s:
            self.step()
            self.now_s += STEP_S

    def run_until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> float:
        start_s = self.now_s
        while not condition():
            assert self.now_s < start_s + limit_s, "it did not happen"
            self.run(STEP_S)
        return self.now_s - start_s

    def step(self) -> None:
        self.events += self.host.tick(self.now_s)
        self.note(self.panel.tick(self.now_s))
        self.carry(self.host.take_output(), self.to_panel, self.mangle_out)
        self.carry(self.panel.take_output(), self.to_host, self.mangle_in)
        for data in self.arriving(self.to_panel):
            self.note(self.panel.feed(data, self.now_s))
        for data in self.arriving(self.to_host):
            self.events += self.host.feed(data, self.now_s)

    def carry(self, data: bytes, queue: deque[tuple[float, bytes]], mangle: Mangle) -> None:
        if data and not self.cut:
            queue.extend((self.now_s + self.delay_s, piece) for piece in mangle(data) if piece)

    def arriving(self, queue: deque[tuple[float, bytes]]) -> Iterator[bytes]:
        while queue and queue[0][0] <= self.now_s:
            yield queue.popleft()[1]

    def note(self, happenings: list[PanelHappening]) -> None:
        self.shown += [happening.scene for happening in happenings if isinstance(happening, SceneShown)]

    def buttons(self) -> list[PanelEvent]:
        return [event for event in self.events if isinstance(event, ButtonPressed | ButtonReleased)]


LINES: dict[str, Callable[[], World]] = {
    "direct": World,
    "one byte at a time": lambda: World(one_byte_at_a_time, one_byte_at_a_time),
    "a fifth lost": lambda: World(losing(1), losing(2)),
    "everything twice": lambda: World(duplicating, duplicating),
    "delayed by more than a repetition": lambda: World(delay_s=0.16),
    "noise": lambda: World(noisy(3), noisy(4)),
    "five per cent corrupted": lambda: World(corrupting(5), corrupting(6)),
    "chunks swapped": lambda: World(reordering(7), reordering(8)),
    "frames overtaken by the next": lambda: World(Overtaking(9), Overtaking(10)),
}


@pytest.mark.parametrize("line", LINES)
def test_fifty_presses_arrive_once_each_and_in_order_and_each_scene_is_shown(line: str) -> None:
    world = LINES[line]()
    world.host.open(world.now_s)
    world.host.show(Scene.IDLE, world.now_s)
    world.run_until(lambda: world.panel.scene is Scene.IDLE, 5.0)
    expected: list[PanelEvent] = []
    for number in range(50):
        button = list(Button)[number % len(Button)]
        for push, event, scene in (
            (world.panel.press, ButtonPressed(button), Scene.RECORDING),
            (world.panel.release, ButtonReleased(button), Scene.IDLE),
        ):
            push(button, world.now_s)
            expected.append(event)
            world.run_until(lambda: world.buttons() == expected, 2.0)
            world.host.show(scene, world.now_s)
            world.run_until(lambda scene=scene: world.panel.scene is scene, 4.0)  # type: ignore[misc]
    world.run(5.0)
    assert world.buttons() == expected
    assert [type(event) for event in world.events if event not in expected] == [PanelOnline]


@pytest.mark.parametrize("line", LINES)
def test_a_burst_of_edges_arrives_whole_and_in_order(line: str) -> None:
    world = LINES[line]()
    world.host.open(world.now_s)
    world.run_until(lambda: world.host.online, 5.0)
    for _ in range(3):
        world.panel.press(Button.RECORD, world.now_s)
        world.panel.release(Button.RECORD, world.now_s)
    world.run(4.0)
    assert world.buttons() == [ButtonPressed(Button.RECORD), ButtonReleased(Button.RECORD)] * 3


@pytest.mark.parametrize("line", LINES)
def test_a_rebooted_panel_is_right_within_two_seconds_and_its_presses_count(line: str) -> None:
    world = LINES[line]()
    world.host.open(world.now_s)
    world.host.show(Scene.CLOSED, world.now_s)
    world.run_until(lambda: world.panel.scene is Scene.CLOSED, 5.0)
    for _ in range(3):
        world.panel = PanelLink(PanelDescription(), world.now_s)
        assert world.run_until(lambda: world.panel.scene is Scene.CLOSED, 5.0) < 2.0
        before = len(world.buttons())
        world.panel.press(Button.RECORD, world.now_s)
        world.run_until(lambda before=before: len(world.buttons()) == before + 1, 2.0)  # type: ignore[misc]


def test_over_a_good_line_nothing_is_sent_twice() -> None:
    world = World()
    world.host.open(world.now_s)
    world.host.show(Scene.IDLE, world.now_s)
    world.run(30.0)
    assert world.shown == [Scene.IDLE]
    assert world.host.repeats == 0
    assert world.host.counters.duplicate_events == 0
    assert world.host.counters.stray == 0


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("press"), st.sampled_from(Button)),
        st.tuples(st.just("release"), st.sampled_from(Button)),
        st.tuples(st.just("show"), st.sampled_from(Scene)),
        st.tuples(st.just("wait"), st.sampled_from([0.005, 0.05, 0.3, 1.0, 4.0])),
        st.tuples(st.sampled_from(["reboot", "reopen", "cut", "mend", "one way"]), st.none()),
    ),
    max_size=25,
)


def operate(world: World, name: str, value: object) -> None:
    match name, value:
        case "press", Button() as button:
            world.panel.press(button, world.now_s)
        case "release", Button() as button:
            world.panel.release(button, world.now_s)
        case "show", Scene() as scene:
            world.host.show(scene, world.now_s)
        case "wait", float() as duration_s:
            world.run(duration_s)
        case "reboot", _:
            world.panel = PanelLink(PanelDescription(), world.now_s, frozenset(world.panel.held))
        case "reopen", _:
            world.events += world.host.close("unplugged")
            world.to_host.clear()
            world.host.open(world.now_s)
        case "one way", _:
            world.mangle_out = lambda data: []
        case name, _:
            world.cut = name == "cut"
            world.mangle_out = direct


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_whatever_happens_events_pair_up_and_all_is_right_once_the_line_is_good_again(
    operations: list[tuple[str, object]],
) -> None:
    world = World()
    world.host.open(world.now_s)
    for name, value in operations:
        operate(world, name, value)
    operate(world, "mend", None)
    world.host.show(Scene.THANKS, world.now_s)
    world.run(LOST_S + 3.0)
    assert world.host.online
    assert world.panel.scene is Scene.THANKS
    online, held, found_down = False, set[Button](), set[Button]()
    for event in world.events:
        match event:
            case PanelOnline(identity):
                assert not online
                online, found_down = True, set(identity.held)
            case PanelOffline():
                assert event.held == held | found_down
                online, held, found_down = False, set(), set()
            case ButtonPressed():
                assert online
                assert event.button not in held
                held.add(event.button)
                found_down.discard(event.button)
            case ButtonReleased():
                assert event.button in held | found_down
                held.discard(event.button)
                found_down.discard(event.button)
    assert held | found_down <= world.panel.held
    assert online
