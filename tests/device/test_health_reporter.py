"""The health is told to the gateway, to the service manager and to whoever asks on this machine."""

import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.health import Health
from contract.messages import MessageError, decode
from device import status_socket
from device.health import HealthMaker
from device.health_reporter import HealthReporter
from tests.device import figures
from tests.device.test_health import sources

DEADLINE_S = 10.0


class Kiosk:
    """A reporter, the figures that its parts tell, and what it has told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed = threading.Condition()
        self.sent: list[Health] = []
        self.told: list[str] = []
        self.parts: dict[str, Any] = {}
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        asked = {name: self._part(name) for name in ("agent", "ear", "panel", "uplink", "spool", "clock", "machine")}
        self.reporter = HealthReporter(
            HealthMaker(sources(**asked), kiosk="front-door", agent_version="0.1.0"),
            folder,
            self._send,
            interval_s=60.0,
            tell=self._tell,
        )

    def _part(self, name: str) -> Callable[[], Any]:
        def stats() -> Any:
            self.may_go_on.wait()
            found = self.parts.get(name, {})
            if isinstance(found, Exception):
                raise found
            return getattr(figures, name)(**found)

        return stats

    def _send(self, message: bytes) -> None:
        with self.changed:
            self.sent.append(decode(Health, message))
            self.changed.notify_all()

    def _tell(self, text: str) -> None:
        with self.changed:
            self.told.append(text)
            self.changed.notify_all()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_so, DEADLINE_S), (self.sent, self.told)

    def ask(self) -> Health:
        return decode(Health, status_socket.ask(self.folder, DEADLINE_S))


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    kiosk = Kiosk(tmp_path / "run")
    yield kiosk
    kiosk.may_go_on.set()
    kiosk.reporter.stop()
    assert "health" not in [thread.name for thread in threading.enumerate()]
    assert not (tmp_path / "run" / "status.sock").exists()


def test_the_gateway_and_the_service_manager_are_told_at_once(kiosk: Kiosk) -> None:
    kiosk.reporter.start()
    kiosk.wait_until(lambda: bool(kiosk.sent and kiosk.told))
    assert kiosk.sent[0].spool.state == "ok"
    assert kiosk.told == ["STATUS=ok: idle, 3 thanked, 0 records waiting"]


def test_a_change_is_told_within_seconds_of_the_news(kiosk: Kiosk) -> None:
    kiosk.reporter.start()
    kiosk.wait_until(lambda: len(kiosk.sent) == 1)
    kiosk.parts["ear"] = {"is_ready": False, "reason": "unplugged"}
    kiosk.reporter.news()
    kiosk.wait_until(lambda: len(kiosk.sent) == 2)
    assert kiosk.sent[1].ear.problem == "unplugged"
    assert kiosk.told[-1] == "STATUS=ear failed: unplugged"


def test_who_asks_gets_the_state_of_this_moment(kiosk: Kiosk) -> None:
    kiosk.reporter.start()
    assert kiosk.ask().agent.state == "ok"
    kiosk.parts["agent"] = {"stuck_buttons": ("record",)}
    assert kiosk.ask().agent.stuck_buttons == ("record",)
    assert [kiosk.ask().kiosk for _ in range(20)] == ["front-door"] * 20


def test_only_the_agents_own_user_may_ask(kiosk: Kiosk) -> None:
    before = os.umask(0)
    try:
        kiosk.reporter.start()
        found = (kiosk.folder / "status.sock").stat()
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(found.st_mode)
    assert found.st_mode & 0o777 == 0o600
    assert kiosk.folder.stat().st_mode & 0o777 == 0o700


def test_who_asks_and_does_not_listen_delays_nobody(kiosk: Kiosk) -> None:
    kiosk.reporter.start()
    deaf = []
    for _ in range(8):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.connect(str(kiosk.folder / "status.sock"))
        deaf.append(one)
    assert kiosk.ask().kiosk == "front-door"
    for one in deaf:
        one.close()
    assert kiosk.ask().kiosk == "front-door"


def test_a_part_that_hangs_lets_who_asks_wait_and_nobody_else(kiosk: Kiosk) -> None:
    kiosk.reporter.start()
    kiosk.wait_until(lambda: bool(kiosk.sent))
    kiosk.may_go_on.clear()
    with pytest.raises(TimeoutError):
        status_socket.ask(kiosk.folder, 0.3)
    began_s = time.monotonic()
    for _ in range(100):
        kiosk.reporter.news()
    assert time.monotonic() - began_s < 1
    kiosk.may_go_on.set()
    assert kiosk.ask().kiosk == "front-door"


def test_a_defect_of_a_part_costs_the_health_and_not_the_thread(kiosk: Kiosk, caplog: pytest.LogCaptureFixture) -> None:
    kiosk.parts["uplink"] = RuntimeError("a defect")
    with caplog.at_level(logging.ERROR):
        kiosk.reporter.start()
        for _ in range(3):
            with pytest.raises(MessageError):
                kiosk.ask()
    assert len([one for one in caplog.records if one.name == "device.health_reporter"]) == 1
    kiosk.parts["uplink"] = {}
    assert kiosk.ask().kiosk == "front-door"


def test_a_socket_left_by_a_crash_is_replaced(kiosk: Kiosk) -> None:
    kiosk.folder.mkdir()
    (kiosk.folder / "status.sock").touch()
    kiosk.reporter.start()
    assert kiosk.ask().kiosk == "front-door"


def test_news_after_the_end_go_nowhere(kiosk: Kiosk) -> None:
    kiosk.reporter.news()
    kiosk.reporter.start()
    kiosk.reporter.stop()
    kiosk.reporter.news()
