"""The phases of a visit."""

from dataclasses import dataclass
from enum import Enum

from device.clock import Stamp
from firmware_bridge import Scene


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit: its id, which becomes the feedback's, and when its button was pressed."""

    id: str
    pressed: Stamp


class Press(Enum):
    """What the press that started the recording has turned out to be."""

    DOWN = "down"
    """The button is still down: a tap or a hold."""
    TAPPED = "tapped"


@dataclass(frozen=True, slots=True)
class Idle:
    """Waiting for a visitor."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A visitor speaks."""

    visit: Visit
    started_s: float
    press: Press = Press.DOWN


@dataclass(frozen=True, slots=True)
class Finishing:
    """The recording has ended; its last words and its commit are awaited."""

    visit: Visit
    ended_s: float


@dataclass(frozen=True, slots=True)
class Thanks:
    """The feedback is durable; for a while it can be taken back."""

    visit: Visit
    until_s: float


@dataclass(frozen=True, slots=True)
class Notice:
    """A closing scene without a feedback: taken back, nothing heard, or something failed."""

    scene: Scene
    until_s: float


@dataclass(frozen=True, slots=True)
class OutOfService:
    """The kiosk cannot hear; no visit can start."""


Phase = Idle | Recording | Finishing | Thanks | Notice | OutOfService


@dataclass(frozen=True, slots=True)
class State:
    """The visit's phase, and whether the ear can hear."""

    phase: Phase = OutOfService()
    can_hear: bool = False
