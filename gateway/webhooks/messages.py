"""A feedback in words for people: as a Slack message and as an e-mail. Pure.

What visitors said is cut to what such messages are read for; the whole of it is at the gateway.
"""

import json
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from contract.webhook import FeedbackNew, FeedbackWantsReply, Payload

MAX_SLACK_CHARS = 2_800
"""A section of Slack's takes 3,000."""

MAX_MAIL_CHARS = 10_000

_CUT = " […]"


def slack(payload: Payload) -> bytes:
    """Return the body for an incoming webhook of Slack."""
    head = headline(payload)
    words = payload.transcript or "(nothing could be transcribed)"
    fields = [{"type": "plain_text", "text": f"{name}: {value}"} for name, value in facts(payload)]
    blocks: list[dict[str, object]] = [
        {"type": "header", "text": {"type": "plain_text", "text": head}},
        {"type": "section", "text": {"type": "plain_text", "text": _cut(words, MAX_SLACK_CHARS), "emoji": False}},
    ]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    tail = f"{payload.created_at} · {payload.page_url} · {payload.id}"
    blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": _cut(tail, 1_900), "emoji": False}]})
    # What shows in notifications, and where blocks are not understood.
    text = f"*{_escape(head)}*\n{_escape(_cut(payload.summary or words, 500))}"
    tree = {"text": text, "blocks": blocks}
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def mail(payload: Payload) -> bytes:
    """Return an e-mail without its sender, recipients, date and id, which are added when it is sent."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = headline(payload)
    message["Auto-Submitted"] = "auto-generated"
    if isinstance(payload, FeedbackWantsReply):
        address = _address(payload.user_email)
        if address is not None:
            message["Reply-To"] = address
    lines = [
        _cut(payload.transcript or "(nothing could be transcribed)", MAX_MAIL_CHARS),
        "",
        *(f"{name}: {value}" for name, value in facts(payload)),
        "",
        f"Said at {payload.created_at}",
        payload.page_url,
        f"Feedback {payload.id}",
    ]
    message.set_content("\n".join(lines) + "\n")
    return message.as_bytes()


def headline(payload: Payload) -> str:
    """Return what it is about, in words of ours alone."""
    kinds = [each.replace("_", " ") for each in (payload.sentiment, payload.category) if each]
    what = "A visitor asks for a reply" if isinstance(payload, FeedbackWantsReply) else "New feedback"
    return f"{what}: {', '.join(kinds)}" if kinds else what


def facts(payload: Payload) -> list[tuple[str, str]]:
    """Return what is known beside the words themselves."""
    found: list[tuple[str, str | None]] = [("Summary", payload.summary)]
    if isinstance(payload, FeedbackNew):
        intensity = f", {payload.intensity}" if payload.emotion and payload.intensity else ""
        found.append(("Emotion", f"{payload.emotion}{intensity}" if payload.emotion else None))
        found.append(("Testimonial candidate", "yes" if payload.is_testimonial_candidate else None))
    else:
        found.append(("Reply to", payload.user_email))
    return [(name, _cut(value, 1_000)) for name, value in found if value]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def _escape(text: str) -> str:
    # Without these nothing in the text is a link, or calls everybody in the channel.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _address(text: str) -> Address | None:
    """Return a visitor's address as a header can carry it; None if it is none."""
    try:
        return Address(addr_spec=text) if text.isascii() else None
    except (ValueError, MessageError, IndexError):
        return None
