"""A feedback as a Slack message and as an e-mail."""

import json
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.text import clean
from contract.webhook import MAX_BODY_BYTES, FeedbackNew, FeedbackWantsReply, Payload
from gateway.webhooks import messages

NEW: dict[str, Any] = {
    "id": "0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01",
    "transcript": "The <b>café</b> & the till\nare lovely <!channel>",
    "sentiment": "negative",
    "category": "feature_request",
    "summary": "Praise <!here> & more.",
    "emotion": "satisfied",
    "intensity": "strong",
    "is_testimonial_candidate": True,
    "page_url": "https://shop.example/k/1",
    "created_at": "2025-01-15T10:30:00Z",
}
REPLY: dict[str, Any] = {
    **{name: value for name, value in NEW.items() if name not in {"emotion", "intensity", "is_testimonial_candidate"}},
    "user_email": "visitor@example.org",
    "wants_reply": True,
}


def new(**changes: Any) -> FeedbackNew:
    return FeedbackNew(**{**NEW, **changes})


def reply(**changes: Any) -> FeedbackWantsReply:
    return FeedbackWantsReply(**{**REPLY, **changes})


def slack(payload: Payload) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(messages.slack(payload))
    return tree


def mail(payload: Payload) -> EmailMessage:
    return message_from_bytes(messages.mail(payload), policy=SMTP)


def test_a_slack_message_tells_what_is_known() -> None:
    shown = json.dumps(slack(new()), ensure_ascii=False)
    parts = ("New feedback: negative, feature request", "café", "satisfied, strong", "Testimonial candidate: yes")
    for part in (*parts, "https://shop.example/k/1", "2025-01-15T10:30:00Z", "Praise"):
        assert part in shown


def test_a_visitor_cannot_call_a_slack_channel_or_make_a_link() -> None:
    tree = slack(new(summary=None))
    assert "<" not in tree["text"]
    assert "&lt;!channel&gt;" in tree["text"]
    kinds = [part["type"] for block in tree["blocks"] for part in (block.get("text"), *block.get("fields", ())) if part]
    assert set(kinds) == {"plain_text"}


def test_a_slack_message_without_anything_known_is_one_still() -> None:
    nothing = dict.fromkeys(("transcript", "sentiment", "category", "summary", "emotion", "intensity"))
    tree = slack(new(**nothing, is_testimonial_candidate=False))
    assert tree["blocks"][0]["text"]["text"] == "New feedback"
    assert "nothing could be transcribed" in tree["text"]


def test_a_wish_for_a_reply_says_where_to() -> None:
    assert "visitor@example.org" in json.dumps(slack(reply()))
    message = mail(reply())
    assert message["Reply-To"] == "visitor@example.org"
    assert message["Subject"] == "A visitor asks for a reply: negative, feature request"
    assert "Reply to: visitor@example.org" in message.get_content()


@pytest.mark.parametrize("address", ["no address", "a@b@c", "ü@example.org", "a\r\nBcc: b@example.org", "", "@", "a@"])
def test_what_is_no_address_is_no_reply_header(address: str) -> None:
    message = mail(reply(user_email=address))
    assert message["Reply-To"] is None
    assert message["Bcc"] is None


def test_a_mail_holds_the_words_as_they_were_said() -> None:
    message = mail(new())
    assert "The <b>café</b> & the till\n" in message.get_content().replace("\r\n", "\n")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert {name for name in ("From", "To", "Date", "Message-ID") if message[name]} == set()


texts = st.text(st.characters(exclude_categories=[]), max_size=300).map(lambda text: clean(text, 20_000))


# No deadline: on a busy machine the longest texts take longer than hypothesis' 200 ms.
@settings(deadline=None)
@given(words=texts | st.just("漢" * 20_000) | st.just("&" * 20_000), summary=texts, url=texts)
def test_any_text_fits_into_what_slack_and_mail_take(words: str, summary: str, url: str) -> None:
    payload = new(transcript=words, summary=summary, page_url=f"https://shop.example/{url}")
    for body in (messages.slack(payload), messages.mail(payload)):
        assert len(body) <= MAX_BODY_BYTES
    for block in slack(payload)["blocks"]:
        assert len(block.get("text", {}).get("text", "")) <= 3_000
        assert all(len(field["text"]) <= 2_000 for field in block.get("fields", ()))
    head, _, _ = messages.mail(payload).partition(b"\r\n\r\n")
    assert {line.partition(b":")[0] for line in head.split(b"\r\n")} == {
        b"Subject",
        b"Auto-Submitted",
        b"Content-Type",
        b"Content-Transfer-Encoding",
        b"MIME-Version",
    }
    mail(payload).get_content()
