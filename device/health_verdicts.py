"""What each part's figures mean: whether it is well, and if not, what a technician is to do. Pure.

A sentence says what is wrong and what to do. Of several the gravest is told. Being offline is ordinary for a kiosk: it
works on and keeps its records.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from audio.ear_stats import EarStats
from audio.health import Problem
from contract.health import State
from device.machine import MachineStats
from device.stats import AgentStats, ClockStats, Room, SpoolStats, UplinkStats
from firmware_bridge.stats import PanelStats

OFFLINE_DEGRADED_S: Final = 600.0
OFFLINE_FAILED_S: Final = 86_400.0
UNANSWERED_S: Final = 300.0
"""Records that are under way for so long without any receipt: the broker works, and the gateway does not."""
BACKLOG_S: Final = 5.0
SLOW_COMMIT_MS: Final = 2_000.0
"""A commit takes a few milliseconds on a good memory card and a tenth of a second on a poor one."""
DAMAGED_FRAMES: Final = 100
DAMAGED_SHARE: Final = 0.02
DISK_FREE_BYTES: Final = 512 * 1024 * 1024
"""More than the spool keeps free, so that it is told before visitors are turned away."""
MEMORY_AVAILABLE_BYTES: Final = 64 * 1024 * 1024
HOT_C: Final = 80.0
"""A Raspberry Pi slows itself down from here on."""
LOAD_PER_CORE: Final = 2.0


class Verdict(NamedTuple):
    """How a part is."""

    state: State
    problem: str | None


OK: Final = Verdict("ok", None)
ABSENT: Final = Verdict("absent", None)


def agent(stats: AgentStats) -> Verdict:
    """Judge the visit and its machine."""
    return _gravest(_of_agent(stats))


def ear(stats: EarStats) -> Verdict:
    """Judge the microphone, the recogniser and the models."""
    return _gravest(_of_ear(stats))


def panel(stats: PanelStats | None) -> Verdict:
    """Judge the button panel; None where none is wanted."""
    return ABSENT if stats is None else _gravest(_of_panel(stats))


def uplink(stats: UplinkStats) -> Verdict:
    """Judge the connection to the gateway."""
    return _gravest(_of_uplink(stats))


def spool(stats: SpoolStats) -> Verdict:
    """Judge the spool and its disk."""
    return _gravest(_of_spool(stats))


def clock(stats: ClockStats) -> Verdict:
    """Judge the wall clock."""
    if stats.synchronised:
        return OK
    return _degraded(
        "the clock is not synchronised, so that feedback may carry a wrong time until it is: see to a network with a "
        "time server (`timedatectl` shows it), or fit a clock with a battery"
    )


def machine(stats: MachineStats) -> Verdict:
    """Judge the computer."""
    return _gravest(_of_machine(stats))


def _of_agent(stats: AgentStats) -> Iterator[Verdict]:
    if stats.stuck_buttons:
        names = " and ".join(stats.stuck_buttons)
        yield _degraded(f"the button {names} is held down for too long: look whether it is jammed, or short-circuited")
    if stats.defects:
        yield _degraded(
            f"{_times(stats.defects)} since its start the agent failed at an event and went on: look into its log "
            "(`journalctl -u voiseback-kiosk`) and report it"
        )


def _of_ear(stats: EarStats) -> Iterator[Verdict]:
    if not stats.is_ready:
        yield _failed(stats.reason or "the kiosk cannot hear")
    for found in stats.problems:
        yield Verdict("failed" if found.problem is Problem.DEAD else "degraded", found.text)
    for language in stats.languages:
        if language.state == "unusable":
            yield _degraded(f"the language {language.language!r} cannot be used: {language.reason or 'unknown'}")
    if stats.ready is not None and stats.ready.model_is_demonstration:
        yield _degraded(
            "the demonstration model does not understand real people: install one for them with "
            f"`kiosk model install {stats.ready.language}`"
        )
    if stats.backlog_s > BACKLOG_S:
        yield _degraded(
            f"the recogniser is {stats.backlog_s:.0f} s behind: stop other programs, or install a smaller model"
        )


def _of_panel(stats: PanelStats) -> Iterator[Verdict]:
    if not stats.online:
        yield _failed(stats.problem or "no panel answers: look at its cable")
    damaged = damaged_frames(stats)
    if damaged >= DAMAGED_FRAMES and damaged > DAMAGED_SHARE * (stats.frames_received + damaged):
        share = 100 * damaged / (stats.frames_received + damaged)
        yield _degraded(f"{share:.0f} % of what the panel sends arrives damaged: use a shorter or a better cable")
    if stats.callback_errors:
        yield _degraded(f"{_times(stats.callback_errors)} an event of the panel could not be taken: report it")


def damaged_frames(stats: PanelStats) -> int:
    """Return how many frames of the panel could not be read."""
    return stats.crc_errors + stats.malformed + stats.overlong


def _of_uplink(stats: UplinkStats) -> Iterator[Verdict]:
    if not stats.online and stats.state_for_s > OFFLINE_DEGRADED_S:
        state: State = "failed" if stats.state_for_s > OFFLINE_FAILED_S else "degraded"
        reason = f" ({stats.reason})" if stats.reason else ""
        yield Verdict(
            state,
            f"the gateway cannot be reached for {span(stats.state_for_s)}{reason}: look at the network and at it; "
            "records are kept until then",
        )
    silent_s = stats.state_for_s if stats.last_receipt_s is None else min(stats.last_receipt_s, stats.state_for_s)
    if stats.online and stats.in_flight and silent_s > UNANSWERED_S:
        yield _degraded(
            f"the broker takes records and the gateway has answered for none for {span(silent_s)}: look at the "
            "gateway's log; records are kept until it does"
        )


def _of_spool(stats: SpoolStats) -> Iterator[Verdict]:
    if stats.room is not Room.OPEN:
        advice = "make room on the disk" if stats.room is Room.FULL else "look at the disk (`dmesg`), and replace it"
        yield _failed(
            f"visitors are turned away, for no feedback can be kept ({stats.problem or stats.room}): {advice}"
        )
    if stats.lost_in_salvage:
        yield _degraded(
            f"a damaged spool was set aside, and {_records(stats.lost_in_salvage)} could not be saved: replace the "
            "memory card or disk"
        )
    if stats.refused:
        yield _degraded(
            f"the gateway refused {_records(stats.refused)}, kept on the shelf: `kiosk spool list` tells why"
        )
    if stats.last_commit_ms is not None and stats.last_commit_ms > SLOW_COMMIT_MS:
        yield _degraded(
            f"the last feedback took {stats.last_commit_ms / 1000:.1f} s to be written: the memory card may be worn out"
        )


def _of_machine(stats: MachineStats) -> Iterator[Verdict]:
    if stats.disk_free_bytes is not None and stats.disk_free_bytes < DISK_FREE_BYTES:
        yield _degraded(f"only {megabytes(stats.disk_free_bytes)} of the disk are free: make room")
    if stats.memory_available_bytes is not None and stats.memory_available_bytes < MEMORY_AVAILABLE_BYTES:
        yield _degraded(
            f"only {megabytes(stats.memory_available_bytes)} of memory are available: stop other programs, or "
            "install a smaller model"
        )
    if stats.throttled:
        names = ", ".join(stats.throttled)
        yield _degraded(f"the computer is slowed down ({names}): use a power supply that is strong enough, and cool it")
    if stats.temperature_c is not None and stats.temperature_c >= HOT_C:
        yield _degraded(f"the computer is at {stats.temperature_c:.0f} °C: give it air, or a heat sink")
    if stats.load_5min is not None and stats.load_5min > LOAD_PER_CORE * stats.cores:
        yield _degraded(
            f"the computer is overloaded ({stats.load_5min:.1f} for {stats.cores} cores): see to it with `top`"
        )


def span(seconds: float) -> str:
    """Return a length of time in its largest unit, such as ``3 h``."""
    for unit, length_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length_s or (seconds >= length_s and unit != "days"):
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def megabytes(size_bytes: int) -> str:
    """Return a size in whole megabytes."""
    return f"{size_bytes / 1e6:,.0f} MB"


def _gravest(found: Iterator[Verdict]) -> Verdict:
    verdicts = list(found)
    return next((verdict for verdict in verdicts if verdict.state == "failed"), verdicts[0] if verdicts else OK)


def _degraded(problem: str) -> Verdict:
    return Verdict("degraded", problem)


def _failed(problem: str) -> Verdict:
    return Verdict("failed", problem)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _records(number: int) -> str:
    return "a record" if number == 1 else f"{number:,} records"
