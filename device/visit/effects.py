"""What a visit demands of the kiosk's parts."""

from dataclasses import dataclass

from audio.protocol import Transcript
from device.visit.states import Visit
from firmware_bridge import Scene


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


Effect = Show | Listen | StopListening | Forget | Commit | Release | TakeBack | ReplaceEar
