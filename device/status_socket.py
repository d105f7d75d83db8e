"""The kiosk's health for programs on this machine: a Unix socket that gives one JSON object to each that connects.

It is open to the agent's own user alone, as is its folder. It is apart from the socket of the events (`event_feed`):
that one carries visitors' words and tells what happens; this one answers.
"""

import contextlib
import os
import socket
from pathlib import Path

from contract.messages import MAX_MESSAGE_BYTES

SOCKET_NAME = "status.sock"
_BACKLOG = 16


class StatusSocket:
    """The agent's side; never waits for who asks. For one thread.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / SOCKET_NAME
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # Before it has a name: there is no moment at which somebody else could open it.
            os.fchmod(self._listener.fileno(), 0o600)
            self._listener.bind(str(self.path))
            self._listener.listen(_BACKLOG)
        except OSError:
            self._listener.close()
            raise

    def fileno(self) -> int:
        """To wait on: readable when somebody asks."""
        return self._listener.fileno()

    def answer(self, message: bytes) -> None:
        """Give the message to the one that has asked for longest; who does not take it at once gets a part of it."""
        with contextlib.suppress(OSError):
            asker, _ = self._listener.accept()
            with asker:
                asker.setblocking(False)
                asker.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE_BYTES)
                asker.send(message)

    def close(self) -> None:
        """Answer nobody any more."""
        self._listener.close()
        self.path.unlink(missing_ok=True)


def ask(folder: Path, timeout_s: float) -> bytes:
    """Return what the running agent answers.

    Raises:
        FileNotFoundError: no agent runs.
        ConnectionRefusedError: an agent ran and ended without removing its socket.
        PermissionError: it is another user's.
        TimeoutError: it does not answer in time.
        OSError: anything else.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(timeout_s)
        agent.connect(str(folder / SOCKET_NAME))
        received = b""
        while len(received) <= MAX_MESSAGE_BYTES and (data := agent.recv(65_536)):
            received += data
        return received
