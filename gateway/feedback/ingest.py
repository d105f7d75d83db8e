"""What to do with one message from a kiosk: store it, note it, or refuse it with a reason. Pure."""

import hashlib
import json
import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from contract import messages, text, topics
from contract.messages import Feedback, Reply, Status
from contract.text import MAX_TRANSCRIPT_CHARS
from contract.topics import Channel

MAX_AHEAD_S = 300
"""How far a synchronised clock may be ahead of ours; more than clocks drift, and no visit happens in the future."""

MAX_UNSYNCHRONISED_AGE_S = 24 * 3_600
"""A clock that was never set may be believed within a day before the receipt; older would be a guess."""

MAX_REASON_CHARS = 500

_SHORT_CHARS = 200
_ID = re.compile(rb'"id"\s*:\s*"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"')
# A kiosk may learn these only between two repetitions of the same record: its clock is set, its agent is updated.
_VOLATILE = ("created_at", "clock", "agent_version")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came in."""

    topic: str
    payload: bytes
    received_at: datetime
    retained: bool = False
    """The broker had kept it from an earlier time."""

    @property
    def sender(self) -> str | None:
        """Who the topic says that it is from, which is nobody's id perhaps; None where the topic says nothing."""
        return self.topic.split("/")[-2] if "/" in self.topic else None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A feedback or a reply to be stored: cleaned, with the time to believe and the hash of its content."""

    message: Feedback | Reply
    created_at: datetime
    time_is_of_the_kiosk: bool
    content_hash: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A status of a kiosk."""

    status: Status


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that goes to the quarantine; its kiosk is told if both it and an id are known."""

    kiosk: str | None
    message_id: UUID | None
    reason: str


Verdict = Accepted | Noted | Refused


def judge(arrival: Arrival, kiosks: Container[str]) -> Verdict:
    """Decide about one message.

    Args:
        arrival: the message; nothing in it is believed.
        kiosks: the ids of the kiosks that are admitted.
    """
    try:
        topic = topics.parse(arrival.topic)
    except topics.TopicError as error:
        return Refused(None, None, str(error)[:MAX_REASON_CHARS])
    if topic.kiosk not in kiosks:
        return Refused(topic.kiosk, find_id(arrival.payload), "this kiosk is not known here: add it to the gateway")
    try:
        message = _decode(topic.channel, arrival.payload)
    except messages.MessageError as error:
        return Refused(topic.kiosk, find_id(arrival.payload), str(error)[:MAX_REASON_CHARS])
    if message.kiosk != topic.kiosk:
        reason = "the message names another kiosk than its topic"
        return Refused(topic.kiosk, None if isinstance(message, Status) else UUID(message.id), reason)
    if isinstance(message, Status):
        return Noted(_clean_status(message))
    if isinstance(message, Reply):
        return _accept_reply(message, arrival.received_at)
    return _accept_feedback(message, arrival.received_at)


def find_id(payload: bytes) -> UUID | None:
    """Return the id of a message that cannot be decoded, if it can be made out, so that its kiosk can be told."""
    found = _ID.search(payload[: messages.MAX_MESSAGE_BYTES])
    return UUID(found[1].decode("ascii")) if found else None


def _decode(channel: Channel, payload: bytes) -> Feedback | Reply | Status:
    if channel is Channel.FEEDBACK:
        return messages.decode(Feedback, payload)
    if channel is Channel.REPLY:
        return messages.decode(Reply, payload)
    if channel is Channel.STATUS:
        return messages.decode(Status, payload)
    raise messages.MessageError(f"the gateway takes nothing on {channel!s}")


def _accept_feedback(message: Feedback, received_at: datetime) -> Accepted:
    message = msgspec.structs.replace(
        message,
        transcript=None if message.transcript is None else text.clean(message.transcript, MAX_TRANSCRIPT_CHARS),
        words=tuple(msgspec.structs.replace(word, word=text.clean(word.word, _SHORT_CHARS)) for word in message.words),
        model=text.clean(message.model, _SHORT_CHARS),
        agent_version=text.clean(message.agent_version, _SHORT_CHARS),
        consent_version=_clean_or_null(message.consent_version),
    )
    if message.clock == "synchronised":
        believed = message.created_at <= received_at + timedelta(seconds=MAX_AHEAD_S)
    else:
        age = received_at - message.created_at
        believed = timedelta() <= age <= timedelta(seconds=MAX_UNSYNCHRONISED_AGE_S)
    created_at = message.created_at if believed else received_at
    return Accepted(message, created_at, believed, _content_hash(message))


def _accept_reply(message: Reply, received_at: datetime) -> Accepted:
    message = msgspec.structs.replace(
        message,
        user_email=text.clean(message.user_email, 254),
        consent_version=text.clean(message.consent_version, _SHORT_CHARS),
    )
    believed = message.created_at <= received_at + timedelta(seconds=MAX_AHEAD_S)
    created_at = message.created_at if believed else received_at
    return Accepted(message, created_at, believed, _content_hash(message))


def _clean_status(message: Status) -> Status:
    return msgspec.structs.replace(
        message,
        agent_version=text.clean(message.agent_version, _SHORT_CHARS),
        address=_clean_or_null(message.address),
    )


def _clean_or_null(value: str | None) -> str | None:
    return None if value is None else text.clean(value, _SHORT_CHARS)


def _content_hash(message: Feedback | Reply) -> str:
    content = msgspec.to_builtins(message)
    for key in _VOLATILE:
        content.pop(key, None)
    canonical = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
