"""The virtual panel's faults: each does what it says, and the bridge comes through each of them."""

import contextlib
import queue
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import (
    Button,
    ButtonPressed,
    ButtonReleased,
    PanelBridge,
    PanelEvent,
    PanelOffline,
    PanelOnline,
    Scene,
)
from firmware_bridge.frame import Frame, FrameDecoder, encode
from firmware_bridge.virtual_panel import Faults, VirtualPanel
from firmware_bridge.virtual_panel.faults import BadLine

pytestmark = pytest.mark.servers

PATIENCE_S = 10.0
FRAMES = [Frame(0x83, number, bytes((number, 0, 0))) for number in range(100)]


class Pair:
    """A faulty panel and a bridge that has it."""

    def __init__(self, panel: VirtualPanel, bridge: PanelBridge, events: "queue.Queue[PanelEvent]") -> None:
        self.panel, self.bridge, self.events = panel, bridge, events

    def wait_for(self, kind: type[PanelEvent], timeout_s: float = PATIENCE_S) -> PanelEvent:
        end_s = time.monotonic() + timeout_s
        while True:
            event = self.events.get(timeout=end_s - time.monotonic())
            if isinstance(event, kind):
                return event

    def buttons(self, count: int) -> list[PanelEvent]:
        found: list[PanelEvent] = []
        while len(found) < count:
            event = self.events.get(timeout=PATIENCE_S)
            if isinstance(event, ButtonPressed | ButtonReleased):
                found.append(event)
        return found


@contextlib.contextmanager
def pair(folder: Path, faults: Faults, haste: float = 1.0) -> Iterator[Pair]:
    events: queue.Queue[PanelEvent] = queue.Queue()
    with VirtualPanel(folder / "panel", faults=faults, seed=3) as panel:
        bridge = PanelBridge(
            str(folder / "panel"), events.put, retry_s=0.05, monotonic=lambda: haste * time.monotonic()
        )
        bridge.show(Scene.IDLE)
        bridge.start()
        try:
            yield Pair(panel, bridge, events)
        finally:
            bridge.stop()


def over(line: BadLine, faults: Faults, data: bytes) -> list[Frame]:
    line.put(data, faults, 0.0)
    return FrameDecoder().feed(line.take(0.0))


@given(st.lists(st.binary(max_size=30)))
def test_a_line_without_faults_changes_nothing(pieces: list[bytes]) -> None:
    line = BadLine(random.Random(1))
    arrived = bytearray()
    for piece in pieces:
        line.put(piece, Faults(), 0.0)
        arrived += line.take(0.0)
    assert bytes(arrived) == b"".join(pieces)


def test_each_share_of_frames_is_lost_or_comes_twice_or_is_damaged_and_the_same_seed_does_the_same() -> None:
    data = b"".join(map(encode, FRAMES))
    dropped = over(BadLine(random.Random(1)), Faults(drop=0.3), data)
    assert 50 < len(dropped) < 90
    assert dropped == over(BadLine(random.Random(1)), Faults(drop=0.3), data)
    assert dropped != over(BadLine(random.Random(2)), Faults(drop=0.3), data)
    repeated = over(BadLine(random.Random(1)), Faults(repeat=0.3), data)
    assert 110 < len(repeated) < 150
    assert list(dict.fromkeys(repeated)) == FRAMES
    damaged = over(BadLine(random.Random(1)), Faults(corrupt=0.3), data)
    assert 40 < len(damaged) < 90
    assert set(damaged) < set(FRAMES)
    assert over(BadLine(random.Random(1)), Faults(drop=1.0), data) == []


def test_what_is_delayed_arrives_later_and_in_order_also_when_the_delay_shrinks() -> None:
    line = BadLine(random.Random(1))
    line.put(b"first", Faults(delay_ms=100), 1.0)
    line.put(b"second", Faults(), 1.05)
    assert line.deadline_s == pytest.approx(1.1)
    assert line.take(1.09) == b""
    assert line.take(1.11) == b"firstsecond"


def test_frames_cut_anywhere_are_damaged_whole() -> None:
    line, decoder = BadLine(random.Random(1)), FrameDecoder()
    found = []
    for byte in b"".join(map(encode, FRAMES)):
        line.put(bytes((byte,)), Faults(drop=0.5), 0.0)
        found += decoder.feed(line.take(0.0))
    assert 30 < len(found) < 70
    assert decoder.crc_errors + decoder.malformed + decoder.overlong == 0


@pytest.mark.parametrize(
    "changes", [{"drop": 1.1}, {"repeat": -0.1}, {"corrupt": float("nan")}, {"delay_ms": -1}, {"chatter": 1000}]
)
def test_a_fault_that_cannot_be_is_refused_by_name(changes: dict[str, float]) -> None:
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        Faults(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "faults",
    [Faults(drop=0.2), Faults(repeat=0.5), Faults(corrupt=0.1), Faults(delay_ms=40), Faults(0.1, 0.2, 0.1, 10)],
    ids=["drop", "repeat", "corrupt", "delay", "all at once"],
)
def test_presses_come_once_each_over_a_faulty_line(tmp_path: Path, faults: Faults) -> None:
    expected: list[PanelEvent] = []
    with pair(tmp_path, faults) as both:
        both.wait_for(PanelOnline)
        for number in range(5):
            button = Button(number % len(Button))
            both.panel.press(button)
            both.panel.release(button)
            expected = [ButtonPressed(button), ButtonReleased(button)]
            assert both.buttons(2) == expected
        both.panel.wait_for_scene(Scene.IDLE, PATIENCE_S)


def test_a_bouncing_button_makes_pairs_of_edges_and_ends_as_it_is(tmp_path: Path) -> None:
    with pair(tmp_path, Faults()) as both:
        both.wait_for(PanelOnline)
        both.panel.fail(chatter=2)
        assert both.panel.faults == Faults(chatter=2)
        both.panel.press(Button.RECORD)
        pressed, released = ButtonPressed(Button.RECORD), ButtonReleased(Button.RECORD)
        assert both.buttons(5) == [pressed, released, pressed, released, pressed]
        both.panel.release(Button.RECORD)
        assert both.buttons(5) == [released, pressed, released, pressed, released]


def test_a_silent_panel_is_given_up_and_is_right_when_it_speaks_again(tmp_path: Path) -> None:
    with pair(tmp_path, Faults(silent=True), haste=4.0) as both:
        offline = both.wait_for(PanelOffline)
        assert offline == PanelOffline("nothing answers at the port")
        both.panel.fail(silent=False)
        both.wait_for(PanelOnline)
        both.panel.wait_for_scene(Scene.IDLE, PATIENCE_S)


def test_a_vanished_panel_returns_by_itself(tmp_path: Path) -> None:
    with pair(tmp_path, Faults()) as both:
        both.wait_for(PanelOnline)
        both.panel.vanish(0.2)
        assert not (tmp_path / "panel").is_symlink()
        both.wait_for(PanelOffline)
        both.wait_for(PanelOnline, timeout_s=2.2)
