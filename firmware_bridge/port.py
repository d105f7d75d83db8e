"""Serial port: the one door to the tty, opened so that nobody else reads along and the panel is not reset."""

import errno
import os
import termios

import serial

from firmware_bridge.holders import holders

BAUD = 115200
READ_BYTES = 4096
MAX_NAMED = 3
"""How many of those who hold a port are named in a sentence."""


class PortError(Exception):
    """The port cannot be opened or is gone; the text is a sentence for whoever has to mend it."""


class SerialPort:
    """An open serial port that never blocks: 115200 8N1, exclusive, without a hang-up at its closing.

    Raises PortError when it cannot be opened, or when another process has it open: opening it would disturb that
    one, for a board may reset, and each would get a part of the bytes. Use `fileno` to wait for it, then `read` and
    `write`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if holders(path):
            raise PortError(_in_use(path))
        try:
            self._serial = serial.Serial(path, BAUD, timeout=0, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            raise PortError(_why_not_open(path, error)) from error
        self._keep_dtr()

    def fileno(self) -> int:
        """Return the file descriptor, for `poll`."""
        return int(self._serial.fileno())

    def read(self) -> bytes:
        """Return what has been received, at once; raises PortError when the port is gone.

        To be called when `poll` reports something: then no byte at all means that the other end has hung up.
        """
        try:
            data = os.read(self.fileno(), READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortError(f"{self.path} was unplugged ({error.strerror})") from error
        if not data:
            raise PortError(f"{self.path} was unplugged")
        return data

    def write(self, data: bytes | bytearray) -> int:
        """Send as much of `data` as the port takes at once and return how much; raises PortError when it is gone."""
        try:
            return os.write(self.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise PortError(f"{self.path} was unplugged ({error.strerror})") from error

    def close(self) -> None:
        """Close the port, also one that is gone."""
        self._serial.close()

    def _keep_dtr(self) -> None:
        """Leave DTR as it is when the port closes: many boards reset on its next rise."""
        try:
            attributes = termios.tcgetattr(self.fileno())
            attributes[2] &= ~termios.HUPCL
            termios.tcsetattr(self.fileno(), termios.TCSANOW, attributes)
        except termios.error:
            # A port without these lines, or one that has just gone: the next read tells.
            return


def _why_not_open(path: str, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return f"{path} does not exist: plug the panel in, or correct the panel's port in the configuration"
    if number == errno.EACCES:
        return f"{path} may not be opened: add this program's user to the group that owns it, often dialout"
    if number in (errno.EAGAIN, errno.EBUSY):
        return _in_use(path)
    return f"{path} cannot be opened as a serial port: {error}"


def _in_use(path: str) -> str:
    found = holders(path)
    known = ", ".join([*map(str, found[:MAX_NAMED]), *(["others"] if len(found) > MAX_NAMED else [])])
    return f"{path} is in use{' by ' if known else ''}{known}: stop the other program that has it open"
