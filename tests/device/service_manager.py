"""Stands in for the service manager: a datagram socket that keeps what it is told."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self


class ServiceManager:
    """Use it as a context; ``path`` goes into the environment as ``NOTIFY_SOCKET``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._changed = threading.Condition()
        self.told: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._receive, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()

    def count(self, text: str, since: int = 0) -> int:
        return sum(told == text for _, told in self.told[since:])

    def wait_until(self, is_so: Callable[[], object], deadline_s: float) -> None:
        end_s = time.monotonic() + deadline_s
        with self._changed:
            while not is_so():
                assert time.monotonic() < end_s, self.told
                self._changed.wait(0.1)

    def wait_for(self, text: str, number: int = 1, deadline_s: float = 20.0, since: int = 0) -> None:
        self.wait_until(lambda: self.count(text, since) >= number, deadline_s)

    def is_silent_for(self, span_s: float) -> bool:
        with self._changed:
            count = len(self.told)
            return not self._changed.wait_for(lambda: len(self.told) > count, span_s)

    def _receive(self) -> None:
        while data := self._socket.recv(4096):
            with self._changed:
                self.told.append((time.monotonic(), data.decode()))
                self._changed.notify_all()
