"""Time on a machine without a clock battery: what a moment was, as far as the kiosk knew then and knows now."""

import ctypes
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from device.stats import ClockStats

TIME_FLOOR_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""No release of this program is older, so a wall clock that shows less is wrong, whoever vouches for it."""
JUMP_S = 1.0
"""A wall clock that moved by more between two looks has jumped: the kernel slews by less than 2 s in an hour."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMESYNCD_HAS_SET = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd makes this file when it first sets the clock of a boot."""
_UNSYNCHRONISED_US = 16_000_000
"""The kernel lets the largest possible error grow from the last setting of the clock, and stops here."""
_READING_MAX_S = 0.01
_READINGS = 5

_LIBC = ctypes.CDLL(None, use_errno=True)
_LAST_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """One moment: seconds since boot, and the wall clock's opinion of it."""

    boot_id: str
    since_boot_s: float
    """Goes on while the machine is suspended, as the wall clock does."""
    wall_s: float
    """Seconds since 1970 in UTC by the wall clock of that moment, right or wrong."""
    synchronised: bool

    @property
    def wall_at_boot_s(self) -> float:
        """What the wall clock of this moment takes for the time of the boot."""
        return self.wall_s - self.since_boot_s


class Clock(Protocol):
    """What the kiosk asks of a clock."""

    def now(self) -> Stamp:
        """Return the present moment."""
        ...


class _Timex(ctypes.Structure):
    """The beginning of ``struct timex``, and more room than any architecture's has; all zero asks without setting."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_ubyte * 480),
    )


def kernel_error_us() -> int | None:
    """Return by how much the wall clock may be wrong, in microseconds; None if a sandbox forbids to ask."""
    timex = _Timex()
    if _LIBC.adjtimex(ctypes.byref(timex)) < 0:
        return None
    error_us: int = timex.maxerror
    return error_us


class SystemClock:
    """The clock of this machine.

    Whether it is synchronised is decided as `timedatectl` does, by the kernel's largest possible error. The flag
    ``STA_UNSYNC`` does not serve: chrony leaves it set unless it also keeps a hardware clock.
    """

    def __init__(
        self,
        *,
        error_us: Callable[[], int | None] = kernel_error_us,
        timesyncd_has_set: Path = _TIMESYNCD_HAS_SET,
        since_boot: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        self._error_us = error_us
        self._timesyncd_has_set = timesyncd_has_set
        self._since_boot = since_boot
        self._wall = wall

    def now(self) -> Stamp:
        """Return the present moment."""
        since_boot_s, wall_s = self._both()
        return Stamp(
            boot_id=self._boot_id,
            since_boot_s=since_boot_s,
            wall_s=wall_s,
            synchronised=wall_s >= TIME_FLOOR_S and self._is_vouched_for(),
        )

    def _both(self) -> tuple[float, float]:
        """Return both clocks of one moment, even if the process is halted between the two readings."""
        for _ in range(_READINGS):
            before_s = self._since_boot()
            wall_s = self._wall()
            if self._since_boot() - before_s <= _READING_MAX_S:
                break
        return before_s, wall_s

    def _is_vouched_for(self) -> bool:
        error_us = self._error_us()
        if error_us is None:
            return self._timesyncd_has_set.exists()
        return error_us < _UNSYNCHRONISED_US


class ClockWatch:
    """A clock that counts the jumps of the clock behind it. Safe from any thread.

    A suspended machine is no jump, for both of its clocks go on. A jump is noticed at the next look.
    """

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
            before_s, self._wall_at_boot_s = self._wall_at_boot_s, stamp.wall_at_boot_s
            if before_s is not None and abs(stamp.wall_at_boot_s - before_s) > JUMP_S:
                self._jumps += 1
                self._last_jump_s = stamp.wall_at_boot_s - before_s
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


def resolve(stamp: Stamp, now: Stamp, boots: Mapping[str, float]) -> tuple[datetime, bool]:
    """Return the best known UTC time of ``stamp``, and whether a synchronised clock stands behind it.

    A stamp made before the clock was set gets its time from the clock of the same boot once that is synchronised:
    from the present one, or from what was noted of an earlier one (``boots``: the wall clock at each boot).
    """
    if stamp.synchronised:
        return utc(stamp.wall_s), True
    wall_at_boot_s = boots.get(stamp.boot_id)
    if now.synchronised and now.boot_id == stamp.boot_id:
        wall_at_boot_s = now.wall_at_boot_s
    if wall_at_boot_s is None:
        return utc(stamp.wall_s), False
    return utc(wall_at_boot_s + stamp.since_boot_s), True


def utc(wall_s: float) -> datetime:
    """Return a time, in seconds since 1970, even of a clock that is wrong beyond what a calendar holds."""
    return datetime.fromtimestamp(min(max(wall_s, 0.0), _LAST_S), UTC)
