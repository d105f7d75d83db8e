"""Time on a machine without a clock battery: what a moment was, as far as the kiosk knew then and knows now."""

import ctypes
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from device.stats import ClockStats

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_BYTES = 512
"""More than any architecture's ``struct timex``; all zero asks without setting anything."""
_TIME_ERROR = 5
"""What adjtimex(2) returns while the clock is not synchronised."""

JUMP_S = 1.0
_LAST_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """One moment: seconds since boot, and the wall clock's opinion of it."""

    boot_id: str
    since_boot_s: float
    wall_s: float
    """Seconds since 1970 in UTC by the wall clock of that moment, right or wrong."""
    synchronised: bool


class Clock(Protocol):
    """What the kiosk asks of a clock."""

    def now(self) -> Stamp:
        """Return the present moment."""
        ...


class SystemClock:
    """The clock of this machine."""

    def __init__(self) -> None:
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex

    def now(self) -> Stamp:
        """Return the present moment."""
        state = self._adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return Stamp(
            boot_id=self._boot_id,
            since_boot_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            wall_s=time.time(),
            synchronised=0 <= state < _TIME_ERROR,
        )


class ClockWatch:
    """A clock that counts the jumps of the clock behind it. Safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wall_at_boot_s: float | None = None
        self._jumps = 0
        self._last_jump_s: float | None = None

    def now(self) -> Stamp:
        """Return the present moment."""
        with self._lock:
            stamp = self._clock.now()
            before_s, self._wall_at_boot_s = self._wall_at_boot_s, stamp.wall_s - stamp.since_boot_s
            if before_s is not None and abs(self._wall_at_boot_s - before_s) > JUMP_S:
                self._jumps += 1
                self._last_jump_s = self._wall_at_boot_s - before_s
            return stamp

    def stats(self) -> ClockStats:
        """Look at the clock and tell how it is."""
        stamp = self.now()
        return ClockStats(
            synchronised=stamp.synchronised,
            wall_s=stamp.wall_s,
            since_boot_s=stamp.since_boot_s,
            jumps=self._jumps,
            last_jump_s=self._last_jump_s,
        )


def resolve(stamp: Stamp, now: Stamp) -> tuple[datetime, bool]:
    """Return the best known UTC time of ``stamp``, and whether a synchronised clock stands behind it.

    A stamp made before the clock was set gets its time from the clock of the same boot once that is synchronised.
    """
    if not stamp.synchronised and now.synchronised and now.boot_id == stamp.boot_id:
        wall_s = now.wall_s - (now.since_boot_s - stamp.since_boot_s)
        return _utc(wall_s), True
    return _utc(stamp.wall_s), stamp.synchronised


def _utc(wall_s: float) -> datetime:
    """Return a time even for a clock that is wrong beyond what a calendar holds."""
    return datetime.fromtimestamp(min(max(wall_s, 0.0), _LAST_S), UTC)
