"""What a capture process and its parent say to each other: MessagePack, each message after its length.

A capture process serves the tools that look at a microphone; visits are the business of the ear. It reads one
request from its standard input, answers on its standard output, and ends when the input ends.
"""

import struct
from typing import Final, TypeVar

import msgspec

from audio.settings import AudioSettings

M = TypeVar("M")

LENGTH: Final = struct.Struct("<I")
LONGEST_BYTES: Final = 4 * 1024 * 1024


class CaptureProtocolError(Exception):
    """Bytes that are no message of this protocol."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class Survey(_Message, frozen=True):
    """Say which inputs there are; answered by `Inputs` or `Refused`."""

    settings: AudioSettings


class Open(_Message, frozen=True):
    """Open the microphone of the settings; answered by `Opened` and then `Block` after `Block`, or by `Refused`."""

    settings: AudioSettings
    rate_hz: int | None = None
    """The rate to open it at; None: that of the kiosk."""
    all_channels: bool = False
    """Whether to open all of its channels, where they are not more than a microphone has."""


class FoundInput(msgspec.Struct, frozen=True, kw_only=True):
    """An input as PortAudio knows it."""

    name: str
    own_hz: int
    channels: int
    rates_hz: tuple[int, ...]
    """The usual rates that it was opened at, highest first."""
    is_busy: bool
    """Whether another program held it."""
    is_default: bool
    """Whether it is the system's default."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The input that the kiosk would take."""

    position: int
    """In `Inputs.found`."""
    rate_hz: int


class Inputs(_Message, frozen=True):
    """All inputs."""

    found: tuple[FoundInput, ...]
    taken: Taken | None
    reason: str | None
    """Why the kiosk would take none."""


class Opened(_Message, frozen=True):
    """The microphone is open."""

    name: str
    rate_hz: int
    channels: int


class Block(_Message, frozen=True):
    """Sound: 16-bit samples in native byte order, all channels interleaved."""

    at_s: float
    """When it arrived, on the monotonic clock."""
    overflowed: bool
    """Whether sound was lost before it."""
    samples: bytes


class Refused(_Message, frozen=True):
    """It cannot be done, or goes on no longer. The process ends."""

    reason: str
    """One sentence."""
    is_busy: bool = False
    """Whether another program holds the microphone."""


Request = Survey | Open
Answer = Inputs | Opened | Block | Refused

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_answers: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """A message with its length before it."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def decode_request(body: bytes) -> Request:
    """A request without its length. Raises `CaptureProtocolError`."""
    return _decoded(_requests, body)


class AnswerDecoder:
    """Cuts a stream of bytes into answers."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Answer]:
        """The answers that these bytes complete. Raises `CaptureProtocolError`, after which nothing more comes."""
        self._rest += data
        answers: list[Answer] = []
        while len(self._rest) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._rest)
            if length > LONGEST_BYTES:
                raise CaptureProtocolError(f"a message of {length} bytes")
            if len(self._rest) < LENGTH.size + length:
                break
            answers.append(_decoded(_answers, bytes(self._rest[LENGTH.size : LENGTH.size + length])))
            del self._rest[: LENGTH.size + length]
        return answers


def _decoded(decoder: "msgspec.msgpack.Decoder[M]", body: bytes) -> M:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise CaptureProtocolError(str(error)) from error
