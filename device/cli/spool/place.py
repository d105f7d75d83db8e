"""What the commands of `kiosk spool` have in common: which spool, and how a record reads."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from device.cli import configuration
from device.clock import Stamp, SystemClock, resolve
from device.kiosk import SPOOL_NAME
from device.spool.desk import Desk
from device.spool.rows import STATES, Row

Run = Callable[[argparse.Namespace], int]
Fields = dict[str, str | int | float | bool | None]

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def desk(arguments: argparse.Namespace, *, to_change: bool = False) -> Desk:
    """Open the spool of the kiosk that the settings are of.

    Raises:
        contract.settings_file.SettingsError, device.spool.SpoolError: that cannot be done.
    """
    return Desk(Path(configuration.load(arguments).state_dir) / SPOOL_NAME, to_change=to_change)


def add_state_option(parser: argparse.ArgumentParser) -> None:
    """Let a command be about the records in one state."""
    parser.add_argument("--state", choices=STATES, help="only the records in this state")


def piped(run: Run) -> Run:
    """Let a command end quietly when nobody reads on what it prints, as `head` does."""

    def wrapped(arguments: argparse.Namespace) -> int:
        try:
            status = run(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python would complain about the rest on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return status

    return wrapped


@dataclass(frozen=True, slots=True)
class Times:
    """When the visits were, by all that is known of the boots in which they were."""

    now: Stamp
    boots: Mapping[str, float]

    @classmethod
    def of(cls, desk: Desk) -> "Times":
        """Take the present moment and the boots that the spool knows."""
        return cls(SystemClock().now(), desk.boots())

    def fields(self, pressed: Stamp) -> Fields:
        """Return the time of a visit, its age in seconds if that can be known, and whether a set clock is behind it."""
        at, is_sure = resolve(pressed, self.now, self.boots)
        age_s: float | None = self.now.wall_s - at.timestamp() if is_sure and self.now.synchronised else None
        if pressed.boot_id == self.now.boot_id:
            age_s = self.now.since_boot_s - pressed.since_boot_s
        return {
            "pressed_at": at.isoformat(timespec="seconds"),
            "clock": "synchronised" if is_sure else "unsynchronised",
            "age_s": None if age_s is None else round(max(age_s, 0.0), 1),
        }


def summary(row: Row, times: Times) -> Fields:
    """Return what a list says of a record: no word of its visitor."""
    fields: Fields = {"sequence": row.sequence, "id": row.id, "state": row.state}
    try:
        fields |= times.fields(row.record().pressed)
    except ValueError as error:
        fields |= {"pressed_at": None, "clock": None, "age_s": None, "unreadable": str(error)}
    return {**fields, "reason": row.reason}


def age(seconds: object) -> str:
    """An age for people: `42 s`, `12 min`, `3 h`, `5 days`; a question mark where the clock was not set."""
    if not isinstance(seconds, int | float):
        return "?"
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds // _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S:.0f} h"
    return f"{seconds // _DAY_S:.0f} days"


def counts(depth: Mapping[str, int]) -> str:
    """How many records are in each state, as a sentence."""
    total = sum(depth.values())
    parts = ", ".join(f"{depth[state]} {state}" for state in STATES if depth.get(state))
    return f"{total} record{'' if total == 1 else 's'}" + (f": {parts}" if parts else "")
