"""The language model: discounting, backoff, pruning, perplexity, and the texts that it is made from."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.demo_model.grammar import Grammar
from audio.demo_model.language_model import (
    END,
    START,
    Estimate,
    LanguageModelError,
    Texts,
    Trigram,
    Weights,
    collect,
    development_perplexity,
    estimate,
    generated,
    perplexity,
)

WORDS = ("a", "b", "c", "d", "e")
sentences = st.lists(st.lists(st.sampled_from(WORDS[:4]), min_size=1, max_size=5).map(" ".join), max_size=8)
texts = st.builds(
    Texts, sentences, sentences, st.just(WORDS), st.lists(st.sampled_from(["d", "f", "g"]), unique=True)
).filter(lambda found: found.hand_written or found.generated)
discounts = st.floats(min_value=0.05, max_value=0.95)
counts = st.floats(min_value=0.1, max_value=400)
shares = st.floats(min_value=0, max_value=0.5)
weights = st.builds(Weights, counts, counts, shares, counts, counts, counts, discounts, discounts)


def total_after(trigram: Trigram, *history: str) -> float:
    return sum(trigram.probability(word, history) for word in trigram.words)


def grammar_of(*templates: str) -> Grammar:
    return Grammar(templates, {"opening": [""], "joint": ["and"], "closing": [""], "thing": ["cup", "plate", "fork"]})


@given(texts, weights, st.floats(min_value=0, max_value=0.2))
@settings(max_examples=60, deadline=None)
def test_the_probabilities_after_every_history_add_up_to_one(
    texts: Texts, weights: Weights, least_worth: float
) -> None:
    learnt = estimate(texts, weights)
    tokens = (START, *learnt.full.vocabulary())
    for trigram in (learnt.full, learnt.pruned(least_worth)):
        assert total_after(trigram) == pytest.approx(1)
        for last in tokens:
            assert total_after(trigram, last) == pytest.approx(1)
            for before in tokens:
                assert total_after(trigram, before, last) == pytest.approx(1)


@given(texts, weights)
@settings(max_examples=30, deadline=None)
def test_every_word_of_the_texts_has_a_probability_after_any_history(texts: Texts, weights: Weights) -> None:
    trigram = estimate(texts, weights).full
    seen = {word for sentence in (*texts.hand_written, *texts.generated) for word in sentence.split()}
    assert {*seen, *texts.common, *texts.inflections} == set(trigram.vocabulary())
    assert all(trigram.probability(word, (START, "a")) > 0 for word in trigram.words)


@given(texts, st.floats(min_value=0, max_value=0.1), st.floats(min_value=0, max_value=0.1))
@settings(max_examples=30, deadline=None)
def test_stronger_pruning_keeps_fewer_of_the_same_trigrams(texts: Texts, one: float, other: float) -> None:
    learnt = estimate(texts)
    more, fewer = (set(learnt.pruned(worth).trigrams.items()) for worth in sorted((one, other)))
    assert fewer <= more <= set(learnt.full.trigrams.items())
    assert learnt.pruned(100.0).trigrams == {}


def test_a_sentence_that_counts_much_gives_as_much_to_unseen_words_as_one_that_counts_little() -> None:
    light = estimate(Texts(["a b"], [], WORDS, []), Weights(hand_written=1.0, empty_share=0)).full
    heavy = estimate(Texts(["a b"], [], WORDS, []), Weights(hand_written=80.0, empty_share=0)).full
    assert heavy.probability("b", (START, "a")) == pytest.approx(light.probability("b", (START, "a")))
    assert heavy.probability("c", (START, "a")) == pytest.approx(light.probability("c", (START, "a")))


def test_the_probabilities_are_those_computed_by_hand() -> None:
    found = Texts(["a b", "a b", "a c"], [], ["a", "b", "c"], [])
    settings = Weights(1, 1, 0, 2, 3, 0.5, 0.5, 0.25)
    trigram = estimate(found, settings).full
    # Seen after different words: a 1, b 1, c 1, the end 2 (b and c), twice each; and 3 for each word by itself.
    assert trigram.words == pytest.approx({"a": 5 / 19, "b": 5 / 19, "c": 5 / 19, END: 4 / 19})
    # Two bigrams after a give half an occurrence each to all words.
    assert trigram.bigrams["a", "b"] == pytest.approx((2 - 0.5 + 1.0 * 5 / 19) / 3)
    assert trigram.probability("a", ("a",)) == pytest.approx(1.0 / 3 * 5 / 19)
    assert trigram.trigrams[START, "a", "b"] == pytest.approx((2 - 0.25 + 0.5 * trigram.bigrams["a", "b"]) / 3)


def test_a_word_seen_after_many_hand_written_words_is_likelier_than_one_of_the_grammar() -> None:
    trigram = estimate(Texts(["a b", "c b"], ["a d", "c d"], WORDS, [])).full
    assert trigram.words["b"] > trigram.words["d"]


def test_an_inflection_is_rarer_than_a_common_word() -> None:
    trigram = estimate(Texts(["a b"], [], ["c"], ["f", "c"])).full
    assert trigram.words["f"] < trigram.words["c"]


@pytest.mark.parametrize("hand_written", [1.0, 300.0])
def test_the_share_of_utterances_without_words_is_that_of_the_settings(hand_written: float) -> None:
    many = Texts(["a b"] * 500, ["a b"] * 500, WORDS, [])
    trigram = estimate(many, Weights(hand_written=hand_written, empty_share=0.05)).full
    assert trigram.probability(END, (START,)) == pytest.approx(0.05 / 1.05, abs=0.005)


def test_an_unknown_word_has_no_probability() -> None:
    with pytest.raises(KeyError):
        estimate(Texts(["a b"], [], WORDS, [])).full.probability("zebra", ("a", "b"))


def test_no_sentences_make_no_model() -> None:
    with pytest.raises(LanguageModelError, match="no sentences"):
        estimate(Texts([], [], WORDS, []))


def test_the_perplexity_of_equally_likely_words_is_their_number() -> None:
    trigram = Trigram({**dict.fromkeys(WORDS, 1 / 6), END: 1 / 6}, {}, {}, {}, {})
    found = perplexity(trigram, ["a b", "", "c zebra"])
    assert found.value == pytest.approx(6)
    assert (found.predicted, found.unknown) == (6, 1)


def test_no_sentences_have_no_perplexity() -> None:
    with pytest.raises(LanguageModelError, match="no sentences"):
        perplexity(Trigram({END: 1.0}, {}, {}, {}, {}), [])


def test_a_sentence_left_out_to_choose_the_weights_is_not_learnt_from() -> None:
    unseen = Texts(["e d", *(["a b"] * 9)], [], WORDS, [])
    seen = unseen._replace(hand_written=["a b", *(["a b"] * 9)])
    assert development_perplexity(unseen, Weights()).value > 3 * development_perplexity(seen, Weights()).value
    assert development_perplexity(unseen, Weights()).unknown == 0


def test_generated_sentences_are_different_known_and_not_excluded() -> None:
    grammar = grammar_of("the {thing} broke", "the vase broke")
    known = {"the", "cup", "plate", "fork", "broke", "and"}
    found = generated(grammar, known, {"the cup broke"}, 4, random.Random(1))
    assert len(set(found)) == 4
    assert list(found) == sorted(found)
    assert "the cup broke" not in found
    assert {word for sentence in found for word in sentence.split()} <= known


def test_the_same_chance_generates_the_same_sentences() -> None:
    known = {"the", "cup", "plate", "fork", "and", "broke"}
    one, other = (generated(grammar_of("the {thing} broke"), known, (), 5, random.Random(7)) for _ in range(2))
    assert one == other


def test_a_grammar_with_too_few_sentences_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(LanguageModelError, match="only 1 different sentences instead of 50"):
        generated(grammar_of("hello"), {"hello"}, (), 50, random.Random(1))


def test_the_texts_hold_no_test_sentence_and_no_unknown_word(tmp_path: Path) -> None:
    files = {"sentences_1": "the cup broke\nthe plate broke\na zebra", "words": "spoon", "test_style": "the cup broke"}
    for name, text in {**files, "test_outside": "the fork broke", "more_words": "ladle"}.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    known = {"the", "cup", "cups", "plate", "fork", "broke", "spoon", "ladle", "a"}
    found = collect(known, grammar_of("the {thing} broke"), random.Random(1), 1, tmp_path)
    assert list(found.hand_written) == ["the plate broke"]
    assert found.generated == ("the plate broke",)
    assert {"spoon", "ladle", "cup", "plate"} <= set(found.common)
    assert "zebra" not in found.common
    assert "cups" not in found.common


def test_what_a_trigram_is_worth_falls_with_how_seldom_it_is() -> None:
    learnt: Estimate = estimate(Texts(["a b c"] * 20 + ["a b d"], [], WORDS, []))
    assert learnt.worth["a", "b", "c"] > learnt.worth["a", "b", "d"]
