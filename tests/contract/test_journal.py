"""Log lines for the journal."""

import io
import logging
import os
from pathlib import Path

import pytest

from contract.journal import JournalFormatter, is_journal


def record(level: int, message: str, *, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("device.kiosk", level, __file__, 1, message, (), exc_info)


def test_standard_error_is_the_journal_if_it_is_the_very_file_that_systemd_names(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as stream, (tmp_path / "other").open("w") as other:
        found = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(stream, environment)
        assert not is_journal(other, environment)
        assert not is_journal(stream, {})
        assert not is_journal(stream, {"JOURNAL_STREAM": "rubbish"})


def test_a_stream_without_a_file_is_no_journal() -> None:
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_a_line_has_its_priority_and_no_time(level: int, priority: int) -> None:
    assert JournalFormatter().format(record(level, "it works")) == f"<{priority}>device.kiosk: it works"


def test_a_message_of_several_lines_is_one_line() -> None:
    assert JournalFormatter().format(record(logging.INFO, "a\nb\r\nc")) == "<6>device.kiosk: a\\nb\\r\\nc"


def test_each_line_of_a_traceback_has_the_priority_of_its_message() -> None:
    try:
        int("first\nsecond")
    except ValueError as error:
        lines = JournalFormatter().format(record(logging.ERROR, "it failed", error=error)).splitlines()
    assert lines[0] == "<3>device.kiosk: it failed"
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)
