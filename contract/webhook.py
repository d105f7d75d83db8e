"""The webhook payload in the Voiseback format, and its one serialisation.

The body must give the same bytes after ``JSON.stringify(JSON.parse(body))``, because that is what many receivers
verify: compact, non-ASCII literal, a fixed order of keys, no numbers, no lone surrogates.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct, structs

MAX_BODY_BYTES = 100_000
"""Below the 102,400 bytes at which Express's ``express.json()`` answers 413 by default."""

MAX_SUMMARY_CHARS = 1_000
MAX_EMOTION_CHARS = 50
MAX_PAGE_URL_CHARS = 2_000

CONTENT_TYPE = "application/json"

Sentiment = Literal["positive", "negative", "neutral", "mixed"]
Category = Literal["bug", "feature_request", "praise", "churn_risk", "question", "other"]
Intensity = Literal["mild", "moderate", "strong"]


class Event(StrEnum):
    """What a webhook tells."""

    FEEDBACK_NEW = "feedback.new"
    FEEDBACK_WANTS_REPLY = "feedback.wants_reply"


class FeedbackNew(Struct, frozen=True, kw_only=True):
    """``feedback.new``: the feedback after its analysis. The order of the fields is the order of the keys."""

    id: str
    transcript: str | None
    sentiment: Sentiment | None
    category: Category | None
    summary: str | None
    emotion: str | None
    intensity: Intensity | None
    is_testimonial_candidate: bool
    page_url: str
    created_at: str


class FeedbackWantsReply(Struct, frozen=True, kw_only=True):
    """``feedback.wants_reply``: a visitor gave an e-mail address and asks for a reply."""

    id: str
    user_email: str
    wants_reply: bool
    transcript: str | None
    sentiment: Sentiment | None
    category: Category | None
    summary: str | None
    page_url: str
    created_at: str


Payload = FeedbackNew | FeedbackWantsReply

_EVENT_OF: dict[type[Payload], Event] = {
    FeedbackNew: Event.FEEDBACK_NEW,
    FeedbackWantsReply: Event.FEEDBACK_WANTS_REPLY,
}


class PayloadError(ValueError):
    """A payload that cannot be sent as this contract demands."""


def event_of(payload: Payload) -> Event:
    """Return the event that ``payload`` tells."""
    return _EVENT_OF[type(payload)]


def timestamp(moment: datetime) -> str:
    """Return ``moment`` as the payload carries it: UTC, whole seconds, ``2025-01-15T10:30:00Z``.

    Raises:
        PayloadError: ``moment`` has no time zone, or its year cannot be told in UTC.
    """
    if moment.tzinfo is None:
        raise PayloadError("a time without a zone cannot be sent")
    try:
        whole = moment.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    except OverflowError:
        raise PayloadError("a time that cannot be told in UTC cannot be sent") from None
    return f"{whole.isoformat()}Z"


def serialise(payload: Payload) -> bytes:
    """Return the body: the only place where a webhook becomes bytes.

    Raises:
        PayloadError: a lone surrogate, or more than `MAX_BODY_BYTES`; both are prevented where text comes in.
    """
    tree = {"event": str(event_of(payload)), "feedback": structs.asdict(payload)}
    try:
        body = json.dumps(tree, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        raise PayloadError("the payload holds a lone surrogate, which no receiver could verify") from None
    if len(body) > MAX_BODY_BYTES:
        raise PayloadError(f"the body has {len(body)} bytes; at most {MAX_BODY_BYTES} are allowed")
    return body
