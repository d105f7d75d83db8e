"""`python -m device.visit.table`: writes the tables and the drawing of `docs/visit.md` anew, from the code.

`--check` writes nothing and tells, by its exit status, whether the page is up to date.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from device.settings import VisitSettings
from device.visit import effects, limits
from device.visit.drawing import drawing
from device.visit.effects import Effect, Why
from device.visit.limits import Limits
from device.visit.transitions import merged

DOCS = Path(__file__).parents[2] / "docs"
PAGE, DRAWING = DOCS / "visit.md", DOCS / "visit.svg"
TITLES = {
    "idle": "Idle: the kiosk waits for a visitor",
    "recording": "Recording: the visitor speaks",
    "finishing": "Finishing: the last words are written down and made safe",
    "thanks": "Thanks: the feedback is safe, and can be taken back",
    "notice": "Notice: a visit has ended without a feedback, or none could begin",
    "closed": "Closed: it is outside the opening hours",
    "out_of_service": "Out of service: the kiosk cannot hear",
}
_WORDS: dict[type[Effect], str] = {
    effects.Listen: "a recording begins",
    effects.StopListening: "the recording ends, its words are awaited",
    effects.Forget: "what was said is forgotten",
    effects.Commit: "the feedback is committed to the spool",
    effects.Release: "the feedback may leave the kiosk",
    effects.TakeBack: "the feedback is deleted",
    effects.ReplaceEar: "the ear is replaced",
}
_REASONS = {
    Why.BUSY: "the visit is not finished",
    Why.NO_USE: "the button has no use now",
    Why.CLOSED: "closed",
    Why.OUT_OF_SERVICE: "out of service",
    Why.TOO_SOON: "too soon",
    Why.NO_ROOM: "no room",
}


def state_tables() -> str:
    """Return a table of what happens in each phase."""
    lines: list[str] = []
    for phase, rows in merged().items():
        lines += [f"### {TITLES[phase]}", "", "| what happens | the visitor sees and hears | what else | then |"]
        lines += ["| --- | --- | --- | --- |"]
        for one, happenings in rows.items():
            seen = [f"`{one.shown.name.lower()}`"] if one.shown is not None else []
            if one.why is not None and one.why is not Why.NO_ROOM:
                seen.append(f"an answer: {_REASONS[one.why]}")
            else_ = ", ".join(_WORDS[type(effect)] for effect in one.todo)
            then = "" if one.then == phase else one.then.replace("_", " ")
            lines.append(f"| {'; '.join(happenings)} | {', '.join(seen)} | {else_} | {then} |")
        lines.append("")
    return "\n".join(lines)


def limit_table() -> str:
    """Return a table of the limits, with what `Limits` says of each."""
    lines = ["| limit | default | what it means |", "| --- | --- | --- |"]
    settings = VisitSettings.__struct_fields__
    for field, meaning in zip(fields(Limits), _meanings(), strict=True):
        name = f"`visit.{field.name}`" if field.name in settings else f"{field.name} (fixed)"
        lines.append(f"| {name} | {field.default:g} s | {meaning} |")
    return "\n".join(lines) + "\n"


def _meanings() -> Iterator[str]:
    tree = ast.parse(Path(limits.__file__).read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    for node in body[1:]:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield " ".join(str(node.value.value).split())


def with_section(page: str, name: str, text: str) -> str:
    """Return the page with the text between the marks of that name.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no section {name!r}: it stands between {begin.strip()} and {end}")
    return f"{before}{begin}\n{text.rstrip()}\n\n{end}{after}"


def written(page: str) -> str:
    """Return the page with all that is drawn from the code."""
    return with_section(with_section(page, "limits", limit_table()), "phases", state_tables())


def main(argv: list[str] | None = None) -> int:
    """Write, or check; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m device.visit.table", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the page is out of date")
    arguments = parser.parse_args(argv)
    if not PAGE.exists():
        print(f"{PAGE}: there is no such file; run this in a checkout of the project", file=sys.stderr)
        return 2
    wanted = {PAGE: written(PAGE.read_text(encoding="utf-8")), DRAWING: drawing()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments.check:
        for path in stale:
            print(f"{path.name} is out of date: run `python -m device.visit.table`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
        print(f"{path.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
