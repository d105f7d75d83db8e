"""Whether the spool takes another record: there is room on the disk, and the last write worked."""

import logging
import threading
from dataclasses import dataclass, replace

from device.stats import Room

log = logging.getLogger(__name__)

RESERVE_BYTES = 16 * 1024 * 1024
"""Kept free for what is there already: its receipts, the log, and a new database beside a damaged one."""
SLACK_BYTES = 8 * 1024 * 1024
"""So much more must be free before a spool that was full takes records again."""
PROBE_S = 5.0
"""A failed write is tried again after so long, at the earliest."""

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class RoomState:
    """What is known of the room. Pure: each event gives the next state."""

    reserve_bytes: int = RESERVE_BYTES
    slack_bytes: int = SLACK_BYTES
    short_by: str | None = None
    """Why there is too little room on the disk."""
    failure: str | None = None
    """Why the last write failed."""
    probe_at_s: float = 0.0

    def measured(self, free_bytes: int) -> "RoomState":
        """The disk has so much room for the agent's user."""
        needed = self.reserve_bytes + (self.slack_bytes if self.short_by else 0)
        if free_bytes >= needed:
            return replace(self, short_by=None)
        short = (
            f"the disk has {free_bytes / _MB:.1f} MB left, and {needed / _MB:.1f} MB must be free for a new record;"
            " make room on it"
        )
        return replace(self, short_by=short)

    def failed(self, why: str, now_s: float) -> "RoomState":
        """A write, or a probe, failed."""
        return replace(self, failure=why, probe_at_s=now_s + PROBE_S)

    def succeeded(self) -> "RoomState":
        """A write succeeded."""
        return self if self.failure is None else replace(self, failure=None)

    def is_probe_due(self, now_s: float) -> bool:
        """Tell whether a failed write is to be tried again now."""
        return self.failure is not None and now_s >= self.probe_at_s

    @property
    def room(self) -> Room:
        """In one word."""
        if self.short_by is not None:
            return Room.FULL
        return Room.OPEN if self.failure is None else Room.BROKEN

    @property
    def problem(self) -> str | None:
        """In one sentence; None while there is room."""
        if self.short_by is not None or self.failure is None:
            return self.short_by
        return f"the last write to the spool failed and is tried again every {PROBE_S:.0f} s: {self.failure}"


class RoomKeeper:
    """The room as several threads see it; tells the log when a shortage begins and when it is over."""

    def __init__(self, reserve_bytes: int, slack_bytes: int) -> None:
        self._lock = threading.Lock()
        self._state = RoomState(reserve_bytes, slack_bytes)

    @property
    def state(self) -> RoomState:
        """What is known now."""
        return self._state

    def measured(self, free_bytes: int) -> None:
        """See `RoomState.measured`."""
        with self._lock:
            self._become(self._state.measured(free_bytes))

    def failed(self, why: str, now_s: float) -> None:
        """See `RoomState.failed`."""
        with self._lock:
            self._become(self._state.failed(why, now_s))

    def succeeded(self) -> None:
        """See `RoomState.succeeded`."""
        with self._lock:
            self._become(self._state.succeeded())

    def _become(self, state: RoomState) -> None:
        before, self._state = self._state, state
        if before.problem is None and state.problem is not None:
            log.warning("The spool takes no new record: %s", state.problem)
        elif before.problem is not None and state.problem is None:
            log.info("The spool takes records again")
