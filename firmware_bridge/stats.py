"""Statistics of the link and of the panel bridge."""

from dataclasses import dataclass

ROUND_TRIP_GAIN = 1 / 8
"""How much a new round trip counts in the smoothed one, as in RFC 6298."""


@dataclass(slots=True)
class LinkCounters:
    """What the link has seen since it was made; the numbers only grow."""

    sessions: int = 0
    duplicate_events: int = 0
    unknown_types: int = 0
    bad_payloads: int = 0
    scenes_acknowledged: int = 0
    stray: int = 0
    """Good frames that had no place: button events outside a session, releases without a press, late answers."""


@dataclass(slots=True)
class RoundTrip:
    """From a scene command to its acknowledgement, in seconds; None before the first.

    A repeated command is not measured.
    """

    last_s: float | None = None
    smoothed_s: float | None = None

    def add(self, measured_s: float) -> None:
        """Take one more measurement."""
        self.last_s = measured_s
        before_s = measured_s if self.smoothed_s is None else self.smoothed_s
        self.smoothed_s = before_s + ROUND_TRIP_GAIN * (measured_s - before_s)


@dataclass(frozen=True, slots=True)
class PanelStats:
    """The bridge as it is now, and its counters since it was made, which only grow."""

    online: bool
    problem: str | None
    """Why there is no panel, as a sentence; None while there is one."""
    port: str | None
    """The path at which the panel is, or is being looked for just now; None while no port is open."""
    round_trip_s: float | None
    """The last time from a scene command to its acknowledgement; repeated commands are not measured."""
    smoothed_round_trip_s: float | None
    """The same, smoothed: a new measurement counts for an eighth."""
    sessions: int
    reconnections: int
    """Sessions after the first: how often the panel came back."""
    open_failures: int
    bytes_received: int
    bytes_sent: int
    frames_received: int
    crc_errors: int
    malformed: int
    overlong: int
    unknown_types: int
    bad_payloads: int
    stray: int
    duplicate_events: int
    scenes_acknowledged: int
    scene_repeats: int
    callback_errors: int
