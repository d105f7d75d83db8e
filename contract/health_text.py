"""A kiosk's health as lines of text for a terminal of any width: the same at the kiosk and at its gateway.

Plain ASCII marks say it all (``ok``, ``! `` degraded, ``!!`` failed, ``--`` absent); colour is an addition.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

from contract.health import (
    AgentHealth,
    ClockHealth,
    EarHealth,
    Health,
    MachineHealth,
    PanelHealth,
    Part,
    SpoolHealth,
    State,
    UplinkHealth,
    parts_of,
    troubled,
)

MARKS: dict[State, str] = {"ok": "ok", "degraded": "! ", "failed": "!!", "absent": "--"}
_COLOURS: dict[State, str] = {"ok": "32", "degraded": "33", "failed": "1;31", "absent": "2"}

_NAME_CHARS = 7
_NARROW_CHARS = 60
"""On a telephone's screen there is no room for a column of names."""
_LEAST_CHARS = 24


def lines(health: Health, width: int, *, colours: bool = False) -> Iterator[str]:
    """Give the lines of a report that is at most ``width`` characters wide."""
    width = max(width, _LEAST_CHARS)
    yield from _wrapped(
        f"kiosk {health.kiosk}, {health.versions.agent}, {health.at:%Y-%m-%d %H:%M:%S}Z", width, "", "  "
    )
    for name, part in parts_of(health):
        yield from _part(name, part, width, colours=colours)
    yield from _wrapped(summary(health), width, "", "  ")


def is_colourful(output: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether to colour: on a terminal that can, unless NO_COLOR is set (https://no-color.org)."""
    return output.isatty() and not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"


def summary(health: Health) -> str:
    """Return the sentence at the end."""
    count = len(troubled(health))
    if not count:
        return "Everything is as it should be."
    said = "One part needs" if count == 1 else f"{count} parts need"
    return f"{said} somebody to look after it." if count == 1 else f"{said} somebody to look after them."


def mark(state: State, *, colours: bool) -> str:
    """Return the two characters that stand for a state."""
    return f"\x1b[{_COLOURS[state]}m{MARKS[state]}\x1b[0m" if colours else MARKS[state]


def span(seconds: float) -> str:
    """Return a length of time in its largest unit, such as ``3 h``."""
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count_bytes: int) -> str:
    """Return a size in the unit that suits it."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= length:
            return f"{count_bytes / length:.1f} {unit}"
    return f"{count_bytes} B"


def _part(name: str, part: Part, width: int, *, colours: bool) -> Iterator[str]:
    head_chars = 2 + 1 + _NAME_CHARS + 2
    indent = " " * (4 if width < _NARROW_CHARS else head_chars)
    # Wrapped with blanks in the place of the head, whose colours take no room on the screen.
    facts = ", ".join(filter(None, [*_trouble(part), *_FACTS[type(part)](part)]))
    first, *rest = _wrapped(facts, width, " " * head_chars, indent)
    yield f"{mark(part.state, colours=colours)} {name:<{_NAME_CHARS}}  {first.strip()}"
    yield from rest
    if part.problem is not None:
        yield from _wrapped(part.problem, width, indent, indent)


def _trouble(part: Part) -> Iterator[str]:
    if part.state in {"degraded", "failed"}:
        yield part.state


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    printable = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return textwrap.wrap(printable, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _agent(part: AgentHealth) -> Iterator[str | None]:
    yield part.phase.replace("_", " ")
    yield f"visits {part.visits}, thanked {part.thanked}"
    yield None if part.last_thanks_s is None else f"the last {span(part.last_thanks_s)} ago"
    yield _some(part.nothing_heard, "nothing heard")
    yield _some(part.taken_back, "taken back")
    yield _some(part.failed, "failed")
    yield _some(part.turned_away, "turned away")


def _ear(part: EarHealth) -> Iterator[str | None]:
    yield None if part.device is None else f"{part.device} at {part.rate_hz} Hz"
    yield None if part.model is None else f"model {part.model}"
    yield None if part.language is None else f"language {part.language}"
    yield f"transcripts {part.transcripts}"
    yield _some(part.failures, "failed")
    yield _some(part.losses, "lost")
    yield _some(part.overflows, "overflows")


def _panel(part: PanelHealth) -> Iterator[str | None]:
    if part.state == "absent":
        yield "none is set"
        return
    yield part.port
    if not part.online:
        yield "no panel"
        return
    yield None if part.firmware is None else f"firmware {part.firmware}"
    yield None if part.round_trip_ms is None else f"{part.round_trip_ms:.1f} ms"
    yield _some(part.reconnections, "came back")
    yield _some(part.damaged_frames, "damaged frames")


def _uplink(part: UplinkHealth) -> Iterator[str | None]:
    yield f"{'online' if part.online else 'offline'} for {span(part.state_for_s)}"
    yield part.reason if part.problem is None else None
    yield f"stored {part.stored}"
    yield _some(part.in_flight, "under way")
    yield _some(part.refused, "refused")


def _spool(part: SpoolHealth) -> Iterator[str | None]:
    yield f"waiting {part.waiting}"
    yield _some(part.held, "held")
    yield _some(part.refused, "refused")
    yield f"{size(part.free_bytes)} free"
    yield None if part.slowest_commit_ms is None else f"slowest commit {part.slowest_commit_ms:.0f} ms"


def _clock(part: ClockHealth) -> Iterator[str | None]:
    yield "synchronised" if part.synchronised else "not synchronised"
    yield _some(part.jumps, "jumps")


def _machine(part: MachineHealth) -> Iterator[str | None]:
    yield None if part.temperature_c is None else f"{part.temperature_c:.0f} °C"
    yield None if part.memory_available_bytes is None else f"{size(part.memory_available_bytes)} of memory available"
    yield None if part.load_5min is None else f"load {part.load_5min:.1f}"
    yield f"up {span(part.uptime_s)}"
    yield None if part.agent_memory_bytes is None else f"agent {size(part.agent_memory_bytes)}"


def _some(count: int, what: str) -> str | None:
    return f"{what} {count}" if count else None


_FACTS: dict[type[Part], Callable[..., Iterator[str | None]]] = {
    AgentHealth: _agent,
    EarHealth: _ear,
    PanelHealth: _panel,
    UplinkHealth: _uplink,
    SpoolHealth: _spool,
    ClockHealth: _clock,
    MachineHealth: _machine,
}
