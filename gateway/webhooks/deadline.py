"""A total deadline for each attempt: one thread cuts the connections whose time is over, whatever they wait for."""

import contextlib
import heapq
import itertools
import socket
import threading
import time
from types import TracebackType
from typing import Self

IDLE_S = 5.0
"""How long the thread stays when there is nothing to watch."""


class Deadline:
    """The time of one attempt; a context that lasts as long as the attempt."""

    def __init__(self, seconds: float) -> None:
        self.end_s = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.fired = False
        self.over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self.over = True
            self._socket = None

    def remaining_s(self) -> float:
        """Return the time that is left, never quite nothing, because 0 means no waiting at all to a socket."""
        return max(self.end_s - time.monotonic(), 0.001)

    def guard(self, connected: socket.socket) -> None:
        """Cut this connection when the time is over; it has to stay open until then or be closed as an object."""
        with self._lock:
            self._socket = connected
            if self.fired:
                _cut(connected)

    def fire(self) -> None:
        """Cut now. The attempt has failed then, even if a status was read: a cut header looks like a complete one."""
        with self._lock:
            if self.over:
                return
            self.fired = True
            if self._socket is not None:
                _cut(self._socket)


def _cut(connected: socket.socket) -> None:
    # The other side, or the attempt itself, may have been quicker.
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class Watch:
    """Fires deadlines. Its thread is there only while there is something to watch, and a little longer."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()
        self._running = False

    def begin(self, seconds: float) -> Deadline:
        """Return a deadline that fires in ``seconds``, unless its context was left before."""
        made = Deadline(seconds)
        with self._changed:
            heapq.heappush(self._queue, (made.end_s, next(self._numbers), made))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="deadlines", daemon=True).start()
            elif self._queue[0][2] is made:
                self._changed.notify()
        return made

    def fire_all(self) -> None:
        """Fire every deadline whose attempt is under way."""
        with self._changed:
            live = [deadline for _, _, deadline in self._queue]
        for deadline in live:
            deadline.fire()

    def _run(self) -> None:
        while True:
            due: list[Deadline] = []
            with self._changed:
                if not self._queue and not self._changed.wait(IDLE_S) and not self._queue:
                    self._running = False
                    return
                now_s = time.monotonic()
                while self._queue and (self._queue[0][0] <= now_s or self._queue[0][2].over):
                    due.append(heapq.heappop(self._queue)[2])
                if not due and self._queue:
                    self._changed.wait(self._queue[0][0] - now_s)
            for deadline in due:
                if deadline.end_s <= time.monotonic():
                    deadline.fire()
