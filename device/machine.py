"""The computer that the kiosk runs on, as its kernel tells; what cannot be read is None, for sandboxes hide much."""

import contextlib
import os
import time
from pathlib import Path

import msgspec

_THROTTLED_NOW = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of the firmware's answer; those above say the same of the past."""


class MachineStats(msgspec.Struct, frozen=True, kw_only=True):
    """The computer now, and what this process takes of it."""

    disk_free_bytes: int | None
    """For users other than root."""
    disk_bytes: int | None
    memory_available_bytes: int | None
    memory_bytes: int | None
    load_5min: float | None
    cores: int
    temperature_c: float | None
    """Of the hottest thermal zone."""
    throttled: tuple[str, ...] | None
    """What slows a Raspberry Pi down now; None on other machines."""
    uptime_s: float
    agent_memory_bytes: int | None
    """Resident memory of this process."""
    agent_threads: int | None
    agent_files: int | None
    """Open file descriptors."""


class Machine:
    """Reads below ``root``, and the disk at ``folder``. It never raises."""

    def __init__(self, folder: Path, root: Path = Path("/")) -> None:
        self._folder = folder
        self._root = root

    def stats(self) -> MachineStats:
        """Return the computer as it is now; for any thread."""
        disk = self._disk()
        memory = self._fields("proc/meminfo")
        process = self._fields("proc/self/status")
        return MachineStats(
            disk_free_bytes=disk.f_bavail * disk.f_frsize if disk else None,
            disk_bytes=disk.f_blocks * disk.f_frsize if disk else None,
            memory_available_bytes=_kib(memory.get("MemAvailable")),
            memory_bytes=_kib(memory.get("MemTotal")),
            load_5min=self._load(),
            cores=os.cpu_count() or 1,
            temperature_c=self._temperature(),
            throttled=self._throttled(),
            uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            agent_memory_bytes=_kib(process.get("VmRSS")),
            agent_threads=_whole(process.get("Threads")),
            agent_files=self._files(),
        )

    def _disk(self) -> os.statvfs_result | None:
        try:
            return os.statvfs(self._folder)
        except OSError:
            return None

    def _fields(self, path: str) -> dict[str, str]:
        lines = (self._text(path) or "").splitlines()
        return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}

    def _load(self) -> float | None:
        words = (self._text("proc/loadavg") or "").split()
        with contextlib.suppress(ValueError, IndexError):
            return float(words[1])
        return None

    def _temperature(self) -> float | None:
        found = []
        for path in self._glob("sys/class/thermal", "thermal_zone*/temp"):
            # A zone whose sensor is off fails to read, or tells nonsense below the freezing point of mercury.
            thousandths = _whole(self._text(path))
            if thousandths is not None and thousandths > -40_000:
                found.append(thousandths / 1000)
        return max(found, default=None)

    def _throttled(self) -> tuple[str, ...] | None:
        for path in self._glob("sys/devices/platform", "soc*/*firmware/get_throttled"):
            with contextlib.suppress(ValueError):
                bits = int((self._text(path) or "").strip(), 16)
                return tuple(name for bit, name in _THROTTLED_NOW.items() if bits & 1 << bit)
        for path in self._glob("sys/class/hwmon", "hwmon*/name"):
            if (self._text(path) or "").strip() == "rpi_volt":
                alarm = _whole(self._text(str(Path(path).with_name("in0_lcrit_alarm"))))
                return None if alarm is None else ("under-voltage",) * bool(alarm)
        return None

    def _files(self) -> int | None:
        try:
            # One of them is the look itself.
            return sum(1 for _ in (self._root / "proc/self/fd").iterdir()) - 1
        except OSError:
            return None

    def _glob(self, folder: str, pattern: str) -> list[str]:
        try:
            return sorted(str(path.relative_to(self._root)) for path in (self._root / folder).glob(pattern))
        except OSError:
            return []

    def _text(self, path: str) -> str | None:
        try:
            return (self._root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None


def _kib(value: str | None) -> int | None:
    kib = _whole((value or "").removesuffix(" kB"))
    return None if kib is None else kib * 1024


def _whole(value: str | None) -> int | None:
    try:
        return int((value or "").strip())
    except ValueError:
        return None
