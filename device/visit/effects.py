"""What a visit demands of the kiosk's parts."""

from dataclasses import dataclass
from enum import StrEnum

from audio.protocol import Transcript
from device.visit.states import Visit
from firmware_bridge import Button, Scene


@dataclass(frozen=True, slots=True)
class Show:
    """Show a scene to the visitor."""

    scene: Scene


@dataclass(frozen=True, slots=True)
class Listen:
    """Begin a recording; the pre-roll belongs to it."""

    visit: str


@dataclass(frozen=True, slots=True)
class StopListening:
    """End the recording and transcribe what is left of it."""

    visit: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop the recording and everything recognised in it."""

    visit: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Write the feedback to the spool, held back until `Release`; answered before any other event is taken."""

    visit: Visit
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Release:
    """The feedback may leave the kiosk."""

    visit: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Delete the feedback from the spool; it has not left the kiosk."""

    visit: str


@dataclass(frozen=True, slots=True)
class ReplaceEar:
    """The ear does not answer: replace it."""


class Why(StrEnum):
    """Why a press does nothing."""

    BUSY = "busy"
    """The visit before is not finished."""
    NO_USE = "no_use"
    """This button has no use now: there is nothing to cancel."""
    CLOSED = "closed"
    OUT_OF_SERVICE = "out_of_service"
    TOO_SOON = "too_soon"
    """The last visit has only just ended."""
    NO_ROOM = "no_room"
    """A feedback could not be kept."""
    DEFECT = "defect"
    """The kiosk's program failed at it."""


TURNED_AWAY = frozenset({Why.CLOSED, Why.OUT_OF_SERVICE, Why.TOO_SOON, Why.NO_ROOM, Why.DEFECT})
"""With the record button: somebody wanted to speak and could not."""


@dataclass(frozen=True, slots=True)
class Decline:
    """A press does nothing: let it be seen and heard that it was noticed, in the scene that is shown."""

    button: Button
    why: Why


@dataclass(frozen=True, slots=True)
class TellStuck:
    """These are the buttons that are stuck now."""

    buttons: frozenset[Button]


Effect = Show | Decline | Listen | StopListening | Forget | Commit | Release | TakeBack | ReplaceEar | TellStuck
