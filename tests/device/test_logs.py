"""What the kiosk's log looks like to a person and to the journal."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging, os, sys
{before}
from device import logs
logs.set_up()
logging.getLogger("device.kiosk").warning("two\\nlines")
try:
    int("x")
except ValueError:
    logging.getLogger("device.kiosk").exception("it failed")
"""
AS_JOURNAL = "found = os.fstat(sys.stderr.fileno()); os.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'"


def lines_of(before: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stderr.splitlines()


def test_in_the_journal_a_line_has_its_priority_and_no_time_of_its_own() -> None:
    first, second, *traceback = lines_of(AS_JOURNAL)
    assert first == "<4>device.kiosk: two\\nlines"
    assert second == "<3>device.kiosk: it failed"
    assert traceback
    assert all(line.startswith("<3>") for line in traceback)


def test_for_a_person_it_has_a_time_and_a_level() -> None:
    first, second, *traceback = lines_of("os.environ.pop('JOURNAL_STREAM', None)")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING device\.kiosk: two\\nlines", first)
    assert second.endswith("ERROR device.kiosk: it failed")
    assert traceback[-1].startswith("ValueError")


def test_another_stream_than_the_journals_is_for_people() -> None:
    assert " WARNING " in lines_of("os.environ['JOURNAL_STREAM'] = '1:2'")[0]
