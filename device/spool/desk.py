"""The spool as a second process uses it, while the agent runs and while it does not.

A desk never makes, mends or changes the layout of a spool: that is the agent's, at its start.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device.spool import rows, schema
from device.spool.errors import SpoolError, may_be_damage
from device.spool.rows import Row

_BATCH = 100


class NoSuchRecordError(SpoolError):
    """No record, or more than one, has an id that begins like this."""


class NotRetriedError(SpoolError):
    """A record cannot wait again; the text says why."""


class Desk:
    """An open spool of which records are looked at, or put back into the queue."""

    def __init__(self, path: Path, *, to_change: bool = False) -> None:
        """Open the spool at ``path``.

        Raises:
            SpoolError: there is none, it may not be read, or it is damaged.
        """
        self.path = path
        with self._told():
            if not path.exists():
                raise SpoolError(f"there is no spool at {path}; it is made when the kiosk first runs")
            self._db = schema.connect_to_change(path) if to_change else schema.connect_to_read(path)
            try:
                self._check_version()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def depth(self) -> dict[str, int]:
        """Return how many records are in each state."""
        with self._told():
            return rows.depth(self._db)

    def boots(self) -> dict[str, float]:
        """Return when each boot that is known was, in seconds since 1970."""
        with self._told():
            return rows.boots(self._db) if schema.version_of(self._db) else {}

    def rows(self, state: str | None = None) -> Iterator[Row]:
        """Go through the records in the order of their visits, all or those in a state.

        They are read a hundred at a time: a reader that stays in the midst of one look keeps the agent's log from
        being emptied.
        """
        last = 0
        query = (
            f"SELECT {rows.COLUMNS} FROM records WHERE place > ? AND state = ifnull(?, state) ORDER BY place LIMIT ?"  # noqa: S608
        )
        while True:
            with self._told():
                found = [rows.row_of(row) for row in self._db.execute(query, (last, state, _BATCH))]
            yield from found
            if len(found) < _BATCH:
                return
            last = found[-1].place

    def find(self, prefix: str) -> Row:
        """Return the record whose id is ``prefix``, or the only one whose id begins like that.

        Raises:
            NoSuchRecordError: there is none, or there are several.
        """
        query = f"SELECT {rows.COLUMNS} FROM records WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 2"  # noqa: S608
        with self._told():
            found = [rows.row_of(row) for row in self._db.execute(query, (len(prefix), prefix))]
        if not found or not prefix:
            raise NoSuchRecordError(f"the spool has no record {prefix!r}; kiosk spool list shows what it has")
        # In the order of the ids the one that is the prefix itself comes first.
        if len(found) > 1 and found[0].id != prefix:
            raise NoSuchRecordError(f"several records begin with {prefix!r}; give more of the id")
        return found[0]

    def retry(self, row: Row) -> None:
        """Let a refused record wait again, behind all others.

        Raises:
            NotRetriedError: it is not refused, or it cannot be read.
        """
        if row.state != "refused":
            raise NotRetriedError(f"record {row.id} is {row.state}, not refused; only a refused one can be tried again")
        try:
            row.record()
        except ValueError as error:
            raise NotRetriedError(f"record {row.id} cannot be read, so it cannot be sent: {error}") from None
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                changed = rows.retry(self._db, row.id)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        if not changed:
            raise NotRetriedError(f"record {row.id} was changed meanwhile; look again")

    def _check_version(self) -> None:
        version = schema.version_of(self._db)
        if version > schema.VERSION:
            raise SpoolError(f"the spool {self.path} was made by a newer program (version {version}); use that one")
        self._db.execute("SELECT count(*) FROM records").fetchone()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if may_be_damage(error):
                raise SpoolError(
                    f"the spool {self.path} is damaged ({error}); the agent saves what can be read when it next starts"
                ) from error
            raise SpoolError(
                f"the spool {self.path} cannot be used: {error}; check the folder and your rights"
            ) from error
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}; check your rights, or use sudo") from error
