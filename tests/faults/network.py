"""A network between a kiosk and its gateway that misbehaves on demand: a TCP proxy.

What is set holds for the connections that are open, too. Bytes that are on their way when it changes arrive late or not
at all, as on a real way.
"""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass

_CHUNK_BYTES = 4096
_LOOK_S = 0.02
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Weather:
    """How the network is."""

    delay_s: float = 0.0
    """For each way."""
    bytes_per_s: float | None = None
    closes_after_bytes: int | None = None
    """Of one connection, in both directions together; then it is reset."""
    is_black_hole: bool = False
    """Nothing passes and nothing is refused: both ends see an open connection."""
    refuses: bool = False
    """A new connection is reset at once."""


FAIR = Weather()


class Network:
    """Listens at `port` of the loopback, until `close`. Safe to use from several threads."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.weather = FAIR
        self.connections = 0
        """Connections that were made until now."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="network", daemon=True).start()

    def close(self) -> None:
        """Take it away, with its connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.weather = FAIR
        self.reset()

    def reset(self) -> None:
        """Reset every connection that is open, as a firewall does that has forgotten them."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            _reset(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.weather.refuses:
                _reset(near)
                near.close()
                continue
            self.connections += 1
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            _reset(near)
            near.close()
            return
        with self._lock:
            self._open |= {near, far}
        passed = _Passed()
        back = threading.Thread(target=self._pump, args=(far, near, passed), daemon=True)
        back.start()
        self._pump(near, far, passed)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _pump(self, source: socket.socket, sink: socket.socket, passed: "_Passed") -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._hold_up(len(data))
                sink.sendall(data)
                limit = self.weather.closes_after_bytes
                if passed.add(len(data)) > (limit or float("inf")):
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        _reset(source)
        _reset(sink)

    def _hold_up(self, size: int) -> None:
        while self.weather.is_black_hole:
            time.sleep(_LOOK_S)
        time.sleep(self.weather.delay_s + size / (self.weather.bytes_per_s or float("inf")))


class _Passed:
    """Counts the bytes of one connection."""

    def __init__(self) -> None:
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> int:
        with self._lock:
            self._bytes += size
            return self._bytes


def _reset(end: socket.socket) -> None:
    """End a connection with a reset instead of a goodbye; its other user is woken."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RDWR)
