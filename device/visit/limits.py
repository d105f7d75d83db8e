"""How long the parts of a visit may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long things may take, in seconds."""

    hold_s: float = 0.6
    """A press of the record button longer than this is hold-to-talk; a shorter one is a tap."""
    speech_max_s: float = 60.0
    """A recording ends by itself after this time, also with a stuck button."""
    finishing_max_s: float = 10.0
    """How long the recogniser may take after the end of the recording before it counts as failed."""
    interrupted_max_s: float = 3.0
    """The same where the ear was lost during the visit, from the loss on: so long a new one has before the visitor is
    told. What it recognises later becomes a feedback all the same."""
    thanks_s: float = 4.0
    """How long thanks are shown; until then *cancel* takes the feedback back, and it does not leave the kiosk."""
    notice_s: float = 3.0
    """How long the other closing scenes are shown."""
    interval_s: float = 1.0
    """So soon after the end of a visit no other begins: against play, and against a second press meant for the first
    visit. Who has waited in line needs longer to see the thanks and step up. 0 switches it off."""
    stuck_s: float = 30.0
    """A button that is down for longer counts as stuck; the record button's time begins when no recording uses it."""
