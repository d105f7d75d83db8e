"""Cleaning text: what is kept can be stored, signed and sent."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.text import MAX_TRANSCRIPT_CHARS, clean
from contract.webhook import (
    MAX_BODY_BYTES,
    MAX_EMOTION_CHARS,
    MAX_PAGE_URL_CHARS,
    MAX_SUMMARY_CHARS,
    FeedbackNew,
    FeedbackWantsReply,
    serialise,
)

anything = st.text(
    st.characters(exclude_categories=[])
    | st.sampled_from("\0\x1b\x7f\x9b\ud83d\udc4d\n\t\r\u2028e\u0301\u0344\ufb2c\u1100\u1161\u11a8")
)
"""All of Unicode, and more often what has to be cleaned or what changes its length in NFC."""

WORST_CHARACTERS = ["\U0001f600", '"', "\\", "\n", "\t", "\u2028", "\ufb2c", "\U0001d160"]
"""Four bytes; escaped; three bytes; and two that NFC makes longer."""


@given(anything, st.integers(0, 60))
def test_cleaning_twice_gives_the_same_as_once(text: str, max_chars: int) -> None:
    once = clean(text, max_chars)
    assert clean(once, max_chars) == once


@given(anything, st.integers(0, 60))
def test_what_is_kept_is_short_normal_and_fit_for_a_database(text: str, max_chars: int) -> None:
    kept = clean(text, max_chars)
    assert len(kept) <= max_chars
    assert unicodedata.is_normalized("NFC", kept)
    assert {char for char in kept if unicodedata.category(char) in {"Cc", "Cs"}} <= {"\n", "\t"}
    assert kept.encode("utf-8").decode("utf-8") == kept


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60))
def test_ordinary_text_only_becomes_normal(text: str) -> None:
    assert clean(text, 1_000) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\x00b", "ab"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("\x1b[31mred\x9b0m", "[31mred0m"),
        ("\ud83d", "\ufffd"),
        ("\ud83d\udc4d", "\ufffd\ufffd"),
        ("👍🏽", "👍🏽"),
        ("e\u0301", "é"),
        ("\u2028", "\u2028"),
        ("", ""),
    ],
)
def test_examples(text: str, kept: str) -> None:
    assert clean(text, 100) == kept


@pytest.mark.parametrize("worst", WORST_CHARACTERS)
def test_the_worst_transcript_with_every_other_field_at_its_maximum_fits_into_a_body(worst: str) -> None:
    def full(max_chars: int) -> str:
        text = clean(worst * max_chars, max_chars)
        assert len(text) == max_chars
        return text

    transcript = full(MAX_TRANSCRIPT_CHARS)
    new = FeedbackNew(
        id="0" * 36,
        transcript=transcript,
        sentiment="positive",
        category="feature_request",
        summary=full(MAX_SUMMARY_CHARS),
        emotion=full(MAX_EMOTION_CHARS),
        intensity="moderate",
        is_testimonial_candidate=False,
        page_url=full(MAX_PAGE_URL_CHARS),
        created_at="2025-01-15T10:30:00Z",
    )
    wants_reply = FeedbackWantsReply(
        id="0" * 36,
        user_email=full(254),
        wants_reply=True,
        transcript=transcript,
        sentiment="positive",
        category="feature_request",
        summary=new.summary,
        page_url=new.page_url,
        created_at=new.created_at,
    )
    assert max(len(serialise(new)), len(serialise(wants_reply))) <= MAX_BODY_BYTES


def test_the_figure_stands_on_four_bytes_a_character() -> None:
    assert (
        4 * (MAX_TRANSCRIPT_CHARS + MAX_SUMMARY_CHARS + MAX_EMOTION_CHARS + MAX_PAGE_URL_CHARS + 254) < MAX_BODY_BYTES
    )
    assert MAX_BODY_BYTES < 100 * 1024
