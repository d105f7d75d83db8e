"""The phases of a visit."""

import math
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
class OutOfService:
    """The kiosk cannot hear; no visit can start."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Outside the opening hours; no visit can start."""


Phase = Idle | Recording | Finishing | Thanks | Notice | OutOfService | Closed

_SCENES: dict[type[Phase], Scene] = {
    Idle: Scene.IDLE,
    Recording: Scene.RECORDING,
    Finishing: Scene.FINISHING,
    Thanks: Scene.THANKS,
    OutOfService: Scene.OUT_OF_SERVICE,
    Closed: Scene.CLOSED,
}


def scene_of(phase: Phase) -> Scene:
    """Return the scene that tells the visitor of a phase."""
    return phase.scene if isinstance(phase, Notice) else _SCENES[type(phase)]


@dataclass(frozen=True, slots=True)
class Answer:
    """A scene that is shown for a moment instead of the phase's own, because somebody pressed a button."""

    scene: Scene
    until_s: float


@dataclass(frozen=True, slots=True)
class State:
    """The visit's phase, whether the ear can hear, and what is still to come of earlier visits."""

    phase: Phase = OutOfService()
    can_hear: bool = False
    is_open: bool = True
    late: tuple[Visit, ...] = ()
    """Visits whose visitors were told that it did not work, and whose words may still come."""
    free_s: float = -math.inf
    """From when on the next visit may begin."""
    answer: Answer | None = None
