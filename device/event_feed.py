"""The agent's own events for programs on this machine: one JSON object a line, over a Unix socket.

The socket is open to the agent's user alone, for the feed carries the words of the visit while they are spoken. Nothing
is kept: who connects gets the present state and then what happens. A reader that does not keep up is dropped.
"""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

SOCKET_NAME = "events.sock"
MAX_READERS = 16
_SEND_BUFFER_BYTES = 256 * 1024

Value = str | int | float | bool | None


class EventFeed:
    """The server side. `publish` never waits for a reader."""

    def __init__(
        self,
        folder: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = folder / SOCKET_NAME
        self._monotonic = monotonic
        self._wall = wall
        self._lock = threading.Lock()
        self._readers: list[socket.socket] = []
        self._state: dict[str, bytes] = {}
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, name="event-feed", daemon=True)

    def start(self) -> None:
        """Open the socket.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self.path))
            self.path.chmod(0o600)
            listener.listen(MAX_READERS)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._thread.start()

    def stop(self) -> None:
        """Close the socket and every reader."""
        if self._listener is not None:
            # Closing alone would not wake the thread that waits in accept().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._thread.join()
            self.path.unlink(missing_ok=True)
        with self._lock:
            for reader in self._readers:
                reader.close()
            self._readers.clear()

    def publish(self, event: str, *, state: str | None = None, **fields: Value) -> None:
        """Tell every reader. With ``state`` the line is also the present state under that name, for later readers."""
        tree: Mapping[str, Value] = {"event": event, "at": self._wall(), "at_s": self._monotonic(), **fields}
        line = json.dumps(tree, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            if state is not None:
                self._state[state] = line
            self._readers = [reader for reader in self._readers if self._send(reader, line)]

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None:
            try:
                reader, _ = listener.accept()
            except OSError:
                return
            reader.setblocking(False)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            with self._lock:
                if len(self._readers) >= MAX_READERS or not self._send(reader, b"".join(self._state.values())):
                    reader.close()
                else:
                    self._readers.append(reader)

    @staticmethod
    def _send(reader: socket.socket, data: bytes) -> bool:
        """Send to one reader; close it and return False if it is gone or does not keep up."""
        try:
            if reader.send(data) == len(data):
                return True
        except OSError:
            pass
        reader.close()
        return False
