"""What each part of the agent tells of itself: a typed status and counters that only grow while the agent runs."""

from enum import StrEnum

import msgspec


class AgentStats(msgspec.Struct, frozen=True, kw_only=True):
    """The visit and its machine."""

    phase: str
    """``idle``, ``recording``, ``finishing``, ``thanks``, ``notice``, ``closed`` or ``out_of_service``."""
    scene: str
    """What the visitor is shown, as `firmware_bridge.Scene` names it, in lower case."""
    language: str
    """In which the next visitor is understood."""
    stuck_buttons: tuple[str, ...]
    """Names of the buttons that have been down for longer than anybody holds them."""
    last_thanks_s: float | None
    """Seconds since the last thanks; None before the first."""
    visits: int
    """Recordings that were begun."""
    thanked: int
    taken_back: int
    """Discarded by their visitors, while they spoke or after the thanks."""
    nothing_heard: int
    failed: int
    """Visits that ended with the *sorry* scene."""
    turned_away: int
    """Presses that began no visit: outside opening hours, too soon after a visit, no room, or out of service."""
    defects: int
    """Events whose handling raised an exception."""


class Room(StrEnum):
    """Whether the spool takes another record."""

    OPEN = "open"
    FULL = "full"
    """There is less room on the disk than is kept free."""
    BROKEN = "broken"
    """The last write failed; it is tried again."""


class SpoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """The spool and its disk."""

    room: Room
    problem: str | None
    """Why there is no room, as a sentence; None while there is."""
    held: int
    waiting: int
    refused: int
    """Records on the shelf."""
    oldest_waiting: str | None
    """The id of the first record that waits."""
    size_bytes: int
    """Of the database with its write-ahead log."""
    free_bytes: int
    """On the disk, for the agent's user."""
    commits: int
    last_commit_ms: float | None
    slowest_commit_ms: float | None
    failures: int
    """Writes that failed."""
    salvages: int
    """Times at which a damaged database was set aside and its records were saved."""
    lost_in_salvage: int
    """Records that could not be saved then."""


class UplinkStats(msgspec.Struct, frozen=True, kw_only=True):
    """The connection to the gateway's broker."""

    online: bool
    reason: str | None
    """Why it is offline; None while it is online."""
    state_for_s: float
    """How long it has been online, or offline."""
    session: int
    connections: int
    """Times at which the broker was reached."""
    in_flight: int
    """Records that were sent and have no receipt yet."""
    sent: int
    """Feedback messages handed to the broker, repetitions included."""
    stored: int
    refused: int
    stray_receipts: int
    """Receipts for what the spool does not have: repeated, late or wrong ones."""
    last_receipt_s: float | None
    """Seconds since the last receipt; None before the first."""


class ClockStats(msgspec.Struct, frozen=True, kw_only=True):
    """The wall clock."""

    synchronised: bool
    wall_s: float
    """Seconds since 1970 in UTC, right or wrong."""
    since_boot_s: float
    jumps: int
    """Times at which the wall clock moved against the monotonic clock."""
    last_jump_s: float | None
    """By how much it moved then, in seconds; negative for backwards."""
