"""The summary's rules: the text's own words in order, contiguous, short, one sentence."""

import re
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.analysis.engine import Category
from gateway.analysis.polarity import NEGATIONS
from gateway.analysis.summary import MAX_WORDS, summarise

RAMBLING = (
    "okay where do i start i bought the vacuum in march and it was good it was really good for picking up the dog hair "
    "and then in june it started to smell and now it doesn't charge at all and i kept the receipt so i hope for help"
)
SPEECH = (
    "the staff was not friendly but i waited two hours and nobody came so we left because it is broken if you never "
    "one hundred and five euros don't like um well please thank you room coffee"
)
SPEECH_WORDS = st.sampled_from(SPEECH.split(" "))


def spoken(text: str) -> list[str]:
    return [word.strip(".,!?;:").lower() for word in text.split()]


def contains_run(words: list[str], run: list[str]) -> bool:
    return any(words[start : start + len(run)] == run for start in range(len(words) - len(run) + 1))


@given(st.lists(SPEECH_WORDS, min_size=1, max_size=80), st.sampled_from(get_args(Category)))
@settings(max_examples=150)
def test_a_summary_is_one_short_contiguous_stretch_of_the_text(words: list[str], category: Category) -> None:
    summary = summarise(" ".join(words), category)
    assert summary is not None
    assert contains_run(words, spoken(summary))
    assert 1 <= len(summary.split()) <= min(MAX_WORDS, len(words))
    assert summary.endswith(".")
    assert summary.count(".") == 1
    assert summary[0] == summary[0].upper()


@given(st.text(st.characters(codec=None), max_size=300), st.sampled_from(get_args(Category)))
@settings(max_examples=150)
def test_any_text_gives_a_sentence_of_its_own_words_or_none(text: str, category: Category) -> None:
    summary = summarise(text, category)
    if summary is not None:
        assert summary.endswith(".")
        assert len(summary.split()) <= MAX_WORDS
        summary.encode("utf-8")


@pytest.mark.parametrize("text", ["", "   ", "...", "\ud800", "\U0001f600 \U0001f600", "x" * 5000])
def test_what_has_no_words_has_no_summary(text: str) -> None:
    assert summarise(text, "other") is None


def test_a_long_story_is_cut_to_the_stretch_about_the_fault() -> None:
    summary = summarise(RAMBLING, "bug")
    assert summary is not None
    assert "doesn't charge" in summary
    assert len(summary.split()) < len(RAMBLING.split()) / 2


def test_fillers_and_the_speaker_as_subject_are_left_out_at_the_start() -> None:
    assert summarise("um so i am leaving this bank after thirty years", "churn_risk") == (
        "Leaving this bank after thirty years."
    )


@pytest.mark.parametrize(
    "text",
    ["i don't expect to come back", "the staff was not friendly", "we never got the second parcel", "nobody helped us"],
)
def test_a_negation_stays(text: str) -> None:
    summary = summarise(text, "other")
    assert summary is not None
    assert NEGATIONS.intersection(spoken(summary)) == NEGATIONS.intersection(text.split())


@pytest.mark.parametrize("number", ["one hundred and five", "nineteen ninety eight", "three"])
def test_a_number_stays_whole(number: str) -> None:
    text = f"we paid {number} euros for a room and then the shower was cold and i complained and they just shrugged"
    summary = summarise(text, "other")
    assert summary is not None
    found = set(spoken(summary)) & set(number.split()) - {"and"}
    assert not found or number in summary.lower()


@pytest.mark.parametrize("more", ["", " and i mean it because i have called you nine times already and nobody cares"])
def test_a_threat_is_not_torn_from_its_condition(more: str) -> None:
    text = "if nobody answers by tomorrow and the bill stays wrong i will cancel the contract with you people" + more
    summary = summarise(text, "churn_risk")
    assert summary is not None
    assert re.match(r"If nobody answers", summary) or "cancel" not in summary


def test_done_well_is_not_taken_for_a_filler() -> None:
    assert summarise("well done on the renovation", "praise") == "Well done on the renovation."


def test_punctuated_text_gives_one_of_its_sentences() -> None:
    summary = summarise("We came on Friday. The heating in our room was broken. It is a nice town.", "bug")
    assert summary == "Heating in our room was broken."


def test_the_pronoun_is_capitalised() -> None:
    assert summarise("my points vanished after i changed my number", "bug") == (
        "My points vanished after I changed my number."
    )
