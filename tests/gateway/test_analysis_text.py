"""Reading words from any str, and telling speech with content from speech without."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.analysis.text import has_content, words_of


def test_words_are_lower_case_without_punctuation_and_keep_inner_apostrophes() -> None:
    assert words_of("It\u2019s BROKEN, and I don't know why!") == ["it's", "broken", "and", "i", "don't", "know", "why"]


def test_a_lone_surrogate_is_dropped() -> None:
    assert words_of("good \ud800coffee") == ["good", "coffee"]


@pytest.mark.parametrize(
    "spoken",
    ["", "hello one two", "testing testing can you hear me", "um so yeah okay bye", "no comment", "check one two three",
     "nothing to say really", "good morning", "is this thing on"],
)  # fmt: skip
def test_greetings_fillers_and_microphone_tests_say_nothing(spoken: str) -> None:
    assert not has_content(spoken.split())


@pytest.mark.parametrize("spoken", ["so so", "good", "thank you", "ten out of ten", "you guys rock", "i like it"])
def test_short_verdicts_say_something(spoken: str) -> None:
    assert has_content(spoken.split())


@given(st.text(st.characters(codec=None)))
@settings(max_examples=100)
def test_any_text_becomes_words_that_can_be_encoded(text: str) -> None:
    for word in words_of(text):
        assert word
        assert word.encode("utf-8")
