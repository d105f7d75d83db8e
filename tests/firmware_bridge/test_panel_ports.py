"""Which port is tried, when, and who has it: the candidates, the search, the pauses and the holders."""

import contextlib
import os
import pty
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from serial.tools import list_ports

from firmware_bridge import AUTO, Candidate, PanelBridge, PanelEvent, PanelOffline, PanelOnline, Scene, list_candidates
from firmware_bridge.frame import FrameDecoder
from firmware_bridge.holders import holders
from firmware_bridge.messages import Hello
from firmware_bridge.pauses import RETRY_MAX_S, Pauses
from firmware_bridge.port import PortError, SerialPort
from firmware_bridge.search import PortSearch
from firmware_bridge.virtual_panel import VirtualPanel

PATIENCE_S = 10.0
HOLD = "import os, sys, tty; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('open', flush=True); sys.stdin.read()"


class Places:
    """A folder of serial ports that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = 0

    def __call__(self) -> list[Candidate]:
        self.asked += 1
        return [Candidate(str(path)) for path in sorted(self.folder.iterdir()) if not path.name.startswith(".")]


class Log:
    """The bridge's events, to wait for."""

    def __init__(self) -> None:
        self.events: list[PanelEvent] = []
        self.changed = threading.Condition()

    def __call__(self, event: PanelEvent) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait(self, kind: type[PanelEvent], count: int, timeout_s: float = PATIENCE_S) -> PanelEvent:
        def found() -> list[PanelEvent]:
            return [event for event in self.events if isinstance(event, kind)]

        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= count, timeout_s), f"only {self.events}"
            return found()[count - 1]


