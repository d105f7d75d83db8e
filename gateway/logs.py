"""Logging to stderr, for people or, one JSON object a line, for programs; fields given as ``extra`` are shown."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from contract.journal import JournalFormatter, is_journal, one_line

LogFormat = Literal["text", "json"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RESERVED = frozenset({"time", "level", "logger", "message", "exception"})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, milliseconds), level, logger, message, the extra fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in _extra(record) if key not in _RESERVED)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class TextFormatter(logging.Formatter):
    """``time level logger: message key=value``, always on one line, but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = f"{_time(record)} {record.levelname} {_message(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class ServiceFormatter(JournalFormatter):
    """The text for the journal, which adds time and level itself."""

    def line(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return _message(record)


def set_up(level: str, log_format: LogFormat) -> None:
    """Send everything from ``level`` upwards to stderr; as text in the journal's own form where that is the journal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # At DEBUG these show bodies and SQL with a visitor's words in them.
    for name in ("urllib3", "django", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _formatter(log_format: LogFormat) -> logging.Formatter:
    if log_format == "json":
        return JsonFormatter()
    return ServiceFormatter() if is_journal(sys.stderr, os.environ) else TextFormatter()


def _message(record: logging.LogRecord) -> str:
    fields = "".join(f" {key}={_word(value)}" for key, value in _extra(record))
    return f"{record.name}: {one_line(record.getMessage())}{fields}"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    return ((key, value) for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_"))


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if text and text.isprintable() and not {" ", '"', "="} & set(text) else json.dumps(text)
