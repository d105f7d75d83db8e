"""The page about the spool says what the code does."""

import re
from pathlib import Path

import pytest

from device.cli.main import make_parser
from device.spool import Spool, ballast, marks, room, rows, schema, takeover

PAGE = (Path(__file__).parents[2] / "docs" / "spool.md").read_text(encoding="utf-8")
MIB = 2**20


@pytest.mark.parametrize(
    "said",
    [
        f"less than {room.RESERVE_BYTES // MIB} MiB are free",
        f"when {(room.RESERVE_BYTES + room.SLACK_BYTES) // MIB} MiB are free",
        f"{ballast.BALLAST_BYTES // MIB} MiB that the spool holds",
        f"once in {room.PROBE_S:.0f} s at most",
        f"when it has {schema.LOG_PAGES} pages",
        f"in blocks of {marks.BLOCK:,}",
        {3: "the newest three"}[takeover.KEPT],
        *(f"| `{state}` |" for state in rows.STATES),
    ],
)
def test_a_figure_of_the_page_is_that_of_the_code(said: str) -> None:
    assert said in " ".join(PAGE.split())


def test_every_command_of_the_page_can_be_typed() -> None:
    commands = re.findall(r"^\$ sudo kiosk (.+)$", PAGE, re.MULTILINE)
    assert {command.split()[1] for command in commands} == {"list", "show", "retry", "export"}
    for command in commands:
        make_parser().parse_args(command.split())


def test_what_the_page_calls_its_files_is_what_they_are_called(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.begin()
    spool.close()
    (tmp_path / "spool.sqlite3").write_bytes(b"no database")
    Spool(tmp_path / "spool.sqlite3").close()
    for path in tmp_path.iterdir():
        assert f"`{path.name}" in PAGE
