"""What is known of the wall clock of each boot, and for how long a record waits for its right time."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from device.clock import Clock, Stamp, resolve
from device.spool import SpoolError

log = logging.getLogger(__name__)

PATIENCE_S = 600.0
"""How long the kiosk is online before it sends records of a boot whose clock is not set. Clients of NTP need seconds
from the moment at which there is a network."""
DRIFT_S = 1.0
"""A boot's wall clock is noted anew when it has moved by more."""
LOOK_S = 2.0
"""How often the clock is looked at while somebody waits for it to be set."""
SELDOM_S = 30.0
"""How often otherwise."""


class BootNotes(Protocol):
    """Where the wall clock at each boot is kept."""

    def boots(self) -> Mapping[str, float]:
        """Return what is known, by boot id: seconds since 1970."""
        ...

    def note_boot(self, boot_id: str, wall_at_boot_s: float) -> None:
        """Keep what is now known of a boot."""
        ...


class Timekeeper:
    """Looks at the clock from time to time; belongs to one thread."""

    def __init__(self, clock: Clock, notes: BootNotes, *, patience_s: float = PATIENCE_S) -> None:
        self._clock = clock
        self._notes = notes
        self._patience_s = patience_s
        self._boots: dict[str, float] | None = None
        self._noted_s: float | None = None
        self._online_s = 0.0
        self._online_at_s: float | None = None
        self._gave_up = False
        self.now = clock.now()
        """The moment of the last look."""

    @property
    def is_set(self) -> bool:
        """Whether the right time of this boot is known."""
        return self.now.synchronised or self.now.boot_id in (self._boots or {})

    @property
    def next_look_s(self) -> float:
        """After how many seconds to look again."""
        return SELDOM_S if self.is_set or self._gave_up else LOOK_S

    def look(self, *, online: bool) -> None:
        """Look at the clock, and note the boot's wall time once it is set; ``online`` since the last look."""
        self.now = self._clock.now()
        self._count_patience(online=online)
        try:
            if self._boots is None:
                self._boots = dict(self._notes.boots())
                self._noted_s = self._boots.get(self.now.boot_id)
            if self.now.synchronised:
                self._note()
        except SpoolError as error:
            log.debug("The boot's time cannot be noted yet: %s", error)

    def is_worth_waiting_for(self, pressed: Stamp) -> bool:
        """Tell whether the right time of ``pressed`` may come to be known soon."""
        return not (pressed.synchronised or pressed.boot_id != self.now.boot_id or self.is_set or self._gave_up)

    def time_of(self, pressed: Stamp) -> tuple[datetime, bool]:
        """Return the best known time of ``pressed``, and whether a synchronised clock stands behind it."""
        return resolve(pressed, self.now, self._boots or {})

    def _note(self) -> None:
        at_boot_s = self.now.wall_at_boot_s
        assert self._boots is not None, "read by `look`"
        self._boots[self.now.boot_id] = at_boot_s
        if self._noted_s is None or abs(at_boot_s - self._noted_s) > DRIFT_S:
            self._notes.note_boot(self.now.boot_id, at_boot_s)
            if self._noted_s is None:
                log.info("The clock is set")
            self._noted_s = at_boot_s

    def _count_patience(self, *, online: bool) -> None:
        if online and self._online_at_s is not None:
            self._online_s += self.now.since_boot_s - self._online_at_s
        self._online_at_s = self.now.since_boot_s if online else None
        if self._online_s >= self._patience_s and not (self._gave_up or self.is_set):
            self._gave_up = True
            if not self._patience_s:
                return
            log.warning(
                "The clock is not set after %.0f s online; feedback leaves with the time that it shows. "
                "Let the kiosk reach a time server (NTP), see `timedatectl timesync-status`",
                self._patience_s,
            )
