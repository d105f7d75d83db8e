"""Polarity: negation, boosters, phrases and the course of a text."""

import pytest

from gateway.analysis.embedded import WEIGHTS_DIRECTORY
from gateway.analysis.linear import LEXICON_FILES
from gateway.analysis.polarity import Lexicon, clauses, polarity


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.read(WEIGHTS_DIRECTORY / name for name in LEXICON_FILES)


def test_a_negation_turns_a_word_around(lexicon: Lexicon) -> None:
    assert polarity(["the", "staff", "was", "helpful"], lexicon).overall > 0
    assert polarity(["the", "staff", "was", "not", "helpful"], lexicon).overall < 0


def test_a_negation_does_not_reach_over_a_contrast(lexicon: Lexicon) -> None:
    assert lexicon.values(["not", "today", "but", "great"])[-1] > 0


def test_a_booster_makes_a_word_stronger(lexicon: Lexicon) -> None:
    plain = polarity(["the", "room", "was", "dirty"], lexicon).overall
    boosted = polarity(["the", "room", "was", "extremely", "dirty"], lexicon).overall
    assert boosted < plain < 0


def test_a_phrase_counts_instead_of_its_words(lexicon: Lexicon) -> None:
    assert polarity(["thanks", "for", "nothing"], lexicon).overall < 0
    assert polarity(["no", "problem", "at", "all"], lexicon).overall > 0


def test_a_wish_is_no_praise(lexicon: Lexicon) -> None:
    assert polarity(["i", "would", "like", "a", "receipt", "please"], lexicon).overall == 0


def test_both_sides_of_a_contrast_are_seen(lexicon: Lexicon) -> None:
    found = polarity(["lovely", "atmosphere", "but", "the", "service", "was", "slow"], lexicon)
    assert found.best_clause > 0 > found.worst_clause
    assert found.first_clause > 0 > found.last_clause


def test_clauses_cover_the_text_without_gaps() -> None:
    words = ["good", "food", "but", "slow", "staff", "however", "cheap"]
    parts = clauses(words)
    assert [word for start, end in parts for word in words[start:end]] == words
    assert len(parts) == 3


def test_no_words_are_neither_good_nor_bad(lexicon: Lexicon) -> None:
    assert polarity([], lexicon).overall == 0
