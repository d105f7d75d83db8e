"""The webhook's bytes: exactly these, in this order, and the same after a receiver has parsed and written them."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.webhook import (
    MAX_BODY_BYTES,
    Event,
    FeedbackNew,
    FeedbackWantsReply,
    PayloadError,
    event_of,
    serialise,
    timestamp,
)

NEW = FeedbackNew(
    id="0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01",
    transcript='Schön! "Wirklich"\n\\o/ ✨\u2028',
    sentiment="positive",
    category="praise",
    summary="Praise for the staff.",
    emotion="enthusiastic",
    intensity="strong",
    is_testimonial_candidate=True,
    page_url="https://shop.example/?a=1&b=<2>",
    created_at="2025-01-15T10:30:00Z",
)


def test_feedback_new_is_exactly_these_bytes() -> None:
    assert serialise(NEW).decode() == (
        '{"event":"feedback.new","feedback":{"id":"0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01",'
        '"transcript":"Schön! \\"Wirklich\\"\\n\\\\o/ ✨\u2028","sentiment":"positive","category":"praise",'
        '"summary":"Praise for the staff.","emotion":"enthusiastic","intensity":"strong",'
        '"is_testimonial_candidate":true,"page_url":"https://shop.example/?a=1&b=<2>",'
        '"created_at":"2025-01-15T10:30:00Z"}}'
    )


def test_what_is_not_known_is_present_as_null() -> None:
    unknown = FeedbackNew(
        id="x",
        transcript=None,
        sentiment=None,
        category=None,
        summary=None,
        emotion=None,
        intensity=None,
        is_testimonial_candidate=False,
        page_url="",
        created_at="2025-01-15T10:30:00Z",
    )
    assert serialise(unknown) == (
        b'{"event":"feedback.new","feedback":{"id":"x","transcript":null,"sentiment":null,"category":null,'
        b'"summary":null,"emotion":null,"intensity":null,"is_testimonial_candidate":false,"page_url":"",'
        b'"created_at":"2025-01-15T10:30:00Z"}}'
    )


def test_feedback_wants_reply_is_exactly_these_bytes() -> None:
    payload = FeedbackWantsReply(
        id="x",
        user_email="visitor@example.com",
        wants_reply=True,
        transcript="Hello",
        sentiment=None,
        category=None,
        summary=None,
        page_url="https://shop.example/",
        created_at="2025-01-15T10:30:00Z",
    )
    assert event_of(payload) is Event.FEEDBACK_WANTS_REPLY
    assert serialise(payload) == (
        b'{"event":"feedback.wants_reply","feedback":{"id":"x","user_email":"visitor@example.com","wants_reply":true,'
        b'"transcript":"Hello","sentiment":null,"category":null,"summary":null,"page_url":"https://shop.example/",'
        b'"created_at":"2025-01-15T10:30:00Z"}}'
    )


texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/\b\f\n\r\t\x1f\x7f\u2028\u2029é😀'))


@settings(max_examples=150, deadline=None)
@given(st.none() | texts, st.none() | texts, texts)
def test_the_bytes_are_the_same_after_parsing_and_writing_again(
    transcript: str | None, emotion: str | None, page_url: str
) -> None:
    body = serialise(
        FeedbackNew(
            id="x",
            transcript=transcript,
            sentiment="mixed",
            category="other",
            summary=transcript,
            emotion=emotion,
            intensity="mild",
            is_testimonial_candidate=False,
            page_url=page_url,
            created_at="2025-01-15T10:30:00Z",
        )
    )
    tree = json.loads(body)
    assert json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode() == body
    assert (tree["feedback"]["transcript"], tree["feedback"]["page_url"]) == (transcript, page_url)
    assert not [part for part in tree["feedback"].values() if isinstance(part, int) and not isinstance(part, bool)]


def with_transcript(transcript: str) -> FeedbackWantsReply:
    return FeedbackWantsReply(
        id="x",
        user_email="a@b",
        wants_reply=True,
        transcript=transcript,
        sentiment=None,
        category=None,
        summary=None,
        page_url="",
        created_at="",
    )


def test_half_a_character_is_refused() -> None:
    with pytest.raises(PayloadError, match="lone surrogate"):
        serialise(with_transcript("\ud800"))


def test_a_body_of_exactly_the_largest_size_is_made_and_one_byte_more_is_refused() -> None:
    free = MAX_BODY_BYTES - len(serialise(with_transcript("")))
    assert len(serialise(with_transcript("x" * free))) == MAX_BODY_BYTES
    with pytest.raises(PayloadError, match=r"100001 bytes; at most 100000"):
        serialise(with_transcript("x" * (free + 1)))


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2025, 1, 15, 10, 30, tzinfo=UTC), "2025-01-15T10:30:00Z"),
        (datetime(2025, 1, 15, 10, 30, 0, 999_999, tzinfo=UTC), "2025-01-15T10:30:00Z"),
        (datetime(2025, 1, 15, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2025-01-14T22:30:00Z"),
        (datetime(2024, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5, minutes=-30))), "2025-01-01T05:29:59Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_utc_in_whole_seconds(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(PayloadError, match="without a zone"):
        timestamp(datetime(2025, 1, 15))  # noqa: DTZ001 - that is the mistake


def test_a_time_before_the_first_year_in_utc_is_refused() -> None:
    with pytest.raises(PayloadError, match="cannot be told in UTC"):
        timestamp(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
