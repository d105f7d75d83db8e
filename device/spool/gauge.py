"""What the spool tells of itself: its room, its records, and how long its commits take."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from device.spool import rows
from device.spool.ballast import Ballast
from device.spool.room import RoomKeeper
from device.stats import SpoolStats

_T = TypeVar("_T")


class Gauge:
    """Figures of one spool. Each is replaced as a whole, so that any thread may read them."""

    def __init__(
        self, spool: Path, ballast: Ballast, monotonic: Callable[[], float], *, reserve_bytes: int, slack_bytes: int
    ) -> None:
        self._spool = spool
        self._ballast = ballast
        self._monotonic = monotonic
        self._room = RoomKeeper(reserve_bytes, slack_bytes)
        self._free_bytes = 0
        self._depth: dict[str, int] = {}
        self._oldest: str | None = None
        self._counters = (0, 0)
        self._commits = 0
        self._failures = 0
        self._last_ms: float | None = None
        self._slowest_ms: float | None = None

    @property
    def problem(self) -> str | None:
        """Why no record is taken; None if one is."""
        return self._room.state.problem

    def measure(self) -> None:
        """Look how much room the disk has for this user."""
        try:
            found = os.statvfs(self._spool.parent)
        except OSError as error:
            self.failed(f"the disk does not say how much room it has: {error.strerror}")
            return
        self._free_bytes = found.f_bavail * found.f_frsize
        self._room.measured(self._free_bytes)

    def tend(self) -> None:
        """Set the room for a full disk apart, if the disk has more than enough."""
        if (
            self._room.state.problem is None
            and self._free_bytes > self._room.state.reserve_bytes + self._ballast.size_bytes
        ):
            self._ballast.take()

    def timed(self, commit: Callable[[], _T]) -> _T:
        """Do a commit and note how long it took."""
        began_s = time.perf_counter()
        result = commit()
        took_ms = (time.perf_counter() - began_s) * 1000
        self._commits += 1
        self._last_ms = took_ms
        self._slowest_ms = took_ms if self._slowest_ms is None else max(self._slowest_ms, took_ms)
        return result

    def wrote(self) -> None:
        """A write reached the disk."""
        self._room.succeeded()

    def failed(self, why: str) -> None:
        """A write did not."""
        self._failures += 1
        self._room.failed(why, self._monotonic())

    def is_probe_due(self) -> bool:
        """Tell whether a failed write is to be tried again."""
        return self._room.state.is_probe_due(self._monotonic())

    def count(self, db: sqlite3.Connection) -> None:
        """Count the records; a database that cannot be read leaves the counts as they are."""
        try:
            self._depth = rows.depth(db)
            self._oldest = rows.oldest_waiting(db)
            self._counters = (rows.counter(db, "salvages"), rows.counter(db, "lost_in_salvage"))
        except sqlite3.Error:
            return

    def stats(self) -> SpoolStats:
        """Return all figures."""
        room = self._room.state
        return SpoolStats(
            room=room.room,
            problem=room.problem,
            held=self._depth.get("held", 0),
            waiting=self._depth.get("waiting", 0),
            refused=self._depth.get("refused", 0),
            oldest_waiting=self._oldest,
            size_bytes=_size(self._spool) + _size(self._spool.with_name(f"{self._spool.name}-wal")),
            free_bytes=self._free_bytes,
            commits=self._commits,
            last_commit_ms=self._last_ms,
            slowest_commit_ms=self._slowest_ms,
            failures=self._failures,
            salvages=self._counters[0],
            lost_in_salvage=self._counters[1],
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
