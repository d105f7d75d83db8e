"""A clock that a test sets."""

from dataclasses import dataclass

from device.clock import Stamp

TODAY_S = 1_795_600_000.0
"""In November 2026."""


@dataclass(slots=True)
class SetClock:
    """Shows what it is told to; `pass_time` moves both of its clocks."""

    boot_id: str = "boot"
    since_boot_s: float = 100.0
    wall_s: float = TODAY_S
    synchronised: bool = True

    def now(self) -> Stamp:
        return Stamp(
            boot_id=self.boot_id,
            since_boot_s=self.since_boot_s,
            wall_s=self.wall_s,
            synchronised=self.synchronised,
        )

    def pass_time(self, seconds: float) -> None:
        self.since_boot_s += seconds
        self.wall_s += seconds

    def is_set(self, wall_s: float) -> None:
        """Let a time server answer."""
        self.wall_s, self.synchronised = wall_s, True

    def reboot(self, boot_id: str) -> None:
        """Begin anew, without the time."""
        self.boot_id, self.since_boot_s, self.wall_s, self.synchronised = boot_id, 20.0, 20.0, False
