"""Pseudo-terminal behind a symlink, as a USB serial port is behind its name in `/dev/serial/by-id`."""

import contextlib
import os
import secrets
import tty
from pathlib import Path

READ_BYTES = 4096


class Terminal:
    """A pseudo-terminal whose far end is at `link_path`, a symlink made here and removed by `close`.

    Both ends stay open, so that a host may come and go. A symlink that is there already is replaced. Raises
    FileExistsError where something else is there, and FileNotFoundError where the folder is missing.
    """

    def __init__(self, link_path: Path) -> None:
        if link_path.exists() and not link_path.is_symlink():
            raise FileExistsError(f"{link_path} exists and is no symlink: give another path for the panel")
        if not link_path.parent.is_dir():
            raise FileNotFoundError(f"the folder {link_path.parent} does not exist: make it first")
        self._link_path = link_path
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        # Or the terminal would echo the panel's own frames to it until a host opens the port.
        tty.setraw(self._slave)
        self.name = os.ttyname(self._slave)
        try:
            fresh = link_path.with_name(f".{link_path.name}.{secrets.token_hex(4)}")
            fresh.symlink_to(self.name)
            fresh.replace(link_path)
        except OSError:
            self._close_ends()
            raise

    def fileno(self) -> int:
        """Return the panel's end, for `poll`."""
        return self._master

    def read(self) -> bytes:
        """Return what the host has sent, at once."""
        try:
            return os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Send to the host; as on a real line, what nobody takes is lost."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, data)

    def close(self) -> None:
        """Hang up and remove the symlink, unless another terminal has it by now."""
        with contextlib.suppress(OSError):
            if str(self._link_path.readlink()) == self.name:
                self._link_path.unlink()
        self._close_ends()

    def _close_ends(self) -> None:
        os.close(self._master)
        os.close(self._slave)
