"""Messages between host and panel: what each frame type means, as frozen dataclasses.

`docs/panel-protocol.md` is the contract for whoever writes a firmware; a test keeps it equal to this module.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from firmware_bridge.frame import Frame
from firmware_bridge.wire import FLAG, TRIPLE, U8, U16, U32, Message, MessageError, choice, flags, text

PROTOCOL_VERSION = 1
"""The protocol of this module; the two sides work together only when theirs are equal."""
NO_SESSION = 0
"""What a panel without a host gives as its session; a host never draws it."""


class Button(enum.IntEnum):
    """A button by what it means; the value is also its bit in a mask of buttons."""

    RECORD = 0
    CANCEL = 1
    LANGUAGE = 2
    REPLY = 3


class Scene(enum.IntEnum):
    """What the panel shows, by meaning; how it looks is the firmware's business.

    `DISCARDED` and `NOTHING_HEARD` are scenes of their own, and not a kind of `SORRY`, because they tell the visitor
    different things: *as you asked, it is gone*; *please try again, and louder*; *the fault is ours*.
    """

    OUT_OF_SERVICE = 0
    IDLE = 1
    RECORDING = 2
    FINISHING = 3
    THANKS = 4
    SORRY = 5
    DISCARDED = 6
    NOTHING_HEARD = 7
    OFFLINE = 8
    CLOSED = 9
    IDENTIFY = 10


class Display(enum.IntEnum):
    """What kind of display the panel itself has; a kind that this version does not know is `OTHER`."""

    NONE = 0
    CHARACTER = 1
    GRAPHIC = 2
    OTHER = 255


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """Host: who are you? Opens the session of that number, or asks again within it."""

    TYPE: ClassVar[int] = 0x01
    protocol: Annotated[int, U8]
    session: Annotated[int, U32]


@dataclass(frozen=True, slots=True)
class HostHeartbeat(Message):
    """Host: I am here, in this session."""

    TYPE: ClassVar[int] = 0x02
    session: Annotated[int, U32]


@dataclass(frozen=True, slots=True)
class SceneCommand(Message):
    """Host: show this scene. Acknowledged.

    `answers` tells the panel that a press was noticed which changes nothing: it is another number, and not 0, for each
    such press while the scene stays. A panel that does not know it passes it over.
    """

    TYPE: ClassVar[int] = 0x03
    scene: Annotated[Scene, choice(Scene)]
    answers: Annotated[int, U8] = 0


@dataclass(frozen=True, slots=True)
class Level(Message):
    """Host: how loud it is just now, 0..255. Not acknowledged, not repeated."""

    TYPE: ClassVar[int] = 0x04
    level: Annotated[int, U8]


@dataclass(frozen=True, slots=True)
class HostAck(Message):
    """Host: I have the button event of this frame's sequence number."""

    TYPE: ClassVar[int] = 0x05


@dataclass(frozen=True, slots=True)
class Identity(Message):
    """Panel: the answer to every `Hello`, with the session it was asked in."""

    TYPE: ClassVar[int] = 0x81
    protocol: Annotated[int, U8]
    session: Annotated[int, U32]
    firmware: Annotated[tuple[int, int, int], TRIPLE]
    buttons: Annotated[frozenset[Button], flags(Button)]
    held: Annotated[frozenset[Button], flags(Button)]
    missed_presses: Annotated[int, U16]
    leds: Annotated[int, U8]
    display: Annotated[Display, choice(Display, Display.OTHER)]
    serial_number: Annotated[str, text(16)]


@dataclass(frozen=True, slots=True)
class PanelHeartbeat(Message):
    """Panel: I am here, in this session (`NO_SESSION` where there is none), and these buttons are down."""

    TYPE: ClassVar[int] = 0x82
    session: Annotated[int, U32]
    uptime_ms: Annotated[int, U32]
    held: Annotated[frozenset[Button], flags(Button)]


@dataclass(frozen=True, slots=True)
class ButtonEdge(Message):
    """Panel: a button went down or up, at that moment of the panel's uptime. Acknowledged."""

    TYPE: ClassVar[int] = 0x83
    button: Annotated[Button, choice(Button)]
    pressed: Annotated[bool, FLAG]
    uptime_ms: Annotated[int, U32]


@dataclass(frozen=True, slots=True)
class PanelAck(Message):
    """Panel: I have the scene of this frame's sequence number."""

    TYPE: ClassVar[int] = 0x85


FROM_HOST: Mapping[int, type[Message]] = {
    kind.TYPE: kind for kind in (Hello, HostHeartbeat, SceneCommand, Level, HostAck)
}
FROM_PANEL: Mapping[int, type[Message]] = {kind.TYPE: kind for kind in (Identity, PanelHeartbeat, ButtonEdge, PanelAck)}


class UnknownTypeError(MessageError):
    """A frame of a type that this side does not know; it is to be passed over."""


def to_frame(message: Message, sequence: int = 0) -> Frame:
    """Return the frame that carries `message`; the sequence number stays 0 where nothing is acknowledged."""
    return Frame(message.TYPE, sequence, message.to_payload())


def from_frame(frame: Frame, known: Mapping[int, type[Message]]) -> Message:
    """Read a frame as one of the `known` messages, `FROM_HOST` or `FROM_PANEL`.

    Raises UnknownTypeError for another type and MessageError for a payload that its type does not allow.
    """
    kind = known.get(frame.type)
    if kind is None:
        raise UnknownTypeError(f"frame type 0x{frame.type:02x} is not known here")
    return kind.from_payload(frame.payload)
