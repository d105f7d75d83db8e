"""The language model: a word trigram with interpolated absolute discounting, pruned, and its perplexity.

A hand-written sentence counts many times what a generated one does, but it was seen once. So each n-gram is discounted
by a share of one occurrence of it, and not of one count. The word probabilities under the bigrams are those of Kneser
and Ney (1995): what counts is how many different words a word was seen after, not how often.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from audio.demo_model import corpus
from audio.demo_model.grammar import Grammar

START: Final = "<s>"
END: Final = "</s>"

GENERATED_SENTENCES: Final = 40_000
DEVELOPMENT_EVERY: Final = 10
"""One hand-written sentence in so many is for choosing `Weights`."""

_ATTEMPTS_PER_SENTENCE: Final = 20
_LEAST_MASS: Final = 1e-9
"""Stands for the probability left to words that were not seen, where rounding leaves none."""

Bigram = tuple[str, str]
_Triple = tuple[str, str, str]
_Gram = tuple[str, ...]


class LanguageModelError(ValueError):
    """Texts that no language model can be made from. One sentence."""


class Weights(NamedTuple):
    """What each kind of text counts, and how much of it is given to what was not seen.

    The defaults are the best of those tried with `development_perplexity`; no test sentence took part.
    """

    hand_written: float = 320.0
    """Of a hand-written sentence."""
    generated: float = 1.0
    """Of a sentence of the grammar."""
    empty_share: float = 0.002
    """Of utterances are without words, so that noise does not have to be one."""
    written_pair: float = 20.0
    """Of each word that a word was seen after in hand-written sentences, one seen after in generated ones being 1."""
    common_word: float = 20.0
    """Of a common word by itself."""
    inflection: float = 0.5
    """Of a further form of a common word by itself."""
    bigram_discount: float = 0.85
    """The share of one occurrence of a bigram that goes to the words not seen after its first word."""
    trigram_discount: float = 0.9
    """The same of a trigram."""


class Texts(NamedTuple):
    """All that a language model is made from. Every word in it is a word of the model."""

    hand_written: Sequence[str]
    generated: Sequence[str]
    common: Collection[str]
    inflections: Collection[str]


@dataclass(frozen=True)
class Trigram:
    """P(word | history), words and `END` being what is predicted, `START` where a sentence begins.

    An n-gram that is not listed has the probability of the one that is a word shorter, times the history's backoff.
    """

    words: Mapping[str, float]
    """P(word) of every word and of `END`."""
    bigrams: Mapping[Bigram, float]
    """P(second | first)."""
    word_backoffs: Mapping[str, float]
    """For each first word of `bigrams`."""
    trigrams: Mapping[_Triple, float]
    """P(third | first, second)."""
    bigram_backoffs: Mapping[Bigram, float]
    """For each first two words of `trigrams`."""

    def probability(self, word: str, history: Sequence[str]) -> float:
        """P(word | the last two words of `history`). Raises `KeyError` for a word that is not in the model."""
        last = tuple(history[-2:])
        if len(last) == 2:
            trigram = (last[0], last[1], word)
            if trigram in self.trigrams:
                return self.trigrams[trigram]
            return self.bigram_backoffs.get((last[0], last[1]), 1.0) * self.probability(word, last[1:])
        if len(last) == 1:
            bigram = (last[0], word)
            if bigram in self.bigrams:
                return self.bigrams[bigram]
            return self.word_backoffs.get(last[0], 1.0) * self.words[word]
        return self.words[word]

    def vocabulary(self) -> tuple[str, ...]:
        """Its words, sorted, without `END`."""
        return tuple(sorted(word for word in self.words if word != END))


class Perplexity(NamedTuple):
    """How well a model predicts sentences."""

    value: float
    predicted: int
    """Words that the model knows, and ends of sentences."""
    unknown: int
    """Words that it does not know, which do not enter `value`."""


@dataclass(frozen=True)
class Estimate:
    """All that was learnt from texts, before pruning."""

    full: Trigram
    worth: Mapping[_Triple, float]
    """For each trigram how much it adds to the mean log probability (natural) of a word of the texts."""

    def pruned(self, least_worth: float) -> Trigram:
        """The model without the trigrams that are worth `least_worth` or less; never with one that does harm (below 0).

        What they had goes to the backoffs: the probabilities after every history still add up to 1.
        """
        kept = {gram: p for gram, p in self.full.trigrams.items() if self.worth[gram] > max(0.0, least_worth)}
        return replace(self.full, trigrams=kept, bigram_backoffs=_bigram_backoffs(kept, self.full))


class _Counts:
    """Weighted counts of the n-grams of one length."""

    def __init__(self) -> None:
        self.totals: dict[_Gram, float] = {}
        self.occurrences: dict[_Gram, float] = {}
        """What one occurrence counts; of several kinds of text, the weightiest one's."""

    def add(self, gram: _Gram, weight: float, occurrences: float = 1.0) -> None:
        self.totals[gram] = self.totals.get(gram, 0.0) + weight * occurrences
        self.occurrences[gram] = max(self.occurrences.get(gram, 0.0), weight)

    def interpolated(self, discount: float, lower: Callable[[_Gram], float]) -> dict[_Gram, float]:
        """P(last word | the words before it) of each n-gram; `lower` gives the estimate without the first word."""
        seen: dict[_Gram, float] = {}
        freed: dict[_Gram, float] = {}
        for gram, total in self.totals.items():
            seen[gram[:-1]] = seen.get(gram[:-1], 0.0) + total
            freed[gram[:-1]] = freed.get(gram[:-1], 0.0) + discount * self.occurrences[gram]
        return {
            gram: (total - discount * self.occurrences[gram] + freed[gram[:-1]] * lower(gram[1:])) / seen[gram[:-1]]
            for gram, total in self.totals.items()
        }


