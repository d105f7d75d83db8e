"""The bridge on real pseudo-terminals, against the virtual panel and against ports that hold no panel."""

import contextlib
import itertools
import logging
import os
import pty
import random
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
from firmware_bridge.panel_link import PressAnswered
from firmware_bridge.virtual_panel import Happening, VirtualPanel

PATIENCE_S = 10.0
RIGHT_AGAIN_S = 2.0


class Inbox:
    """Collects the bridge's events and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[PanelEvent] = []
        self.changed = threading.Condition()
        self.react: Callable[[PanelEvent], None] = lambda event: None

    def __call__(self, event: PanelEvent) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()
        self.react(event)

    def wait(self, condition: Callable[[list[PanelEvent]], bool], timeout_s: float = PATIENCE_S) -> list[PanelEvent]:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.events), timeout_s), f"only {self.events}"
            return list(self.events)

    def wait_for(self, kind: type, count: int = 1, timeout_s: float = PATIENCE_S) -> PanelEvent:
        found: list[PanelEvent] = []

        def enough(events: list[PanelEvent]) -> bool:
            found[:] = [event for event in events if isinstance(event, kind)]
            return len(found) >= count

        self.wait(enough, timeout_s)
        return found[count - 1]

    def buttons(self) -> list[PanelEvent]:
        with self.changed:
            return [event for event in self.events if isinstance(event, ButtonPressed | ButtonReleased)]


def eventually(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    end_s = time.monotonic() + timeout_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        tick.wait(0.005)


@contextlib.contextmanager
def running(bridge: PanelBridge) -> Iterator[PanelBridge]:
    bridge.start()
    try:
        yield bridge
    finally:
        bridge.stop()


@pytest.fixture
def port(tmp_path: Path) -> Path:
    return tmp_path / "panel"


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def panel(port: Path) -> Iterator[VirtualPanel]:
    with VirtualPanel(port) as panel:
        yield panel


@pytest.fixture
def bridge(panel: VirtualPanel, port: Path, inbox: Inbox) -> Iterator[PanelBridge]:
    """A bridge with a panel that is online and shows *idle*."""
    bridge = PanelBridge(str(port), inbox)
    bridge.show(Scene.IDLE)
    with running(bridge):
        panel.wait_for_scene(Scene.IDLE, PATIENCE_S)
        yield bridge


@pytest.fixture
def bare_terminal() -> Iterator[tuple[int, str]]:
    """A port at whose other end there is only the test."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def fast_clock() -> float:
    """Twenty times as fast as time goes: a silence of seconds passes in a fraction of one."""
    return time.monotonic() * 20


def test_each_press_that_changes_nothing_is_answered_in_the_scene_that_is_shown(port: Path, inbox: Inbox) -> None:
    answered: list[Scene] = []

    def note(happening: Happening, _at_s: float) -> None:
        if isinstance(happening, PressAnswered):
            answered.append(happening.scene)

    with VirtualPanel(port, on_happening=note) as panel, running(PanelBridge(str(port), inbox)) as bridge:
        bridge.show(Scene.CLOSED)
        panel.wait_for_scene(Scene.CLOSED, PATIENCE_S, since=0)
        for number in (1, 2):
            bridge.answer()
            eventually(lambda number=number: len(answered) == number)  # type: ignore[misc]
        bridge.show(Scene.IDLE)
        panel.wait_for_scene(Scene.IDLE, PATIENCE_S, since=0)
        bridge.answer()
        eventually(lambda: answered == [Scene.CLOSED, Scene.CLOSED, Scene.IDLE])


def test_a_panel_that_is_there_is_online_at_once_and_says_who_it_is(bridge: PanelBridge, inbox: Inbox) -> None:
    event = inbox.wait_for(PanelOnline)
    assert isinstance(event, PanelOnline)
    assert event.identity.serial_number == "VIRTUAL-1"
    assert bridge.identity == event.identity
    assert bridge.problem is None
    assert bridge.stats().online
    assert bridge.stats().sessions == 1


