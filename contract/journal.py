"""Log lines for the journal: it stamps them itself and takes their priority from a prefix (sd-daemon(3))."""

import logging
import os
from collections.abc import Mapping
from typing import TextIO

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether what is written to ``stream`` goes to the journal: systemd names its device and inode."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        opened = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(opened.st_dev), str(opened.st_ino))


def one_line(text: str) -> str:
    """Return ``text`` on one line, whatever is in it."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


class JournalFormatter(logging.Formatter):
    """``<N>logger: message``, one line for each message, without a time; each line of a traceback has the prefix."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines."""
        lines = [self.line(record)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + line for line in lines)

    def line(self, record: logging.LogRecord) -> str:
        """Return the message's own line, without the prefix."""
        return f"{record.name}: {one_line(record.getMessage())}"


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)
