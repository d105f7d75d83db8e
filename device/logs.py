"""The log of `kiosk`: to standard error, for people, or in the journal's own form where that is the journal."""

import logging
import os
import sys

from contract.journal import JournalFormatter, is_journal, one_line


class TextFormatter(logging.Formatter):
    """``time level logger: message``, always on one line, but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up() -> None:
    """Send warnings and what is graver to standard error; `logging.getLogger().setLevel` sets another level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalFormatter() if is_journal(sys.stderr, os.environ) else TextFormatter())
    logging.basicConfig(handlers=[handler])
