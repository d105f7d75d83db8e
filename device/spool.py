"""The spool: every feedback from its commit until the gateway's receipt, safe against a power cut.

SQLite with a write-ahead log and ``synchronous=FULL``: with ``NORMAL`` a power cut loses rows that were already
acknowledged. A row is deleted only when the gateway says that it has stored the feedback, or when its visitor takes it
back.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from device.record import Record

log = logging.getLogger(__name__)

_BUSY_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('held', 'waiting', 'refused')),
    sequence INTEGER UNIQUE CHECK ((sequence IS NULL) = (state = 'held')),
    record BLOB NOT NULL,
    message BLOB,
    reason TEXT
);
CREATE TABLE IF NOT EXISTS boots (boot_id TEXT PRIMARY KEY, wall_at_boot_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counters VALUES ('starts', 0), ('sequence', 0);
"""


class SpoolError(RuntimeError):
    """The spool cannot be opened or written; the text says why."""


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
    """What became of a record: stored by the gateway, or refused with the reason."""

    record_id: str
    stored: bool
    reason: str | None


class Spool:
    """The kiosk's outbox. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the spool at ``path``, or make it.

        Raises:
            SpoolError: the file cannot be opened, or is no database.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"the spool {path} cannot be opened: {error}; check the folder and its rights") from None
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            path.chmod(0o600)
        except (OSError, sqlite3.Error) as error:
            self._db.close()
            raise SpoolError(f"the spool {path} cannot be used: {error}") from None

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def begin(self) -> int:
        """Say that the agent has started; return how often it has.

        What a crash left held is released: its visitor was thanked, and is not there any more to take it back.
        """
        with self._changing() as db:
            held = [row[0] for row in db.execute("SELECT id FROM records WHERE state = 'held' ORDER BY place")]
            for record_id in held:
                _release(db, record_id)
            return _count(db, "starts")

    def add(self, record: Record) -> None:
        """Commit ``record``, held back. On return it survives a power cut.

        Raises:
            SpoolError: it could not be made durable, for example because the disk is full.
        """
        with self._using() as db:
            db.execute(
                "INSERT INTO records (id, state, record) VALUES (?, 'held', ?)",
                (record.id, msgspec.json.encode(record)),
            )

    def release(self, record_id: str) -> None:
        """Let a held record go to the gateway."""
        with self._changing() as db:
            if db.execute("SELECT 1 FROM records WHERE id = ? AND state = 'held'", (record_id,)).fetchone():
                _release(db, record_id)

    def take_back(self, record_id: str) -> None:
        """Delete a record that has not left the kiosk."""
        with self._using() as db:
            db.execute("DELETE FROM records WHERE id = ? AND state = 'held'", (record_id,))

    def waiting(self, limit: int, after_sequence: int = 0) -> list[Entry]:
        """Return at most ``limit`` records for the gateway, in order, of those after ``after_sequence``."""
        return self._entries("state = 'waiting' AND sequence > ? ORDER BY sequence LIMIT ?", after_sequence, limit)

    def entries(self, limit: int = 1_000) -> list[Entry]:
        """Return at most ``limit`` records in any state, in order."""
        return self._entries("1 ORDER BY place LIMIT ?", limit)

    def freeze(self, record_id: str, make: Callable[[], bytes]) -> bytes:
        """Return the bytes that were first sent for a record; ``make`` gives them if there are none yet.

        A repetition with other bytes would be a conflict at the gateway, so they are durable before they are sent.

        Raises:
            KeyError: there is no such record.
        """
        with self._using() as db:
            row = db.execute("SELECT message FROM records WHERE id = ?", (record_id,)).fetchone()
            if row is None:
                raise KeyError(record_id)
            if row[0] is not None:
                return bytes(row[0])
            message = make()
            db.execute("UPDATE records SET message = ? WHERE id = ?", (message, record_id))
            return message

    def freeze_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Keep the bytes that are to be sent for records, in one transaction; bytes that are there already stay."""
        with self._changing() as db:
            db.executemany(
                "UPDATE records SET message = ? WHERE id = ? AND message IS NULL",
                [(message, record_id) for record_id, message in messages],
            )

    def settle(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Note what became of records, in one transaction; return the outcomes whose records waited."""
        with self._changing() as db:
            return [outcome for outcome in outcomes if _settle(db, outcome)]

    def note_boot(self, boot_id: str, wall_at_boot_s: float) -> None:
        """Keep what the wall clock showed at a boot."""
        with self._using() as db:
            db.execute("INSERT OR REPLACE INTO boots VALUES (?, ?)", (boot_id, wall_at_boot_s))

    def boots(self) -> Mapping[str, float]:
        """Return what the wall clock showed at each boot that is known: seconds since 1970."""
        with self._using() as db:
            return dict(db.execute("SELECT boot_id, wall_at_boot_s FROM boots").fetchall())

    def stored(self, record_id: str) -> bool:
        """Delete a record that the gateway has stored; tell whether it was there."""
        with self._using() as db:
            return db.execute("DELETE FROM records WHERE id = ? AND state = 'waiting'", (record_id,)).rowcount > 0

    def refused(self, record_id: str, reason: str) -> bool:
        """Put a record on the shelf that the gateway refused; tell whether it was there."""
        with self._using() as db:
            cursor = db.execute(
                "UPDATE records SET state = 'refused', reason = ? WHERE id = ? AND state = 'waiting'",
                (reason, record_id),
            )
            return cursor.rowcount > 0

    def depth(self) -> dict[str, int]:
        """Return how many records are in each state."""
        with self._using() as db:
            return dict(db.execute("SELECT state, count(*) FROM records GROUP BY state").fetchall())

    def _entries(self, where: str, *values: int) -> list[Entry]:
        query = f"SELECT sequence, id, state, record, message, reason FROM records WHERE {where}"  # noqa: S608
        with self._using() as db:
            rows = db.execute(query, values).fetchall()
        entries = []
        for sequence, id_, state, data, message, reason in rows:
            try:
                record = msgspec.json.decode(data, type=Record)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                # One damaged row must not stand in the way of all behind it.
                log.error("Record %s of the spool cannot be read and goes to the shelf: %s", id_, error)  # noqa: TRY400
                self.refused(id_, f"it cannot be read: {error}")
                continue
            entries.append(Entry(sequence, id_, state, record, message, reason))
        return entries

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise SpoolError(f"the spool {self.path} failed: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Several changes as one: all of them or none."""
        with self._using() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # A commit that failed may have ended the transaction itself.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def _release(db: sqlite3.Connection, record_id: str) -> None:
    number = _count(db, "sequence")
    db.execute("UPDATE records SET state = 'waiting', sequence = ? WHERE id = ?", (number, record_id))


def _settle(db: sqlite3.Connection, outcome: Outcome) -> bool:
    if outcome.stored:
        query, values = "DELETE FROM records WHERE id = ? AND state = 'waiting'", (outcome.record_id,)
        return db.execute(query, values).rowcount > 0
    query = "UPDATE records SET state = 'refused', reason = ? WHERE id = ? AND state = 'waiting'"
    return db.execute(query, (outcome.reason, outcome.record_id)).rowcount > 0


def _count(db: sqlite3.Connection, name: str) -> int:
    query = "UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value"
    number: int = db.execute(query, (name,)).fetchone()[0]
    return number
