"""What can happen to a visit. Times are seconds of one monotonic clock."""

from dataclasses import dataclass

from audio.protocol import Transcript
from device.visit.states import Visit
from firmware_bridge import Button


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button went down; ``fresh`` is the visit that may begin with it."""

    button: Button
    at_s: float
    fresh: Visit
    refusal: str | None = None
    """Why a feedback could not be kept now, as the spool says; None if it could."""


@dataclass(frozen=True, slots=True)
class Released:
    """A button came up, or its panel vanished while it was down."""

    button: Button
    at_s: float


@dataclass(frozen=True, slots=True)
class FoundDown:
    """A button was down when its panel came: nobody pressed it for this kiosk to see."""

    button: Button
    at_s: float


@dataclass(frozen=True, slots=True)
class Opened:
    """The opening hours have begun, or the clock has been found to be wrong: a wrong clock closes no shop."""

    at_s: float


@dataclass(frozen=True, slots=True)
class ClosingTime:
    """The opening hours have ended."""

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
class Defect:
    """Something that belongs to the present visit, if there is one, failed by a defect of the kiosk's program."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    at_s: float


Event = (
    Pressed
    | Released
    | FoundDown
    | Opened
    | ClosingTime
    | EarReady
    | EarLost
    | SpeechEnded
    | NothingSaid
    | Heard
    | NotTranscribed
    | Interrupted
    | Committed
    | NotCommitted
    | Defect
    | Tick
)
