"""What the firmware's tests share: the build, panels of three kinds, and hosts to talk to them."""

import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest

from firmware_bridge import ButtonPressed, ButtonReleased, PanelBridge, PanelEvent
from firmware_bridge.frame import FrameDecoder, encode
from firmware_bridge.messages import FROM_PANEL, PROTOCOL_VERSION, Hello, Identity, from_frame, to_frame
from firmware_bridge.wire import Message

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "firmware_bridge" / "firmware"
BUILD = ROOT / "build" / "firmware"
PATIENCE_S = 15.0
M = TypeVar("M", bound=Message)
Line = dict[str, Any]


@cache
def build() -> Path:
    """Build all of the firmware and return the folder that it is in."""
    missing = [tool for tool in ("make", "cc", "avr-gcc") if shutil.which(tool) is None]
    if not Path("/usr/include/simavr/sim_avr.h").exists():
        missing.append("libsimavr")
    if missing:
        pytest.fail(
            f"the firmware's tests need {', '.join(missing)}: "
            "apt install make gcc gcc-avr avr-libc libsimavr-dev libelf-dev"
        )
    made = subprocess.run(
        ["make", "-C", SOURCES, f"BUILD={BUILD}", "all"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert made.returncode == 0, made.stdout
    return BUILD


def command(kind: str, link: Path) -> list[str | Path]:
    """How a panel of that kind is started: `virtual`, `host` (the core on this machine) or `avr` (emulated)."""
    if kind == "virtual":
        return [sys.executable, "-m", "firmware_bridge.virtual_panel", "--levels", "--link", link]
    if kind == "host":
        return [build() / "panel-host", link]
    return [build() / "simpanel", build() / "panel.elf", link]


class Panel:
    """A running panel: say what is done to it, and wait for what it shows."""

    def __init__(self, kind: str, link: Path) -> None:
        self.link = link
        self.lines: list[Line] = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            command(kind, link), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.changed.notify_all()

    def say(self, *commands: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{command}\n" for command in commands))
        self.process.stdin.flush()

    def mark(self) -> int:
        """The number of lines so far, to wait for later ones only."""
        with self.changed:
            return len(self.lines)

    def wait(self, condition: Callable[[list[Line]], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.lines), PATIENCE_S), f"only {self.lines[-10:]}"

    def wait_for(self, since: int = 0, **wanted: object) -> None:
        self.wait(lambda lines: any(wanted.items() <= line.items() for line in lines[since:]))

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            status = self.process.wait(PATIENCE_S)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.reader.join()
            self.process.stdout.close()
        assert status == 0


class Inbox:
    """Collects a bridge's events and waits for them."""

    def __init__(self) -> None:
        self.events: list[PanelEvent] = []
        self.changed = threading.Condition()

    def __call__(self, event: PanelEvent) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def buttons(self) -> list[PanelEvent]:
        with self.changed:
            return [event for event in self.events if isinstance(event, ButtonPressed | ButtonReleased)]

    def wait_for(self, kind: type[PanelEvent], count: int = 1) -> Any:
        def found() -> list[PanelEvent]:
            return [event for event in self.events if isinstance(event, kind)]

        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= count, PATIENCE_S), f"only {self.events}"
            return found()[count - 1]

    def wait_for_buttons(self, *expected: PanelEvent) -> None:
        """Wait until these were reported, and nothing else."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.buttons()) >= len(expected), PATIENCE_S)
            assert self.buttons() == list(expected)


@contextmanager
def running(port: Path, inbox: Inbox) -> Iterator[PanelBridge]:
    """Run the real bridge at `port`."""
    bridge = PanelBridge(str(port), inbox, retry_s=0.05)
    bridge.start()
    try:
        yield bridge
    finally:
        bridge.stop()


class PlainHost:
    """A host that does no more than it is told to, for what the bridge would never do."""

    def __init__(self, port: Path) -> None:
        self.fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd)
        self.decoder = FrameDecoder()
        self.frames: list[tuple[Message, int]] = []

    def close(self) -> None:
        os.close(self.fd)

    def send(self, message: Message, sequence: int = 0) -> None:
        os.write(self.fd, encode(to_frame(message, sequence)))

    def receive(self, timeout_s: float) -> None:
        if select.select([self.fd], [], [], max(0.0, timeout_s))[0]:
            for frame in self.decoder.feed(os.read(self.fd, 4096)):
                self.frames.append((from_frame(frame, FROM_PANEL), frame.sequence))

    def look_for(self, kind: type[M], timeout_s: float) -> tuple[M, int] | None:
        """Return the next message of that kind, with its sequence number, or None where none comes in that time."""
        end_s = time.monotonic() + timeout_s
        while True:
            while self.frames:
                message, sequence = self.frames.pop(0)
                if isinstance(message, kind):
                    return message, sequence
            if time.monotonic() >= end_s:
                return None
            self.receive(end_s - time.monotonic())

    def next(self, kind: type[M]) -> tuple[M, int]:
        """Return the next message of that kind, with its sequence number; those before it are passed over."""
        found = self.look_for(kind, PATIENCE_S)
        assert found is not None, f"no {kind.__name__} came"
        return found

    def hello(self, session: int, protocol: int = PROTOCOL_VERSION) -> Identity:
        """Ask until the panel answers, as after its start it may still be deaf."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            self.send(Hello(protocol, session))
            answer = self.look_for(Identity, 0.5)
            if answer is not None:
                return answer[0]
        raise AssertionError("nothing answers")
