"""What is done to the rows of the spool; each function within a transaction of its caller."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from device.record import Record

STATES = ("held", "waiting", "refused")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the spool."""

    sequence: int | None
    """Counts the records that were released, without a gap; None while the record is held."""
    id: str
    state: str
    """``held`` while the visitor can take it back, ``waiting`` for the gateway, ``refused`` by it and kept."""
    record: Record
    message: bytes | None
    """The bytes that were sent for the first time; every repetition sends the same."""
    reason: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record that was sent."""

    record_id: str
    stored: bool
    """The gateway has it; otherwise it was refused."""
    reason: str | None = None
    """Why it was refused."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it lies there, with a record that perhaps cannot be read."""

    place: int
    id: str
    state: str
    sequence: int | None
    data: bytes
    message: bytes | None
    reason: str | None

    def record(self) -> Record:
        """Return the record.

        Raises:
            ValueError: it cannot be read; the text says why.
        """
        return read_record(self.data, self.id)


COLUMNS = "place, id, state, sequence, record, message, reason"


def read_record(data: bytes, record_id: str) -> Record:
    """Return a record from its bytes. Raises ValueError where they are none, or those of another one."""
    try:
        record = msgspec.json.decode(data, type=Record)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    if record.id != record_id:
        raise ValueError(f"its content is that of another record, {record.id}")
    return record


def row_of(values: Sequence[object]) -> Row:
    """Return a row from the values of `COLUMNS`."""
    place, id_, state, sequence, data, message, reason = values
    return Row(
        place=_whole(place) or 0,
        id=str(id_),
        state=str(state),
        sequence=_whole(sequence),
        data=_bytes(data) or b"",
        message=_bytes(message),
        reason=None if reason is None else str(reason),
    )


def add(db: sqlite3.Connection, record: Record) -> None:
    """Insert a record, held back."""
    values = (record.id, msgspec.json.encode(record))
    db.execute("INSERT INTO records (id, state, record) VALUES (?, 'held', ?)", values)


def release(db: sqlite3.Connection, record_id: str) -> None:
    """Let a held record go to the gateway."""
    if db.execute("SELECT 1 FROM records WHERE id = ? AND state = 'held'", (record_id,)).fetchone():
        _number(db, record_id)


def held(db: sqlite3.Connection) -> list[str]:
    """Return the records that are held, in the order of their visits."""
    return [row[0] for row in db.execute("SELECT id FROM records WHERE state = 'held' ORDER BY place")]


def take_back(db: sqlite3.Connection, record_id: str) -> None:
    """Delete a record that has not left the kiosk."""
    db.execute("DELETE FROM records WHERE id = ? AND state = 'held'", (record_id,))


def freeze(db: sqlite3.Connection, messages: Iterable[tuple[str, bytes]]) -> None:
    """Note the bytes that are sent for each record; those that are there already stay."""
    db.executemany(
        "UPDATE records SET message = ? WHERE id = ? AND message IS NULL",
        [(message, record_id) for record_id, message in messages],
    )


def settle(db: sqlite3.Connection, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Delete what the gateway has stored, shelve what it refused; return the outcomes that changed anything."""
    return [outcome for outcome in outcomes if _settle(db, outcome)]


def _settle(db: sqlite3.Connection, outcome: Outcome) -> bool:
    if outcome.stored:
        # Of a record that was sent twice the gateway may refuse one copy and store the other.
        statement, values = "DELETE FROM records WHERE id = ? AND state <> 'held'", (outcome.record_id,)
        return db.execute(statement, values).rowcount > 0
    reason = outcome.reason or "no reason was given"
    return (
        db.execute(
            "UPDATE records SET state = 'refused', reason = ? WHERE id = ? AND state = 'waiting'",
            (reason, outcome.record_id),
        ).rowcount
        > 0
    )


def retry(db: sqlite3.Connection, record_id: str) -> bool:
    """Let a refused record wait again, behind all others and as if it had never been sent; tell whether it was one.

    Its bytes are made anew with its new number: what it was refused for may lie in them.
    """
    if not db.execute("SELECT 1 FROM records WHERE id = ? AND state = 'refused'", (record_id,)).fetchone():
        return False
    _number(db, record_id)
    db.execute("UPDATE records SET message = NULL, reason = NULL WHERE id = ?", (record_id,))
    return True


def _number(db: sqlite3.Connection, record_id: str) -> None:
    number = count(db, "sequence")
    db.execute("UPDATE records SET state = 'waiting', sequence = ? WHERE id = ?", (number, record_id))


def depth(db: sqlite3.Connection) -> dict[str, int]:
    """Return how many records are in each state."""
    return dict(db.execute("SELECT state, count(*) FROM records GROUP BY state").fetchall())


def oldest_waiting(db: sqlite3.Connection) -> str | None:
    """Return the id of the first record that waits."""
    row = db.execute("SELECT id FROM records WHERE state = 'waiting' ORDER BY sequence LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def count(db: sqlite3.Connection, name: str, by: int = 1) -> int:
    """Let a counter grow; return its new value."""
    statement = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
    db.execute(statement, (name, by))
    return counter(db, name)


def counter(db: sqlite3.Connection, name: str) -> int:
    """Return the value of a counter; 0 if it has none yet."""
    row = db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def set_counter(db: sqlite3.Connection, name: str, value: int) -> None:
    """Give a counter a value."""
    db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))


def note_boot(db: sqlite3.Connection, boot_id: str, wall_at_boot_s: float) -> None:
    """Note when a boot was; forget, when a boot is new, those that no record is of."""
    is_new = db.execute("SELECT 1 FROM boots WHERE boot_id = ?", (boot_id,)).fetchone() is None
    db.execute("INSERT OR REPLACE INTO boots VALUES (?, ?)", (boot_id, wall_at_boot_s))
    if is_new and db.execute("SELECT count(*) FROM boots").fetchone()[0] > 1:
        kept = _boots_of_records(db) | {boot_id}
        known = [row[0] for row in db.execute("SELECT boot_id FROM boots")]
        db.executemany("DELETE FROM boots WHERE boot_id = ?", [(boot,) for boot in known if boot not in kept])


def boots(db: sqlite3.Connection) -> dict[str, float]:
    """Return when each boot that is known was, in seconds since 1970."""
    return dict(db.execute("SELECT boot_id, wall_at_boot_s FROM boots").fetchall())


def _boots_of_records(db: sqlite3.Connection) -> set[str]:
    found = set()
    for record_id, data in db.execute("SELECT id, record FROM records"):
        try:
            found.add(read_record(bytes(data), record_id).pressed.boot_id)
        except (ValueError, TypeError):
            continue
    return found


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, bytes) else None
