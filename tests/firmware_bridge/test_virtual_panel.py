"""The virtual panel as a program: its commands, its JSON lines, its end; and as `kiosk panel virtual`."""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from device.cli import panel as panel_command
from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelBridge, PanelEvent, PanelOnline, Scene
from firmware_bridge.virtual_panel import VirtualPanel

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0


class Program:
    """A running `python -m firmware_bridge.virtual_panel` whose lines can be waited for."""

    def __init__(self, link: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge.virtual_panel", "--link", link, *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def say(self, *commands: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{command}\n" for command in commands))
        self.process.stdin.flush()

    def wait_for(self, **wanted: object) -> dict[str, Any]:
        while True:
            line = self.lines.get(timeout=PATIENCE_S)
            if wanted.items() <= line.items():
                return line

    def end(self) -> tuple[int, str]:
        """Close the input and return the exit status and what was complained about."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reader.join()
            complaints = self.process.stderr.read()
            self.process.stdout.close()
            self.process.stderr.close()
        return status, complaints


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "panel"


@pytest.fixture
def start(link: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def start(*options: str) -> Program:
        program = Program(link, *options)
        programs.append(program)
        return program

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.end()


@pytest.mark.servers
def test_the_program_is_a_panel_for_a_real_bridge(start: Callable[..., Program], link: Path) -> None:
    events: queue.Queue[PanelEvent] = queue.Queue()
    program = start("--levels", "--serial-number", "SHOP-9", "--repeat", "0.2", "--seed", "4")
    program.wait_for(event="plugged")
    program.wait_for(event="scene", scene="out_of_service")
    bridge = PanelBridge(str(link), events.put)
    bridge.show(Scene.RECORDING)
    bridge.start()
    try:
        online = events.get(timeout=PATIENCE_S)
        assert isinstance(online, PanelOnline)
        assert online.identity.serial_number == "SHOP-9"
        program.wait_for(event="host", online=True)
        assert isinstance(program.wait_for(event="scene", scene="recording")["at_s"], float)
        bridge.level(99)
        program.wait_for(event="level", level=99)
        program.say("rubbish 300", "tap record 30", "press cancel")
        expected = [ButtonPressed(Button.RECORD), ButtonReleased(Button.RECORD), ButtonPressed(Button.CANCEL)]
        assert [events.get(timeout=PATIENCE_S) for _ in expected] == expected
        program.say("reboot")
        program.wait_for(event="scene", scene="recording")
        program.say("unplug")
        program.wait_for(event="unplugged")
        assert not link.is_symlink()
        program.say("plug")
        program.wait_for(event="plugged")
        program.wait_for(event="scene", scene="recording")
        program.say("release cancel", "vanish 0.1")
        program.wait_for(event="unplugged")
        program.wait_for(event="plugged")
    finally:
        bridge.stop()
    assert program.end() == (0, "")
    assert not link.is_symlink()


@pytest.mark.servers
@pytest.mark.parametrize("way", ["quit", "SIGTERM", "SIGINT"])
def test_the_program_ends_cleanly(start: Callable[..., Program], link: Path, way: str) -> None:
    program = start()
    program.wait_for(event="plugged")
    if way == "quit":
        program.say("quit")
    else:
        program.process.send_signal(signal.Signals[way])
    program.process.wait(PATIENCE_S)
    assert program.end() == (0, "")
    assert list(link.parent.iterdir()) == []


@pytest.mark.servers
def test_a_command_that_is_not_understood_is_answered_with_what_is(start: Callable[..., Program]) -> None:
    program = start()
    program.wait_for(event="plugged")
    program.say("dance", "press jump", "tap record soon", "rubbish 9999999999999999999")
    program.say("drop 2", "silent maybe", "vanish soon", "chatter 1000", "delay 10", "silent off", "", "quit")
    status, complaints = program.end()
    assert status == 0
    assert "unknown command 'dance'" in complaints
    assert "there is no button 'jump'; the panel has record, cancel, language, reply" in complaints
    assert "from 0 to 600000, not 'soon'" in complaints
    assert "from 0 to 65536" in complaints
    assert "expected a number from 0 to 1, not '2'" in complaints
    assert "expected on or off, not 'maybe'" in complaints
    assert "from 0 to 3600, not 'soon'" in complaints
    assert "from 0 to 50, not '1000'" in complaints
    assert "'10'" not in complaints
    assert "Traceback" not in complaints


@pytest.mark.servers
@pytest.mark.parametrize("obstacle", ["a file", "no folder", "a long serial number", "a fault"])
def test_a_link_that_cannot_be_made_is_one_sentence(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "panel"
    options = []
    if obstacle == "a file":
        path.write_text("precious")
    elif obstacle == "no folder":
        path = tmp_path / "missing" / "panel"
    elif obstacle == "a fault":
        options = ["--drop", "5"]
    else:
        options = ["--serial-number", "x" * 17]
    status, complaints = Program(path, *options).end()
    assert status == 2
    assert len(complaints.splitlines()) == 1
    if obstacle == "a file":
        assert path.read_text() == "precious"


def test_the_kiosk_has_the_virtual_panel_as_a_command(link: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    panel_command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["panel", "virtual", "--link", str(link)])
    reader, writer = os.pipe()
    os.write(writer, b"press record\nquit\n")
    os.close(writer)
    with os.fdopen(reader) as commands:
        monkeypatch.setattr(sys, "stdin", commands)
        assert args.run(args) == 0
    assert not link.is_symlink()


def test_a_symlink_left_behind_by_a_killed_panel_is_replaced(link: Path) -> None:
    link.symlink_to("/dev/pts/does-not-exist")
    with VirtualPanel(link):
        assert link.exists()
    assert not link.is_symlink()


def test_a_panel_leaves_the_link_of_its_successor_alone(link: Path) -> None:
    first, second = VirtualPanel(link), VirtualPanel(link)
    with first, second:
        first.stop()
        assert link.exists()


def test_a_scene_that_does_not_come_is_a_timeout_that_tells_what_came(link: Path) -> None:
    complaint = r"did not show thanks within 0\.01 s, but out_of_service"
    with VirtualPanel(link) as panel, pytest.raises(TimeoutError, match=complaint):
        panel.wait_for_scene(Scene.THANKS, 0.01)


def test_a_panel_that_is_not_running_says_so(link: Path) -> None:
    with pytest.raises(RuntimeError, match="not running"):
        VirtualPanel(link).press(Button.RECORD)


def test_a_failing_observer_does_not_stop_the_panel(link: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(happening: object, at_s: float) -> None:
        raise RuntimeError("no paper")

    with VirtualPanel(link, on_happening=fail) as panel:
        panel.reboot()
        assert panel.scene is Scene.OUT_OF_SERVICE
    assert "no paper" in caplog.text