def estimate(texts: Texts, weights: Weights = Weights()) -> Estimate:  # noqa: B008  it is immutable
    """Learn from `texts`. Raises `LanguageModelError` if there is no sentence."""
    if not texts.hand_written and not texts.generated:
        raise LanguageModelError("there are no sentences to make a language model from")
    bigram_counts, trigram_counts = _count(texts, weights)
    words = _word_probabilities(texts, bigram_counts.totals, weights)
    found_bigrams = bigram_counts.interpolated(weights.bigram_discount, lambda gram: words[gram[0]])
    bigrams = {(first, second): p for (first, second), p in found_bigrams.items()}
    word_backoffs = {gram[0]: p for gram, p in _backoffs((g, p, words[g[1]]) for g, p in bigrams.items()).items()}
    below = Trigram(words, bigrams, word_backoffs, {}, {})
    found = trigram_counts.interpolated(weights.trigram_discount, lambda gram: below.probability(gram[1], gram[:1]))
    trigrams = {(first, second, third): p for (first, second, third), p in found.items()}
    full = Trigram(words, bigrams, word_backoffs, trigrams, _bigram_backoffs(trigrams, below))
    tokens_in_all = sum(bigram_counts.totals.values())
    worth = {gram: trigram_counts.totals[gram] / tokens_in_all * _gain(full, gram) for gram in trigrams}
    return Estimate(full, worth)


def collect(
    lexicon: Collection[str],
    grammar: Grammar,
    rng: random.Random,
    count: int = GENERATED_SENTENCES,
    folder: Path = corpus.TEXT_FOLDER,
) -> Texts:
    """The texts of the demonstration model: those in `folder`, `count` sentences of `grammar`, none held out.

    Sentences with a word that `lexicon` lacks are left out. Raises as `corpus.sentences` and `generated` do.
    """
    hand_written = [sentence for sentence in corpus.written(folder) if corpus.is_known(sentence, lexicon)]
    vocabulary = corpus.vocabulary(lexicon, grammar, hand_written, folder)
    sentences = generated(grammar, lexicon, corpus.held_out(folder), count, rng)
    common = {*vocabulary.common, *(word for word in corpus.more_words(folder) if word in lexicon)}
    inflections = [word for word in vocabulary.inflections if word not in common]
    return Texts(hand_written, sentences, sorted(common), inflections)


def generated(
    grammar: Grammar, lexicon: Collection[str], excluded: Collection[str], count: int, rng: random.Random
) -> tuple[str, ...]:
    """`count` different sentences of `grammar`, sorted, none of them in `excluded` and all their words in `lexicon`.

    Raises `LanguageModelError` if the grammar has too few.
    """
    found: set[str] = set()
    for _ in range(count * _ATTEMPTS_PER_SENTENCE):
        if len(found) == count:
            break
        sentence = grammar.generate(rng)
        if sentence not in excluded and corpus.is_known(sentence, lexicon):
            found.add(sentence)
    if len(found) < count:
        raise LanguageModelError(f"the grammar gave only {len(found)} different sentences instead of {count}")
    return tuple(sorted(found))


