"""The MQTT messages between kiosk and gateway: typed, strict, JSON, at most 128 KiB.

A message that does not fit its type exactly is refused with the reason: unknown and repeated keys, numbers that are
not finite, wrong types, sizes out of bounds.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Meta, Struct

from contract.text import MAX_TRANSCRIPT_CHARS
from contract.topics import KIOSK_ID_PATTERN

MAX_MESSAGE_BYTES = 128 * 1024

Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]
KioskId = Annotated[str, Meta(pattern=KIOSK_ID_PATTERN.replace("$", r"\Z"))]
UtcTime = Annotated[datetime, Meta(tz=True)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
ShortText = Annotated[str, Meta(max_length=200)]
LanguageTag = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}\Z")]
_EMAIL_CHAR = r"[^@\s\x00-\x1f\x7f\ud800-\udfff]"
Email = Annotated[str, Meta(pattern=rf"^{_EMAIL_CHAR}{{1,64}}@{_EMAIL_CHAR}{{1,189}}\Z", max_length=254)]


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every message has: the rule that an unknown key is an error."""


class Word(Message, frozen=True):
    """One recognised word; times in seconds from the first sample of the recording."""

    word: ShortText
    start_s: Seconds
    end_s: Seconds
    confidence: Share


class Feedback(Message, frozen=True):
    """One feedback of a visitor, as the kiosk heard it. There is no field for audio."""

    id: Uuid
    """Made at the press of the button; the same over every repetition."""
    kiosk: KioskId
    created_at: UtcTime
    """When the button was pressed, as far as the kiosk's clock knew."""
    clock: Literal["synchronised", "unsynchronised"]
    transcript: Annotated[str, Meta(max_length=MAX_TRANSCRIPT_CHARS)] | None
    """Null if the kiosk could not transcribe."""
    language: LanguageTag
    confidence: Share | None
    words: Annotated[tuple[Word, ...], Meta(max_length=5_000)]
    speech_s: Seconds
    audio_s: Seconds
    model: ShortText
    agent_version: ShortText
    sequence: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    """Counts the records of one kiosk without a gap."""
    consent_version: ShortText | None

    def __post_init__(self) -> None:
        check_time(self.created_at)


class Reply(Message, frozen=True):
    """An e-mail address that a visitor left on the kiosk's own screen for one feedback."""

    id: Uuid
    kiosk: KioskId
    feedback_id: Uuid
    user_email: Email
    wants_reply: bool
    created_at: UtcTime
    consent_version: ShortText

    def __post_init__(self) -> None:
        check_time(self.created_at)


class Receipt(Message, frozen=True):
    """What the gateway did with a feedback or a reply. Only after ``stored`` may the kiosk delete its record."""

    id: Uuid
    outcome: Literal["stored", "refused"]
    reason: Annotated[str, Meta(max_length=500)] | None = None


class Status(Message, frozen=True):
    """Whether a kiosk is online; retained. The broker publishes the will, ``offline``, with the same session."""

    kiosk: KioskId
    state: Literal["online", "offline"]
    session: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    """Counts this kiosk's connections, so that a late will of an old one is recognised."""
    agent_version: ShortText
    address: ShortText | None


class MessageError(ValueError):
    """A message that does not fit its type; the text says where and why, without the message's content."""


M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Return the message's bytes.

    Raises:
        MessageError: the message is larger than `MAX_MESSAGE_BYTES`, or holds a lone surrogate.
    """
    try:
        data = msgspec.json.encode(message)
    except UnicodeEncodeError:
        raise MessageError("the message holds a lone surrogate, which is no text") from None
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageError(f"the message has {len(data)} bytes; at most {MAX_MESSAGE_BYTES} are allowed")
    return data


def encode_feedback(feedback: Feedback) -> bytes:
    """Return a feedback's bytes, without the single words where only they would make it too large."""
    try:
        return encode(feedback)
    except MessageError:
        return encode(msgspec.structs.replace(feedback, words=()))


def decode(kind: type[M], data: bytes) -> M:
    """Decode one message strictly.

    Raises:
        MessageError: it is too large, no UTF-8, no JSON, or does not fit ``kind``.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageError(f"the message has {len(data)} bytes; at most {MAX_MESSAGE_BYTES} are allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageError(f"the message is no UTF-8 (byte {error.start})") from None
    try:
        tree = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        raise MessageError(f"the message does not fit: {_without_content(str(error))}") from None
    except RecursionError:
        raise MessageError("the message is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise MessageError(f"the message is no JSON: {error.msg} at character {error.pos}") from None
    except UnicodeEncodeError:
        raise MessageError("the message holds a lone surrogate where none may stand") from None
    except MessageError:
        raise
    except ValueError:
        raise MessageError("the message holds a number that is too long") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys: dict[str, Any] = dict(pairs)
    if len(keys) != len(pairs):
        raise MessageError("the message repeats a key")
    return keys


def _refuse_constant(name: str) -> NoReturn:
    raise MessageError(f"the message holds {name}, which is no JSON")


def check_time(moment: datetime) -> None:
    """Accept a time that can be told in UTC.

    Raises:
        ValueError: it lies before the first or after the last year of the calendar.
    """
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time cannot be told in UTC") from None


_PLACE = r"(?= - at `\$[a-z0-9_.\[\]]{0,100}`\Z|\Z)"
_UNKNOWN_FIELD = re.compile(rf"unknown field `(?P<key>.*?)`{_PLACE}", re.DOTALL | re.ASCII)
_INVALID_VALUE = re.compile(rf"Invalid enum value .*?{_PLACE}", re.DOTALL | re.ASCII)
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


def _without_content(explanation: str) -> str:
    """Return what the decoder said, without values and without keys that do not look like a field's name."""
    explanation = _INVALID_VALUE.sub("none of the allowed values", explanation)
    unknown = _UNKNOWN_FIELD.search(explanation)
    if unknown is not None and not _FIELD_NAME.fullmatch(unknown["key"]):
        explanation = explanation[: unknown.start()] + "an unknown field" + explanation[unknown.end() :]
    return explanation[:300]