def test_presses_arrive_and_scenes_are_shown_within_milliseconds(
    panel: VirtualPanel, bridge: PanelBridge, inbox: Inbox
) -> None:
    def react(event: PanelEvent) -> None:
        bridge.show(Scene.RECORDING if isinstance(event, ButtonPressed) else Scene.IDLE)

    inbox.react = react
    round_trips_s = []
    for _ in range(30):
        pressed_s = time.monotonic()
        panel.press(Button.RECORD)
        round_trips_s.append(panel.wait_for_scene(Scene.RECORDING, PATIENCE_S).at_s - pressed_s)
        panel.release(Button.RECORD)
        panel.wait_for_scene(Scene.IDLE, PATIENCE_S)
    assert inbox.buttons() == [ButtonPressed(Button.RECORD), ButtonReleased(Button.RECORD)] * 30
    # The median, for others work on this machine too; a single wait for a repetition or a heartbeat would be 100 ms.
    assert sorted(round_trips_s)[15] < 0.02
    assert bridge.stats().scene_repeats <= 3


def test_an_unplugged_panel_is_reported_with_its_held_buttons_and_is_right_when_it_returns(
    panel: VirtualPanel, bridge: PanelBridge, inbox: Inbox
) -> None:
    panel.press(Button.RECORD)
    inbox.wait_for(ButtonPressed)
    panel.unplug()
    event = inbox.wait_for(PanelOffline)
    assert isinstance(event, PanelOffline)
    assert event.held == {Button.RECORD}
    assert bridge.problem is not None
    assert bridge.identity is None
    bridge.show(Scene.CLOSED)
    panel.release(Button.RECORD)
    panel.press(Button.CANCEL)
    returned_s = time.monotonic()
    panel.plug()
    assert panel.wait_for_scene(Scene.CLOSED, PATIENCE_S).at_s - returned_s < RIGHT_AGAIN_S
    online = inbox.wait_for(PanelOnline, count=2)
    assert isinstance(online, PanelOnline)
    assert online.identity.held == {Button.CANCEL}
    panel.press(Button.LANGUAGE)
    inbox.wait(lambda events: ButtonPressed(Button.LANGUAGE) in events)
    assert inbox.buttons() == [ButtonPressed(Button.RECORD), ButtonPressed(Button.LANGUAGE)]


def test_a_panel_can_be_unplugged_again_and_again(panel: VirtualPanel, bridge: PanelBridge, inbox: Inbox) -> None:
    for number in range(3):
        panel.unplug()
        inbox.wait_for(PanelOffline, count=number + 1)
        returned_s = time.monotonic()
        panel.plug()
        assert panel.wait_for_scene(Scene.IDLE, PATIENCE_S).at_s - returned_s < RIGHT_AGAIN_S
    assert bridge.stats().sessions == 4


def test_a_rebooted_panel_is_right_at_once_and_its_first_press_counts(
    panel: VirtualPanel, bridge: PanelBridge, inbox: Inbox
) -> None:
    for number in range(1, 4):
        panel.press(Button.RECORD)
        panel.release(Button.RECORD)
        inbox.wait_for(ButtonReleased, count=number)
        panel.reboot()
        rebooted_s = time.monotonic()
        assert panel.wait_for_scene(Scene.IDLE, PATIENCE_S).at_s - rebooted_s < RIGHT_AGAIN_S
        inbox.wait_for(PanelOffline, count=number)
        inbox.wait_for(PanelOnline, count=number + 1)
    assert bridge.stats().duplicate_events <= 3


def test_rubbish_on_the_line_costs_no_press(panel: VirtualPanel, bridge: PanelBridge, inbox: Inbox) -> None:
    rng = random.Random(5)
    for number in range(1, 21):
        panel.send_raw(rng.randbytes(rng.randrange(1, 400)))
        panel.press(Button.RECORD)
        panel.send_raw(rng.randbytes(rng.randrange(1, 400)))
        panel.release(Button.RECORD)
        inbox.wait_for(ButtonReleased, count=number)
    assert inbox.buttons() == [ButtonPressed(Button.RECORD), ButtonReleased(Button.RECORD)] * 20
    stats = bridge.stats()
    assert stats.sessions == 1
    assert stats.crc_errors + stats.malformed + stats.overlong > 0


