"""The phases of a visit."""

import re
from dataclasses import dataclass, field
from enum import Enum

from device.clock import Stamp
from device.visit.buttons import Buttons
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
    due_s: float
    interrupted: bool = False
    """The ear was lost, and a new one works on what was kept."""


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
    late: Visit | None = None
    """The visit that it closes, if its words may still come."""


@dataclass(frozen=True, slots=True)
class Closed:
    """It is outside the opening hours; no visit can start."""


@dataclass(frozen=True, slots=True)
class OutOfService:
    """The kiosk cannot hear; no visit can start."""


Phase = Idle | Recording | Finishing | Thanks | Notice | Closed | OutOfService


def name_of(phase: type[Phase] | Phase) -> str:
    """Return how a phase is called outside: ``out_of_service``."""
    kind = phase if isinstance(phase, type) else type(phase)
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


@dataclass(frozen=True, slots=True)
class State:
    """The visit's phase, and what outlasts it."""

    phase: Phase = OutOfService()
    can_hear: bool = False
    is_open: bool = True
    late: tuple[Visit, ...] = ()
    """Visits whose visitors were told that it did not work, and whose words may still come."""
    ended_s: float | None = None
    """When the last visit ended; None before the first."""
    buttons: Buttons = field(default_factory=Buttons)
