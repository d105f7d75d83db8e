"""Wakes a thread that waits in a selector."""

import contextlib
import os


class WakePipe:
    """A pipe for one waiting thread. Raises `OSError` when there is none to be had."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def fd(self) -> int:
        """To wait on: readable since the last `wake`."""
        return self._read_fd

    def wake(self) -> None:
        """Make the waiting thread go on. Any thread."""
        with contextlib.suppress(BlockingIOError):  # it is full of wakes already
            os.write(self._write_fd, b"!")

    def clear(self) -> None:
        """Be ready to wait again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 4096)

    def close(self) -> None:
        """Close both ends; nobody may wait or wake any more."""
        os.close(self._read_fd)
        os.close(self._write_fd)
