"""The spool: every feedback from its commit until the gateway's receipt, safe against a power cut.

SQLite with a write-ahead log and ``synchronous=FULL``: with ``NORMAL`` a power cut loses rows that were already
acknowledged. A row is deleted only when the gateway says that it has stored the feedback, or when its visitor takes it
back.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from device.record import Record
from device.stats import Room, SpoolStats

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


class Spool:
    """The kiosk's outbox. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the spool at ``path``, or make it.

        Raises:
            SpoolError: the file cannot be opened, or is no database.
        """
        self.path = path
        self._lock = threading.Lock()
        self._commits = 0
        self._last_commit_ms: float | None = None
        self._slowest_commit_ms: float | None = None
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
        began_s = time.monotonic()
        with self._using() as db:
            db.execute(
                "INSERT INTO records (id, state, record) VALUES (?, 'held', ?)",
                (record.id, msgspec.json.encode(record)),
            )
        self._commits += 1
        self._last_commit_ms = (time.monotonic() - began_s) * 1000
        self._slowest_commit_ms = max(self._last_commit_ms, self._slowest_commit_ms or 0.0)

    def release(self, record_id: str) -> None:
        """Let a held record go to the gateway."""
        with self._changing() as db:
            if db.execute("SELECT 1 FROM records WHERE id = ? AND state = 'held'", (record_id,)).fetchone():
                _release(db, record_id)

    def take_back(self, record_id: str) -> None:
        """Delete a record that has not left the kiosk."""
        with self._using() as db:
            db.execute("DELETE FROM records WHERE id = ? AND state = 'held'", (record_id,))

    def waiting(self, limit: int) -> list[Entry]:
        """Return at most ``limit`` records for the gateway, in order."""
        return self._entries("state = 'waiting' ORDER BY sequence LIMIT ?", limit)

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

    def stats(self) -> SpoolStats:
        """Return how the spool and its disk are; any thread."""
        depth: dict[str, int] = {}
        oldest: str | None = None
        problem: str | None = None
        try:
            depth = self.depth()
            with self._using() as db:
                row = db.execute("SELECT id FROM records WHERE state = 'waiting' ORDER BY sequence LIMIT 1").fetchone()
                oldest = row[0] if row else None
        except SpoolError as error:
            problem = str(error)
        disk = os.statvfs(self.path.parent)
        return SpoolStats(
            room=Room.OPEN if problem is None else Room.BROKEN,
            problem=problem,
            held=depth.get("held", 0),
            waiting=depth.get("waiting", 0),
            refused=depth.get("refused", 0),
            oldest_waiting=oldest,
            size_bytes=sum(path.stat().st_size for path in self.path.parent.glob(f"{self.path.name}*")),
            free_bytes=disk.f_bavail * disk.f_frsize,
            commits=self._commits,
            last_commit_ms=self._last_commit_ms,
            slowest_commit_ms=self._slowest_commit_ms,
            failures=0,
            salvages=0,
            lost_in_salvage=0,
        )

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


def _count(db: sqlite3.Connection, name: str) -> int:
    query = "UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value"
    number: int = db.execute(query, (name,)).fetchone()[0]
    return number