def perplexity(trigram: Trigram, sentences: Iterable[str]) -> Perplexity:
    """How well `trigram` predicts `sentences`, each with its end. Raises `LanguageModelError` if there are none."""
    log_probability, predicted, unknown = 0.0, 0, 0
    for sentence in sentences:
        tokens = (START, *sentence.split(), END)
        for at in range(1, len(tokens)):
            if tokens[at] not in trigram.words:
                unknown += 1
                continue
            log_probability += math.log(trigram.probability(tokens[at], tokens[max(0, at - 2) : at]))
            predicted += 1
    if not predicted:
        raise LanguageModelError("there are no sentences to compute the perplexity of")
    return Perplexity(math.exp(-log_probability / predicted), predicted, unknown)


def development_perplexity(texts: Texts, weights: Weights) -> Perplexity:
    """The perplexity of every tenth hand-written sentence under the unpruned model of all other texts.

    To choose `Weights` by, so that test sentences are only tested with. A word that only the sentences left out have
    remains a word of the model.
    """
    held_out = texts.hand_written[::DEVELOPMENT_EVERY]
    kept = [sentence for at, sentence in enumerate(texts.hand_written) if at % DEVELOPMENT_EVERY]
    common = {*texts.common, *_words_of(held_out)} - set(texts.inflections)
    reduced = texts._replace(hand_written=kept, common=sorted(common))
    return perplexity(estimate(reduced, weights).full, held_out)


def _count(texts: Texts, weights: Weights) -> tuple[_Counts, _Counts]:
    """All bigrams and trigrams."""
    bigrams, trigrams = _Counts(), _Counts()
    for sentences, weight in ((texts.hand_written, weights.hand_written), (texts.generated, weights.generated)):
        for sentence in sentences:
            tokens = (START, *sentence.split(), END)
            for gram in pairwise(tokens):
                bigrams.add(gram, weight)
            for triple in zip(tokens, tokens[1:], tokens[2:], strict=False):
                trigrams.add(triple, weight)
    utterances = len(texts.hand_written) * weights.hand_written + len(texts.generated) * weights.generated
    empty = utterances * weights.empty_share
    if empty > 0:
        occurrence = min(weights.generated, empty)
        bigrams.add((START, END), occurrence, empty / occurrence)
    return bigrams, trigrams


def _words_of(sentences: Iterable[str]) -> set[str]:
    return {word for sentence in sentences for word in sentence.split()}


def _word_probabilities(texts: Texts, bigrams: Iterable[_Gram], weights: Weights) -> dict[str, float]:
    written = {gram for sentence in texts.hand_written for gram in pairwise((START, *sentence.split(), END))}
    counts: dict[str, float] = defaultdict(float)
    for gram in bigrams:
        counts[gram[1]] += weights.written_pair if gram in written else 1.0
    words = {*texts.common, *texts.inflections, *_words_of(texts.hand_written), *_words_of(texts.generated)}
    rare = set(texts.inflections) - set(texts.common)
    masses = {
        word: counts[word] + (weights.inflection if word in rare else weights.common_word) for word in sorted(words)
    }
    masses[END] = counts[END]
    total = sum(masses.values())
    return {word: mass / total for word, mass in masses.items()}


def _backoffs(grams: Iterable[tuple[_Gram, float, float]]) -> dict[_Gram, float]:
    """What makes the probabilities after each history add up to 1, from n-grams, their probabilities and lower ones."""
    seen: dict[_Gram, float] = {}
    lower_seen: dict[_Gram, float] = {}
    for gram, probability, lower in grams:
        seen[gram[:-1]] = seen.get(gram[:-1], 0.0) + probability
        lower_seen[gram[:-1]] = lower_seen.get(gram[:-1], 0.0) + lower
    return {h: max(_LEAST_MASS, 1 - seen[h]) / max(_LEAST_MASS, 1 - lower_seen[h]) for h in seen}


def _bigram_backoffs(trigrams: Mapping[_Triple, float], below: Trigram) -> dict[Bigram, float]:
    grams = ((gram, p, below.probability(gram[2], gram[1:2])) for gram, p in trigrams.items())
    return {(gram[0], gram[1]): p for gram, p in _backoffs(grams).items()}


def _gain(full: Trigram, gram: _Triple) -> float:
    """By how much the log probability of `gram` is above what the backoff says."""
    backed_off = full.bigram_backoffs[gram[:2]] * full.probability(gram[2], gram[1:2])
    return math.log(full.trigrams[gram] / backed_off)
