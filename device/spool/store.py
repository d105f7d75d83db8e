"""The spool of the running agent: every feedback from its commit until the gateway's receipt.

SQLite with a write-ahead log and ``synchronous=FULL``. A row is deleted only when the gateway says that it has stored
the feedback, or when its visitor takes it back. A database that turns out to be damaged is replaced, at the start as
well as in the midst of work, by a new one with all that can be read of it.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from device.record import Record
from device.spool import marks, opening, rows, schema
from device.spool.ballast import Ballast
from device.spool.errors import SpoolError, is_damage, is_full, is_of_the_disk, may_be_damage
from device.spool.gauge import Gauge
from device.spool.marks import Marks
from device.spool.room import RESERVE_BYTES, SLACK_BYTES
from device.spool.rows import Entry, Outcome
from device.stats import SpoolStats

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_CURES = 2
"""So often one thing is tried again after something was done about its failure."""


class Spool:
    """The kiosk's outbox. Safe to use from several threads."""

    def __init__(
        self,
        path: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        reserve_bytes: int = RESERVE_BYTES,
        slack_bytes: int = SLACK_BYTES,
        ballast_bytes: int | None = None,
    ) -> None:
        """Open the spool at ``path``, or make it; save what a damaged one still holds.

        Args:
            path: the database; the folder is made if it is missing.
            monotonic: the clock by which failed writes are tried again, in seconds.
            reserve_bytes: with less room than this on the disk the spool says that it is full.
            slack_bytes: so much more must be free before it says that it is not.
            ballast_bytes: room that is held for a full disk.

        Raises:
            SpoolError: the file cannot be opened, for want of rights or of a disk that works.
        """
        self.path = path
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._ballast = Ballast(path) if ballast_bytes is None else Ballast(path, ballast_bytes)
        self._gauge = Gauge(path, self._ballast, monotonic, reserve_bytes=reserve_bytes, slack_bytes=slack_bytes)
        self._has_begun = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolError(f"the spool {path} cannot be opened: {error}; check the folder and its rights") from None
        self._marks = marks.read(marks.path_of(path)) or Marks()
        # A command that only reads makes an empty log where there is none.
        self._lost_log = self._marks.in_use and path.exists() and not opening.has_log(path)
        self._db = self._opened()
        self._gauge.count(self._db)
        self._gauge.measure()
        self._gauge.tend()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()
            if self._has_begun:
                self._has_begun = False
                self._mark(in_use=False)

    # ------------------------------------------------------------ the way of a record

    def begin(self) -> int:
        """Say that the agent has started; return how often it has.

        What a crash left held is released: its visitor was thanked, and is not there any more to take it back.
        """

        def change(db: sqlite3.Connection) -> int:
            starts = max(rows.counter(db, "starts"), self._marks.starts) + 1
            rows.set_counter(db, "starts", starts)
            if self._lost_log:
                rows.set_counter(db, "sequence", max(rows.counter(db, "sequence"), self._marks.sequence))
            held = rows.held(db)
            self._reserve(db, len(held))
            for record_id in held:
                rows.release(db, record_id)
            self._mark(starts=starts, in_use=True)
            return starts

        if self._lost_log:
            log.warning("The write-ahead log of the spool %s is gone, and with it what was kept last", self.path)
        number = self._change(change, in_need=True)
        self._has_begun = True
        self._lost_log = False
        return number

    def add(self, record: Record) -> None:
        """Commit ``record``, held back. On return it survives a power cut.

        Raises:
            SpoolError: it could not be made durable, for example because the disk is full.
        """
        self._change(lambda db: rows.add(db, record))

    def release(self, record_id: str) -> None:
        """Let a held record go to the gateway."""

        def change(db: sqlite3.Connection) -> None:
            self._reserve(db, 1)
            rows.release(db, record_id)

        self._change(change, in_need=True)

    def take_back(self, record_id: str) -> None:
        """Delete a record that has not left the kiosk."""
        self._change(lambda db: rows.take_back(db, record_id), in_need=True)

    def waiting(self, limit: int, after_sequence: int = 0) -> list[Entry]:
        """Return at most ``limit`` records for the gateway, in order, of those after ``after_sequence``."""
        return self._entries("state = 'waiting' AND sequence > ? ORDER BY sequence LIMIT ?", after_sequence, limit)

    def entries(self, limit: int = 1_000) -> list[Entry]:
        """Return at most ``limit`` records in any state, in the order of their visits."""
        return self._entries("1 ORDER BY place LIMIT ?", limit)

    def freeze_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Keep the bytes that are sent for records, all in one commit; bytes that are there already stay.

        A repetition with other bytes would be a conflict at the gateway, so they are durable before they are sent.
        """
        if messages:
            self._change(lambda db: rows.freeze(db, messages), in_need=True)

    def settle(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Delete what the gateway has stored and shelve what it refused, all in one commit.

        Returns:
            the outcomes whose records were there; the others are repetitions, late or wrong.
        """
        if not outcomes:
            return []
        known = self._change(lambda db: rows.settle(db, outcomes), in_need=True)
        self._give_back()
        self._gauge.measure()
        self._gauge.tend()
        return known

    # ------------------------------------------------------------ boots

    def note_boot(self, boot_id: str, wall_at_boot_s: float) -> None:
        """Keep when a boot was, in seconds since 1970; forget, when it is new, those that no record is of."""
        self._change(lambda db: rows.note_boot(db, boot_id, wall_at_boot_s), in_need=True)

    def boots(self) -> Mapping[str, float]:
        """Return when each boot that is known was, in seconds since 1970."""
        return self._look(rows.boots)

    # ------------------------------------------------------------ how it is

    def depth(self) -> dict[str, int]:
        """Return how many records are in each state."""
        return self._look(rows.depth)

    def refusal(self) -> str | None:
        """Return None if a record could be kept now, else one sentence why not.

        Cheap, and to be asked about once a second: it also tries a failed write again, at bounded rate, and sets room
        apart when there is some.
        """
        self._gauge.measure()
        if self._gauge.is_probe_due():
            self._probe()
        self._gauge.tend()
        return self._gauge.problem

    def stats(self) -> SpoolStats:
        """Return how the spool and its disk are. Waits for no write: then the counts are those of the last time."""
        if self._lock.acquire(blocking=False):
            try:
                self._gauge.count(self._db)
            finally:
                self._lock.release()
        self._gauge.measure()
        return self._gauge.stats()

    # ------------------------------------------------------------ within

    def _entries(self, where: str, *values: int) -> list[Entry]:
        query = f"SELECT {rows.COLUMNS} FROM records WHERE {where}"  # noqa: S608
        found = self._look(lambda db: [rows.row_of(row) for row in db.execute(query, values)])
        entries = []
        shelved = False
        for row in found:
            try:
                record = row.record()
            except ValueError as error:
                # One damaged row must not stand in the way of all behind it.
                if self.settle([Outcome(row.id, stored=False, reason=f"it cannot be read: {error}")]):
                    log.error("Record %s of the spool cannot be read and goes to the shelf: %s", row.id, error)  # noqa: TRY400
                    shelved = True
                continue
            entries.append(Entry(row.sequence, row.id, row.state, record, row.message, row.reason))
        # As many damaged rows as were asked for are not the end of the spool.
        return entries if entries or not shelved else self._entries(where, *values)

    def _look(self, look: Callable[[sqlite3.Connection], _T]) -> _T:
        self._revive()
        with self._lock, self._told():
            return self._done(look, in_need=False)

    def _change(self, change: Callable[[sqlite3.Connection], _T], *, in_need: bool = False) -> _T:
        """Commit a change durably. What is done `in_need` may use the room that is held for a full disk."""
        self._revive()
        with self._lock, self._told():
            result = self._done(lambda db: self._gauge.timed(lambda: _commit(db, change)), in_need=in_need)
        self._gauge.wrote()
        return result

    def _done(self, do: Callable[[sqlite3.Connection], _T], *, in_need: bool) -> _T:
        """Do something with the database, again if its failure had a cause that could be taken away."""
        for cures in range(_CURES):
            try:
                return do(self._db)
            except sqlite3.Error as error:
                if not self._cured(error, in_need=in_need, is_second=cures > 0):
                    raise
        return do(self._db)

    def _cured(self, error: sqlite3.Error, *, in_need: bool, is_second: bool) -> bool:
        if is_full(error) and in_need:
            return self._ballast.drop()
        if not may_be_damage(error):
            return False
        self._db.close()
        # A database that seems whole and fails again is not.
        self._db = self._opened(certain=str(error) if is_second and is_damage(error) else None)
        return True

    def _opened(self, certain: str | None = None) -> sqlite3.Connection:
        """Open the database, in need with the room that is held for it; it may be a new one."""
        try:
            return opening.open_whole(self.path, self._marks, certain)
        except SpoolError as error:
            if not (error.__cause__ is not None and is_full(error.__cause__) and self._ballast.drop()):
                raise
        return opening.open_whole(self.path, self._marks, certain)

    def _revive(self) -> None:
        """Open a database again that could not be opened when it had to be replaced."""
        if self._gauge.is_probe_due() and not _is_open(self._db):
            self._probe()

    def _probe(self) -> None:
        """Find out whether a write works again."""
        try:
            with self._lock:
                if not _is_open(self._db):
                    self._db = self._opened()
                _commit(self._db, lambda db: rows.count(db, "probe"))
        except (sqlite3.Error, SpoolError) as error:
            log.debug("The spool is still out of order: %s", error)
            self._gauge.failed(str(error))
        else:
            self._gauge.wrote()

    def _give_back(self) -> None:
        """Give room back to the disk; what hinders it hinders nothing else."""
        with self._lock:
            try:
                schema.give_back(self._db)
            except sqlite3.Error as error:
                log.debug("The spool keeps its room for now: %s", error)

    def _reserve(self, db: sqlite3.Connection, numbers: int) -> None:
        """See to it that the marks are ahead of the next sequence numbers."""
        last = rows.counter(db, "sequence") + numbers
        if last > self._marks.sequence:
            self._mark(sequence=last + marks.BLOCK)

    def _mark(self, **changes: int) -> None:
        new = msgspec.structs.replace(self._marks, **changes)
        if marks.write(marks.path_of(self.path), new):
            self._marks = new

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what SQLite says into one sentence, and note what it means for the next record."""
        try:
            yield
        except sqlite3.Error as error:
            if is_of_the_disk(error):
                self._gauge.failed(str(error))
            raise SpoolError(f"the spool {self.path} failed: {error}") from error
        except SpoolError as error:
            self._gauge.failed(str(error))
            raise


def _commit(db: sqlite3.Connection, change: Callable[[sqlite3.Connection], _T]) -> _T:
    """Several changes as one: all of them or none."""
    db.execute("BEGIN IMMEDIATE")
    try:
        result = change(db)
        db.execute("COMMIT")
    except BaseException:
        # A commit that failed may have ended the transaction itself.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


def _is_open(db: sqlite3.Connection) -> bool:
    try:
        db.cursor().close()
    except sqlite3.ProgrammingError:
        return False
    return True
