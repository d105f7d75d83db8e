"""Reads the pages of the documentation as far as the tests of their contents need it."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """What stands below one heading, up to the next heading of the same or a higher level."""

    text: str

    def code(self, language: str = "") -> list[str]:
        """Return the code blocks of one language, each with its last newline."""
        return [found["code"] for found in _FENCE.finditer(self.text) if found["language"] == language]

    def rows(self, first_column: str) -> list[list[str]]:
        """Return the rows of the table whose first column is named so."""
        lines = iter(self.text.splitlines())
        for line in lines:
            if line.startswith(f"| {first_column} |"):
                next(lines)
                return [_cells(row) for row in itertools.takewhile(lambda row: row.startswith("|"), lines)]
        raise AssertionError(f"there is no table that begins with the column {first_column!r}")


def section(page: str, heading: str = "") -> Section:
    """Return a section of ``docs/<page>``, or the whole page.

    Headings within code blocks count for nothing.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    if not heading:
        return Section(text)
    bare = _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    headings = list(_HEADING.finditer(bare))
    for number, found in enumerate(headings):
        if found[2] == heading:
            end = next((later.start() for later in headings[number + 1 :] if len(later[1]) <= len(found[1])), len(text))
            return Section(text[found.end() : end])
    raise AssertionError(f"docs/{page} has no heading {heading!r}")


def bare(cell: str) -> str:
    """Return a table's cell without the marks of code."""
    return cell.replace("`", "")


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split("|")]
