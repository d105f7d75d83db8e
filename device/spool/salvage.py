"""The rows of a damaged spool: found page by page, and written into a new database."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from device.spool import rows, schema
from device.spool.marks import JUMP, JUMP_STARTS, Marks
from device.spool.pages import INDEX_INNER, INDEX_LEAF, TABLE_LEAF, Cell, Image, PageError, Value
from device.spool.rows import Row

_COLUMNS = 7
_COUNTERS = ("starts", "sequence", "salvages", "lost_in_salvage")
_NO_BOOTS = ("records", "probe", *_COUNTERS)
"""What else has a name and a number in its row."""
_RANK = {"held": 0, "waiting": 1, "refused": 2}


@dataclass(frozen=True, slots=True)
class _Found:
    """A record that was found; its bytes stay where they are until they are written anew."""

    cell: Cell
    place: int
    rank: tuple[int, ...]
    """Higher is newer, where a damaged file has a record twice."""


@dataclass(slots=True)
class Findings:
    """What a damaged spool still holds."""

    records: dict[str, _Found] = field(default_factory=dict)
    boots: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    highest_sequence: int = 0
    known_places: set[int] = field(default_factory=set)
    """Of all records that a row or an index's entry tells of."""

    @property
    def lost(self) -> int:
        """How many records are known to have been there and were not found."""
        return len(self.known_places - {found.place for found in self.records.values()})


def search(image: Image) -> Findings:
    """Look at every page for what belongs to a spool."""
    findings = Findings()
    for cell in image.cells():
        with contextlib.suppress(PageError):
            number, values = image.row(cell)
            if cell.kind in (INDEX_LEAF, INDEX_INNER):
                _take_entry(findings, values)
            elif number is not None:
                _take_row(findings, cell, number, values)
    return findings


def counters_after(findings: Findings, marks: Marks | None) -> dict[str, int]:
    """Return the counters with which a new spool goes on: none is lower than it ever was."""
    counters = dict(findings.counters)
    starts, sequence = counters.get("starts", 0), max(counters.get("sequence", 0), findings.highest_sequence)
    if marks is not None:
        # The marks are checked by a sum, and they are ahead of all numbers that were given: a higher one is damage.
        starts = marks.starts if starts > marks.starts + JUMP_STARTS else max(starts, marks.starts)
        sequence = marks.sequence if sequence > marks.sequence + JUMP else max(sequence, marks.sequence)
    else:
        starts += 0 if "starts" in counters else JUMP_STARTS
        sequence += 0 if "sequence" in counters else JUMP
    counters.update(starts=starts, sequence=sequence)
    counters["salvages"] = counters.get("salvages", 0) + 1
    counters["lost_in_salvage"] = counters.get("lost_in_salvage", 0) + findings.lost
    return counters


def write(path: Path, image: Image, findings: Findings, counters: dict[str, int]) -> None:
    """Make a new database of what was found, whole on the disk when this returns but for its name.

    Raises:
        sqlite3.Error, OSError: it cannot be written, for example because the disk is full.
    """
    db = schema.connect(path)
    try:
        # Nobody reads it before it is whole: a log and its flushes would only cost room and time.
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("BEGIN")
        schema.create(db)
        for name, value in counters.items():
            rows.set_counter(db, name, value)
        db.executemany("INSERT OR REPLACE INTO boots VALUES (?, ?)", findings.boots.items())
        for row in _rows(image, findings):
            _insert(db, row)
        db.execute("COMMIT")
    finally:
        db.close()


def _rows(image: Image, findings: Findings) -> Iterator[Row]:
    """Read the found records again, in the order of their visits, so that they are never all in memory."""
    for record_id, found in sorted(findings.records.items(), key=lambda item: item[1].place):
        try:
            number, values = image.row(found.cell)
        except PageError:  # the disk gave the page once, and not again
            continue
        row = _row(number or 0, values)
        if row is not None and row.id == record_id:
            yield row


def _insert(db: sqlite3.Connection, row: Row) -> None:
    """Insert a row; what of it does not fit the rules of the tables gives way to the record itself."""
    state, sequence, reason = row.state, row.sequence, row.reason
    try:
        row.record()
    except ValueError as error:
        state, reason = "refused", f"it cannot be read: {error}"
    if state not in rows.STATES:
        state = "waiting"
    if state == "held":
        sequence = None
    elif sequence is None or _is_there(db, "sequence", sequence) or not 0 < sequence <= rows.counter(db, "sequence"):
        sequence = rows.count(db, "sequence")
    place = None if _is_there(db, "place", row.place) else row.place
    values = (place, row.id, state, sequence, row.data, row.message, reason)
    db.execute(f"INSERT INTO records ({rows.COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608


def _is_there(db: sqlite3.Connection, column: str, value: int) -> bool:
    return db.execute(f"SELECT 1 FROM records WHERE {column} = ?", (value,)).fetchone() is not None  # noqa: S608


def _take_entry(findings: Findings, values: list[Value]) -> None:
    """Note which records there are from the indexes by sequence and by state."""
    match values:
        case [int(), int(place)] if place > 0:
            findings.known_places.add(place)
        case [str(state), int() | None, int(place)] if state in rows.STATES and place > 0:
            findings.known_places.add(place)


def _take_row(findings: Findings, cell: Cell, number: int, values: list[Value]) -> None:
    if cell.kind != TABLE_LEAF:
        return
    match values:
        case [str(name), int(value)] if name in _COUNTERS and value >= 0:
            findings.counters[name] = max(value, findings.counters.get(name, 0))
        case [str(boot), (int() | float()) as wall_s] if boot not in _NO_BOOTS:
            findings.boots[boot] = float(wall_s)
        case _:
            row = _row(number, values)
            if row is not None:
                _take_record(findings, cell, row)


def _take_record(findings: Findings, cell: Cell, row: Row) -> None:
    readable = True
    try:
        row.record()
    except ValueError:
        readable = False
    rank = (readable, row.sequence or 0, _RANK.get(row.state, -1), row.message is not None)
    findings.known_places.add(row.place)
    before = findings.records.get(row.id)
    if before is None or rank > before.rank:
        findings.records[row.id] = _Found(cell, row.place, rank)
    if before is not None:
        findings.known_places.discard(before.place if rank > before.rank else row.place)
    findings.highest_sequence = max(findings.highest_sequence, row.sequence or 0)


def _row(number: int, values: list[Value]) -> Row | None:
    """Return a row of the records, or None if it is one of something else."""
    if len(values) != _COLUMNS or values[0] is not None or number <= 0:
        return None
    _, id_, state, sequence, data, message, reason = values
    if not isinstance(id_, str) or not isinstance(data, bytes | str) or not data:
        return None
    return rows.row_of((number, id_, state, sequence, data, message, reason))