@pytest.fixture
def silent() -> Iterator[tuple[int, str]]:
    """A port at which nothing ever answers: the far end, and its name."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


@contextlib.contextmanager
def running(bridge: PanelBridge) -> Iterator[PanelBridge]:
    bridge.start()
    try:
        yield bridge
    finally:
        bridge.stop()


@contextlib.contextmanager
def held_by_another_process(path: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "open\n"
        yield process.pid
    finally:
        process.communicate("")


def test_pauses_grow_to_their_limit_with_jitter_and_begin_anew() -> None:
    shortest, longest = Pauses(0.25, draw=lambda: 0.0), Pauses(0.25, draw=lambda: 1.0)
    assert [shortest.next_s() for _ in range(4)] == [0.25, 0.5, 1.0, 1.6]
    assert [longest.next_s() for _ in range(5)][-1] == RETRY_MAX_S == longest.next_s()
    shortest.reset()
    assert shortest.next_s() == 0.25


def test_a_given_port_is_tried_whether_it_is_there_or_not_and_noticed_when_it_comes(tmp_path: Path) -> None:
    port = tmp_path / "panel"
    search = PortSearch(str(port), lambda: pytest.fail("a given port needs no candidates"))
    assert search.round() == [str(port)]
    assert not search.newcomers()
    port.touch()
    assert search.newcomers()
    search.round()
    assert not search.newcomers()


def test_the_port_that_answered_comes_first_then_those_that_are_new() -> None:
    paths = ["a", "b", "c"]
    search = PortSearch(AUTO, lambda: [Candidate(path) for path in paths])
    assert search.round() == ["a", "b", "c"]
    search.prefer("c")
    paths[:] = ["a", "b", "bb", "c"]
    assert search.newcomers()
    assert search.round() == ["c", "bb", "a", "b"]
    assert not search.newcomers()


def test_a_port_that_left_and_came_back_is_new() -> None:
    paths = ["a", "b"]
    search = PortSearch(AUTO, lambda: [Candidate(path) for path in paths])
    search.round()
    paths.remove("b")
    assert not search.newcomers()
    paths.append("b")
    assert search.newcomers()
    assert search.round() == ["b", "a"]


def test_candidates_are_named_devices_first_each_once_and_never_the_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Port:
        def __init__(self, device: str, description: str) -> None:
            self.device, self.description = device, description

    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-Panel").symlink_to("/dev/ttyACM0")
    consoles = tmp_path / "active"
    consoles.write_text("tty0 ttyAMA0\n")
    found = [Port("/dev/ttyAMA0", "ttyAMA0"), Port("/dev/ttyUSB3", "n/a"), Port("/dev/ttyACM0", "Kiosk\x1b panel")]
    monkeypatch.setattr(list_ports, "comports", lambda: found)
    assert list_candidates(by_id=by_id, consoles=consoles) == [
        Candidate(str(by_id / "usb-Panel"), "Kiosk? panel"),
        Candidate("/dev/ttyUSB3"),
    ]
    assert list_candidates(by_id=tmp_path / "none", consoles=tmp_path / "none")[0].path == "/dev/ttyACM0"


@pytest.mark.servers
def test_a_port_that_another_process_has_open_is_not_touched_and_the_process_is_named(silent: tuple[int, str]) -> None:
    _, name = silent
    assert holders(name) == ()
    with held_by_another_process(name) as pid:
        (holder,) = holders(name)
        assert holder.pid == pid
        with pytest.raises(PortError, match=rf"{name} is in use by python.* \(process {pid}\): stop") as caught:
            SerialPort(name)
        assert "\n" not in str(caught.value)
    SerialPort(name).close()


@pytest.mark.servers
def test_a_panel_of_another_process_does_not_hold_its_own_port(tmp_path: Path) -> None:
    link = tmp_path / "panel"
    command = [sys.executable, "-m", "firmware_bridge.virtual_panel", "--link", str(link)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert holders(str(link)) == ()
        process.communicate("quit\n")


@pytest.mark.servers
def test_the_panel_is_found_among_other_ports_and_reported_missing_only_when_none_has_it(
    tmp_path: Path, silent: tuple[int, str]
) -> None:
    master, name = silent
    (tmp_path / "a-silent").symlink_to(name)
    busy_master, busy = pty.openpty()
    (tmp_path / "b-busy").symlink_to(os.ttyname(busy))
    log, places = Log(), Places(tmp_path)
    bridge = PanelBridge(AUTO, log, retry_s=0.05, probe_s=0.1, candidates=places)
    bridge.show(Scene.IDLE)
    try:
        with held_by_another_process(os.ttyname(busy)) as pid, running(bridge):
            offline = log.wait(PanelOffline, 1)
            assert isinstance(offline, PanelOffline)
            assert offline.reason.startswith("no panel answers: ")
            assert "a-silent: nothing answers at the port" in offline.reason
            assert f"b-busy is in use by python3 (process {pid})" in offline.reason.replace(
                Path(sys.executable).name, "python3"
            )
            with VirtualPanel(tmp_path / "c-panel") as panel:
                log.wait(PanelOnline, 1)
                panel.wait_for_scene(Scene.IDLE, PATIENCE_S)
                assert bridge.stats().port == str(tmp_path / "c-panel")
                asked = os.read(master, 65536)
                panel.unplug()
                log.wait(PanelOffline, 2)
                panel.plug()
                log.wait(PanelOnline, 2, timeout_s=2.0)
                assert bridge.stats().reconnections == 1
            assert Hello.TYPE in {frame.type for frame in FrameDecoder().feed(asked)}
            os.set_blocking(busy_master, False)
            with pytest.raises(BlockingIOError):
                os.read(busy_master, 100)
    finally:
        os.close(busy_master)
        os.close(busy)


def test_a_panel_that_is_plugged_in_while_another_port_is_asked_does_not_wait_for_that(
    tmp_path: Path, silent: tuple[int, str]
) -> None:
    _, name = silent
    (tmp_path / "a-silent").symlink_to(name)
    log = Log()
    with running(PanelBridge(AUTO, log, probe_s=60.0, candidates=Places(tmp_path))) as bridge:
        while bridge.stats().bytes_sent == 0:
            threading.Event().wait(0.005)
        with VirtualPanel(tmp_path / "b-panel"):
            log.wait(PanelOnline, 1, timeout_s=2.0)


def test_a_machine_without_any_serial_port_is_reported_as_such() -> None:
    log = Log()
    with running(PanelBridge(AUTO, log, candidates=list)):
        offline = log.wait(PanelOffline, 1)
    assert offline == PanelOffline("there is no serial port for a panel here: plug the panel in")


def test_the_round_trip_of_scenes_is_measured(tmp_path: Path) -> None:
    log, port = Log(), tmp_path / "panel"
    with VirtualPanel(port) as panel, running(PanelBridge(str(port), log)) as bridge:
        log.wait(PanelOnline, 1)
        assert bridge.stats().round_trip_s is None
        bridge.show(Scene.IDLE)
        panel.wait_for_scene(Scene.IDLE, PATIENCE_S)
        while bridge.stats().scenes_acknowledged == 0:
            threading.Event().wait(0.005)
        stats = bridge.stats()
        assert stats.round_trip_s is not None
        assert stats.round_trip_s == stats.smoothed_round_trip_s
        assert 0.0 < stats.round_trip_s < 1.0
        assert (stats.port, stats.sessions, stats.reconnections) == (str(port), 1, 0)