def test_a_panel_that_is_plugged_in_late_is_found_and_shown_the_scene_asked_for_before(
    port: Path, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "firmware_bridge")
    bridge = PanelBridge(str(port), inbox, retry_s=0.05)
    with running(bridge):
        bridge.show(Scene.OFFLINE)
        event = inbox.wait_for(PanelOffline)
        assert isinstance(event, PanelOffline)
        assert "does not exist" in event.reason
        eventually(lambda: bridge.stats().open_failures >= 3)
        with VirtualPanel(port) as panel:
            panel.wait_for_scene(Scene.OFFLINE, PATIENCE_S)
            inbox.wait_for(PanelOnline)
            eventually(lambda: "is in service" in caplog.text)
            assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_missing_port_is_looked_for_at_a_bounded_rate(port: Path, inbox: Inbox) -> None:
    start_s = time.monotonic()
    bridge = PanelBridge(str(port), inbox, retry_s=0.1)
    with running(bridge):
        eventually(lambda: bridge.stats().open_failures >= 4)
    assert time.monotonic() - start_s >= 3 * 0.1


def test_a_port_that_says_nothing_is_reported_and_asked_on(bare_terminal: tuple[int, str], inbox: Inbox) -> None:
    master, name = bare_terminal
    with running(PanelBridge(name, inbox, monotonic=fast_clock, reopen_s=1e9)) as bridge:
        event = inbox.wait_for(PanelOffline)
        assert isinstance(event, PanelOffline)
        assert event.reason == "nothing answers at the port"
        os.read(master, 4096)
        assert os.read(master, 4096)
        assert not bridge.stats().online


def test_a_port_that_talks_garbage_is_reported_as_the_wrong_one(bare_terminal: tuple[int, str], inbox: Inbox) -> None:
    master, name = bare_terminal
    rng = random.Random(11)
    with running(PanelBridge(name, inbox, monotonic=fast_clock, reopen_s=1e9)) as bridge:
        assert os.read(master, 64)
        for _ in range(40):
            os.write(master, rng.randbytes(50))
        event = inbox.wait_for(PanelOffline)
        assert isinstance(event, PanelOffline)
        assert "not the panel's protocol" in event.reason
        assert bridge.stats().bytes_received == 2000
    assert inbox.buttons() == []


def test_a_port_without_a_panel_is_opened_anew_for_its_name_may_mean_another_device_by_now(
    bare_terminal: tuple[int, str], port: Path, inbox: Inbox
) -> None:
    _, name = bare_terminal
    port.symlink_to(name)
    with running(PanelBridge(str(port), inbox, retry_s=0.05, reopen_s=0.2)) as bridge:
        eventually(lambda: bridge.stats().bytes_sent > 0)
        with VirtualPanel(port):
            inbox.wait_for(PanelOnline)


def test_a_port_that_takes_no_data_is_given_up_and_tried_again(bare_terminal: tuple[int, str], inbox: Inbox) -> None:
    _, name = bare_terminal
    leaping_clock = itertools.count(step=0.6).__next__
    with running(PanelBridge(name, inbox, monotonic=leaping_clock, reopen_s=1e9)) as bridge:
        eventually(lambda: "takes no data" in (bridge.problem or ""), timeout_s=30.0)


@pytest.mark.parametrize("kind", ["a file", "a folder"])
def test_a_path_that_is_no_serial_port_is_reported_as_such(tmp_path: Path, inbox: Inbox, kind: str) -> None:
    path = tmp_path / "thing"
    path.touch() if kind == "a file" else path.mkdir()
    with running(PanelBridge(str(path), inbox)):
        event = inbox.wait_for(PanelOffline)
    assert isinstance(event, PanelOffline)
    assert event.reason.startswith(f"{path} cannot be opened as a serial port")


