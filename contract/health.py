"""How a kiosk is: the ``health`` message, with a state, a sentence and counters for each of its parts.

**Unknown keys are ignored in this message**, unlike in all others. A kiosk is updated before its gateway or after it,
and its health is wanted most of all then; what an older gateway does not know it need not show, and nothing is lost by
leaving it out, since the next message comes within a minute. A feedback is another matter: what a reader leaves out of
it is gone for good. So that the other direction works too, a field that is added later has a default, and the four
states are all there will ever be.

Counters only grow while the agent runs. There is no visitor's word in it, and no secret.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from contract.messages import KioskId, Message, ShortText, UtcTime, check_time

State = Literal["ok", "degraded", "failed", "absent"]
"""``degraded``: it works, and somebody should look after it. ``failed``: it does not. ``absent``: it is not wanted."""

MAX_SENTENCE_CHARS = 400
MAX_NAME_CHARS = 40
MAX_LANGUAGES = 8
MAX_NAMES = 8

Sentence = Annotated[str, Meta(max_length=MAX_SENTENCE_CHARS)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Measure = Annotated[float, Meta(ge=0, le=1_000_000_000_000)]
"""Seconds, milliseconds or megabytes, as the field's name says."""
Signed = Annotated[float, Meta(ge=-1_000_000_000_000, le=1_000_000_000_000)]
Name = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
Names = Annotated[tuple[Name, ...], Meta(max_length=MAX_NAMES)]


class Open(Message, frozen=True, forbid_unknown_fields=False):
    """What every object of this message has: the rule that an unknown key is ignored."""


class Part(Open, frozen=True):
    """What every part tells."""

    state: State
    problem: Sentence | None
    """What is wrong and what to do about it, for a technician; null unless the part is degraded or failed."""


class AgentHealth(Part, frozen=True):
    """The visit and its machine."""

    phase: Name
    scene: Name
    language: Name
    stuck_buttons: Names
    last_thanks_s: Measure | None
    visits: Count
    thanked: Count
    taken_back: Count
    nothing_heard: Count
    failed: Count
    turned_away: Count
    defects: Count


class LanguageHealth(Open, frozen=True):
    """One language of the ear."""

    language: Name
    state: Name
    model: ShortText | None
    memory_mb: Measure | None
    reason: Sentence | None


class EarHealth(Part, frozen=True):
    """The microphone, the recogniser and the speech models."""

    device: ShortText | None
    rate_hz: Count | None
    model: ShortText | None
    model_is_demonstration: bool
    language: Name | None
    languages: Annotated[tuple[LanguageHealth, ...], Meta(max_length=MAX_LANGUAGES)]
    microphone_problems: Names
    starts: Count
    losses: Count
    blocks: Count
    overflows: Count
    backlog_s: Measure
    transcripts: Count
    failures: Count
    interruptions: Count
    waiting: Count
    kept_bytes: Count


class PanelHealth(Part, frozen=True):
    """The button panel and its serial line."""

    online: bool
    port: ShortText | None
    firmware: ShortText | None
    serial_number: ShortText | None
    round_trip_ms: Measure | None
    sessions: Count
    reconnections: Count
    open_failures: Count
    frames_received: Count
    damaged_frames: Count
    scene_repeats: Count
    callback_errors: Count


class UplinkHealth(Part, frozen=True):
    """The connection to the gateway's broker."""

    online: bool
    reason: Sentence | None
    state_for_s: Measure
    session: Count
    connections: Count
    in_flight: Count
    sent: Count
    stored: Count
    refused: Count
    stray_receipts: Count
    last_receipt_s: Measure | None


class SpoolHealth(Part, frozen=True):
    """The records that have no receipt yet, and their disk."""

    room: Name
    held: Count
    waiting: Count
    refused: Count
    oldest_waiting: ShortText | None
    size_bytes: Count
    free_bytes: Count
    commits: Count
    last_commit_ms: Measure | None
    slowest_commit_ms: Measure | None
    failures: Count
    salvages: Count
    lost_in_salvage: Count


class ClockHealth(Part, frozen=True):
    """The wall clock."""

    synchronised: bool
    jumps: Count
    last_jump_s: Signed | None


class MachineHealth(Part, frozen=True):
    """The computer, and what the agent takes of it. What cannot be read is null."""

    disk_free_bytes: Count | None
    disk_bytes: Count | None
    memory_available_bytes: Count | None
    memory_bytes: Count | None
    load_5min: Measure | None
    cores: Count
    temperature_c: Signed | None
    throttled: Names | None
    """What slows a Raspberry Pi down now; null on other machines."""
    uptime_s: Measure
    agent_memory_bytes: Count | None
    agent_threads: Count | None
    agent_files: Count | None


class Versions(Open, frozen=True):
    """Of the kiosk's programs."""

    agent: ShortText
    python: ShortText
    system: ShortText
    machine: ShortText


class Health(Open, frozen=True):
    """How one kiosk is at one moment."""

    kiosk: KioskId
    at: UtcTime
    """By the kiosk's clock; `ClockHealth` says whether that was right."""
    session: Count
    """The connection's, as in ``status``."""
    versions: Versions
    agent: AgentHealth
    ear: EarHealth
    panel: PanelHealth
    uplink: UplinkHealth
    spool: SpoolHealth
    clock: ClockHealth
    machine: MachineHealth

    def __post_init__(self) -> None:
        check_time(self.at)


PART_NAMES = ("agent", "ear", "panel", "uplink", "spool", "clock", "machine")

_GRAVITY: dict[State, int] = {"absent": 0, "ok": 0, "degraded": 1, "failed": 2}


def parts_of(health: Health) -> Iterator[tuple[str, Part]]:
    """Give each part with its name, in the order in which they are shown."""
    for name in PART_NAMES:
        part: Part = getattr(health, name)
        yield name, part


def overall(health: Health) -> State:
    """Return the gravest state of any part; ``ok`` if none is degraded or failed."""
    gravest = max((part.state for _, part in parts_of(health)), key=_GRAVITY.__getitem__)
    return gravest if _GRAVITY[gravest] else "ok"


def troubled(health: Health) -> list[tuple[str, Part]]:
    """Return the parts that are not as they should be, the failed ones first."""
    found = [(name, part) for name, part in parts_of(health) if _GRAVITY[part.state]]
    return sorted(found, key=lambda one: -_GRAVITY[one[1].state])


def in_words(health: Health) -> str:
    """Return one line for a service manager's status: what is wrong, or what the kiosk does."""
    found = troubled(health)
    if not found:
        return f"ok: {health.agent.phase}, {health.agent.thanked} thanked, {health.spool.waiting} records waiting"
    return "; ".join(
        f"{name} {part.state}: {part.problem}" if part.problem else f"{name} {part.state}" for name, part in found
    )
