"""What can happen to a visit. Times are seconds of one monotonic clock."""

from dataclasses import dataclass

from audio.protocol import Transcript
from device.visit.states import Visit
from firmware_bridge import Button


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button went down; ``fresh`` is the visit that may begin with it, ``refusal`` says why it could not be kept."""

    button: Button
    at_s: float
    fresh: Visit
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A button came up, or its panel vanished while it was down."""

    button: Button
    at_s: float


@dataclass(frozen=True, slots=True)
class EarReady:
    """The ear hears."""

    at_s: float


@dataclass(frozen=True, slots=True)
class EarLost:
    """The ear does not hear any more; `Interrupted` has told before of a visit that is not gone with it."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The visitor spoke and has paused."""

    visit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class NothingSaid:
    """The visitor has not begun to speak for a while."""

    visit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """The recording is transcribed; None if there were no words in it."""

    visit: str
    at_s: float
    transcript: Transcript | None


@dataclass(frozen=True, slots=True)
class NotTranscribed:
    """The recording could not be transcribed."""

    visit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The ear was lost at ``lost_s``, but what it had of the visit is kept: `Heard` or `NotTranscribed` follows."""

    visit: str
    lost_s: float


@dataclass(frozen=True, slots=True)
class Committed:
    """The feedback is in the spool, safe against a power cut."""

    visit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class NotCommitted:
    """The spool refused the feedback, for example because the disk is full."""

    visit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Opening:
    """The kiosk is within its opening hours, or outside them."""

    is_open: bool


@dataclass(frozen=True, slots=True)
class Defect:
    """An event could not be handled: what was to happen for it may have happened in part."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    at_s: float


Event = (
    Pressed
    | Released
    | EarReady
    | EarLost
    | SpeechEnded
    | NothingSaid
    | Heard
    | NotTranscribed
    | Interrupted
    | Committed
    | NotCommitted
    | Opening
    | Defect
    | Tick
)