def test_a_port_that_another_program_uses_is_reported_as_such(bridge: PanelBridge, port: Path) -> None:
    other = Inbox()
    with running(PanelBridge(str(port), other)):
        event = other.wait_for(PanelOffline)
    assert isinstance(event, PanelOffline)
    assert "is in use" in event.reason
    assert bridge.stats().online


def test_a_press_that_no_host_saw_is_reported_and_not_replayed(panel: VirtualPanel, port: Path, inbox: Inbox) -> None:
    panel.press(Button.RECORD)
    panel.release(Button.RECORD)
    with running(PanelBridge(str(port), inbox)):
        event = inbox.wait_for(PanelOnline)
        assert isinstance(event, PanelOnline)
        assert event.identity.missed_presses == 1
        panel.press(Button.CANCEL)
        inbox.wait_for(ButtonPressed)
    assert inbox.buttons() == [ButtonPressed(Button.CANCEL)]


def test_a_restarted_host_is_obeyed_although_its_sequence_numbers_begin_anew(
    panel: VirtualPanel, port: Path, inbox: Inbox
) -> None:
    for scene in (Scene.IDLE, Scene.CLOSED, Scene.IDLE):
        bridge = PanelBridge(str(port), inbox)
        bridge.show(scene)
        with running(bridge):
            panel.wait_for_scene(scene, PATIENCE_S, since=len(panel.scenes))


def test_a_panel_whose_host_has_gone_shows_out_of_service_by_itself(panel: VirtualPanel, bridge: PanelBridge) -> None:
    bridge.stop()
    panel.wait_for_scene(Scene.OUT_OF_SERVICE, PATIENCE_S)
    assert not panel.online


def test_the_last_scene_still_goes_out_when_the_bridge_stops(panel: VirtualPanel, bridge: PanelBridge) -> None:
    bridge.show(Scene.CLOSED)
    bridge.stop()
    panel.wait_for_scene(Scene.CLOSED, 1.0)


def test_levels_get_through_the_latest_last_and_not_all(panel: VirtualPanel, bridge: PanelBridge) -> None:
    sent_before = bridge.stats().bytes_sent
    for value in range(201):
        bridge.level(value)
    eventually(lambda: panel.level == 200)
    assert bridge.stats().bytes_sent - sent_before < 201 * 8 / 2


def test_an_event_callback_that_fails_is_logged_and_costs_nothing_else(
    panel: VirtualPanel, bridge: PanelBridge, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: PanelEvent) -> None:
        raise RuntimeError("no room")

    inbox.react = fail
    panel.press(Button.RECORD)
    panel.release(Button.RECORD)
    inbox.wait_for(ButtonReleased)
    eventually(lambda: bridge.stats().callback_errors == 2)
    assert "no room" in caplog.text
    assert bridge.stats().online


@pytest.mark.parametrize("situation", ["online", "no port", "silent port"])
def test_stop_is_prompt_leaves_nothing_open_and_makes_no_event(
    situation: str, tmp_path: Path, bare_terminal: tuple[int, str], inbox: Inbox
) -> None:
    with contextlib.ExitStack() as stack:
        path = bare_terminal[1] if situation == "silent port" else str(tmp_path / "panel")
        if situation == "online":
            stack.enter_context(VirtualPanel(path))
        before = open_files()
        bridge = PanelBridge(path, inbox)
        bridge.start()
        if situation == "silent port":
            eventually(lambda: bridge.stats().bytes_sent > 0)
        else:
            inbox.wait(lambda events: len(events) == 1)
        count = len(inbox.events)
        asked_s = time.monotonic()
        bridge.stop()
        assert time.monotonic() - asked_s < 0.5
        assert len(inbox.events) == count
        assert open_files() == before
        bridge.stop()
        bridge.show(Scene.IDLE)
        with pytest.raises(RuntimeError, match="started before"):
            bridge.start()


def test_a_bridge_that_was_never_started_can_be_stopped(port: Path, inbox: Inbox) -> None:
    PanelBridge(str(port), inbox).stop()
    assert inbox.events == []
