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
    """So long after a closing scene has begun no visit begins: it keeps a double tap, or a child that plays, from
    starting another one, and does not keep the next visitor in line waiting. 0 switches it off."""
    blink_s: float = 0.25
    """How long the lights go out to answer a press that changes nothing; then the scene begins anew, with its tone."""
    answer_s: float = 1.0
    """How long a scene is shown that answers a press where no visit can begin."""
