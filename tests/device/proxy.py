"""A TCP proxy that can go silent, as a network that loses its connections without a word, or reset them."""

import contextlib
import select
import socket
import struct
import threading
from typing import Self

_LOOK_S = 0.02


class Proxy:
    """Forwards connections from `port` to ``target_port``; ends with its context."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._channels: list[_Channel] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def go_silent(self) -> None:
        """Carry nothing more over the connections there are, without ending them; new ones work."""
        for channel in self._channels:
            channel.silent = True

    def reset(self) -> None:
        """End the connections there are with a reset; new ones work."""
        for channel in self._channels:
            channel.reset = True

    @property
    def accepted(self) -> int:
        """How many connections there have been."""
        return len(self._channels)

    def _accept(self) -> None:
        self._listener.settimeout(_LOOK_S)
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target_port))
                except OSError:
                    near.close()
                    continue
                channel = _Channel(near, far, self._closing)
                self._channels.append(channel)
                channel.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        for channel in self._channels:
            channel.join()
        self._listener.close()


class _Channel(threading.Thread):
    def __init__(self, near: socket.socket, far: socket.socket, closing: threading.Event) -> None:
        super().__init__(daemon=True)
        self._ends = {near: far, far: near}
        self._closing = closing
        self.silent = False
        self.reset = False

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while not (self._closing.is_set() or self.reset):
                ready, _, _ = select.select([] if self.silent else list(self._ends), [], [], _LOOK_S)
                for sock in ready:
                    data = sock.recv(65_536)
                    if not data:
                        return self._close()
                    if not self.silent:
                        self._ends[sock].sendall(data)
        return self._close()

    def _close(self) -> None:
        for sock in self._ends:
            if self.reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
