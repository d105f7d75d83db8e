"""The weighted finite-state transducers of a decoding graph, each with the next one's input as its output.

H takes the transitions of the acoustic model to phones, L phones to words, G words to themselves with the weights of
the language model. Weights are negative natural logarithms. Labels of phones are `phones.KALDI_PHONE_IDS`; those of
words are the caller's; 0 is epsilon.

pynini must not meet Vosk in one process: both have OpenFst inside, and the process then hangs or crashes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pynini
import pywrapfst

from audio.demo_model.language_model import END, START, Trigram
from audio.demo_model.lexicon import Lexicon
from audio.demo_model.phones import KALDI_PHONE_IDS, KALDI_PHONES, PHONES, SILENCE, positioned

GARBAGE: Final = "[unk]"
"""The word of Vosk's grammars that stands for speech without any of their words."""

FIRST_SILENCE_SHARE: Final = 0.8
"""Of utterances begin with silence."""
SILENCE_SHARE: Final = 0.3
"""Of words are followed by silence."""
OTHER_PRONUNCIATION: Final = 0.6
"""Weight of each pronunciation of a word but the first, which has 1."""
GARBAGE_PHONE: Final = 1 / len(PHONES)
"""Weight of each phone of `GARBAGE`. With less, more of what is not in a grammar is taken for its words; with more,
words of the grammar are missed."""

BACKOFF_MARK: Final = len(KALDI_PHONES)
"""Marks are input labels of L that are no phones. This one lets the backoffs of G pass through L."""
GARBAGE_MARK: Final = BACKOFF_MARK + 1
"""Before and after the phones of `GARBAGE`, which would otherwise be the beginning of every word."""
FIRST_MARK: Final = BACKOFF_MARK + 2
"""From here on: after pronunciations that several words have or that others begin with, to tell them apart."""

EPSILON_LABEL: Final = 0

Fst = Any
"""A `pynini.Fst`; pynini comes without types."""


class LexiconError(ValueError):
    """A word that has no pronunciation. One sentence."""


def lexicon_fst(words: Sequence[str], lexicon: Lexicon, ids: Mapping[str, int], backoff: int | None = None) -> Fst:
    """L: any sequence of `words`, with or without silence at the beginning and after each word. No epsilons.

    Either G has backoffs with the label `backoff`, which L lets through, or, without it, backoffs are epsilons, and L
    has the word `GARBAGE` too: any two or more phones. Raises `LexiconError`.
    """
    builder = _LexiconBuilder()
    for phones, marked, word, cost in _pronunciations(words, lexicon):
        builder.add_word([*phones, *marked], ids[word], cost)
    if backoff is None:
        builder.add_garbage(ids[GARBAGE])
    else:
        builder.add_loop(BACKOFF_MARK, backoff)
    return builder.finished()


def language_fst(trigram: Trigram, ids: Mapping[str, int], backoff: int = EPSILON_LABEL) -> Fst:
    """G: the sentences of words, weighed by `trigram`, with input labels sorted.

    A state stands for the last words. From there go arcs for the words listed after them, and one with the input label
    `backoff` and no output to the state for a word less, where all others are.
    """
    histories: set[tuple[str, ...]] = {(), *((word,) for word in trigram.word_backoffs), *trigram.bigram_backoffs}
    fst = pynini.Fst()
    states = {history: fst.add_state() for history in sorted(histories)}
    fst.set_start(states[START,])

    def state_after(history: tuple[str, ...]) -> int:
        while history not in states:
            history = history[1:]
        return states[history]

    for gram, probability in _grams(trigram):
        state, word = states[gram[:-1]], gram[-1]
        if word == END:
            fst.set_final(state, _weight(probability))
        else:
            fst.add_arc(state, pynini.Arc(ids[word], ids[word], _weight(probability), state_after(gram[-2:])))
    for history, probability in _backoffs(trigram):
        arc = pynini.Arc(backoff, EPSILON_LABEL, _weight(probability), state_after(history[1:]))
        fst.add_arc(states[history], arc)
    fst.arcsort("ilabel")
    return fst


def minimal(fst: Fst) -> Fst:
    """`fst` with states that accept the same merged; weights stay where they are, which decoding needs."""
    fst = fst.copy()
    encoder = pywrapfst.EncodeMapper("standard", encode_labels=True, encode_weights=True)
    fst.encode(encoder)
    fst.minimize()
    fst.decode(encoder)
    return fst


def with_transitions(fst: Fst, *, keep_marks: bool) -> Fst:
    """H composed with `fst`, whose input labels are phones and marks: now they are Kaldi's transition ids.

    Phone p has one state with the transition 2p out of it and the loop 2p - 1. Kaldi's decoders want the transition
    first and the loop after it, on the state that it leads to ("reorder"), so a state that several phones lead to has a
    state before it for each of them. Marks are `transition_of_mark` afterwards, or epsilon.
    """
    before = _phones_before(fst)
    result = pynini.Fst()
    result.add_states(fst.num_states())
    result.set_start(fst.start())
    entrances: dict[tuple[int, int], int] = {}
    for state, phones in enumerate(before):
        if fst.final(state) != pynini.Weight.zero("tropical"):
            result.set_final(state, fst.final(state))
        if len(phones) == 1 and EPSILON_LABEL not in phones and state != fst.start():
            entrances[state, next(iter(phones))] = state
            result.add_arc(state, _loop(next(iter(phones)), state))
    for state in fst.states():
        for arc in fst.arcs(state):
            label, target = _transition(arc.ilabel, keep_marks), arc.nextstate
            if _is_phone(arc.ilabel):
                target = _entrance(result, entrances, arc.nextstate, arc.ilabel)
            result.add_arc(state, pynini.Arc(label, arc.olabel, arc.weight, target))
    return pynini.connect(result)


def transition_of_mark(mark: int) -> int:
    """The input label that stands for `mark` among transitions; decoders take it for epsilon."""
    return 2 * (len(KALDI_PHONES) - 1) + 1 + mark - BACKOFF_MARK


def input_marks(fst: Fst) -> tuple[int, ...]:
    """The marks among the input labels, sorted."""
    labels = {arc.ilabel for state in fst.states() for arc in fst.arcs(state)}
    return tuple(sorted(label for label in labels if label >= BACKOFF_MARK))


class _LexiconBuilder:
    """L while words are added: each is a path from the state `_between` back to it."""

    def __init__(self) -> None:
        self._fst = pynini.Fst()
        start, self._between, self._silent = (self._fst.add_state() for _ in range(3))
        self._fst.set_start(start)
        self._fst.set_final(self._between)
        silence = KALDI_PHONE_IDS[SILENCE]
        self._add(start, silence, EPSILON_LABEL, FIRST_SILENCE_SHARE, self._between)
        self._add(start, EPSILON_LABEL, EPSILON_LABEL, 1 - FIRST_SILENCE_SHARE, self._between)
        self._add(self._silent, silence, EPSILON_LABEL, 1.0, self._between)

    def add_word(self, labels: Sequence[int], word: int, probability: float) -> None:
        """A path with the input `labels` and the output `word`."""
        state, output = self._between, word
        for label in labels[:-1]:
            following = self._fst.add_state()
            self._add(state, label, output, probability, following)
            state, output, probability = following, EPSILON_LABEL, 1.0
        self._add_end(state, labels[-1], output, probability)

    def add_garbage(self, word: int) -> None:
        """Paths with any two or more phones and the output `word`."""
        first, inside, last = (self._fst.add_state() for _ in range(3))
        self._add(self._between, GARBAGE_MARK, word, 1.0, first)
        for phone in PHONES:
            begin, internal, end = (KALDI_PHONE_IDS[name] for name in positioned((phone,) * 3))
            self._add(first, begin, EPSILON_LABEL, GARBAGE_PHONE, inside)
            self._add(inside, internal, EPSILON_LABEL, GARBAGE_PHONE, inside)
            self._add(inside, end, EPSILON_LABEL, GARBAGE_PHONE, last)
        self._add_end(last, GARBAGE_MARK, EPSILON_LABEL, 1.0)

    def add_loop(self, label: int, output: int) -> None:
        """`label` between words."""
        self._add(self._between, label, output, 1.0, self._between)

    def finished(self) -> Fst:
        return self._fst.rmepsilon()

    def _add_end(self, state: int, label: int, output: int, probability: float) -> None:
        self._add(state, label, output, probability * (1 - SILENCE_SHARE), self._between)
        self._add(state, label, output, probability * SILENCE_SHARE, self._silent)

    def _add(self, state: int, label: int, output: int, probability: float, target: int) -> None:
        self._fst.add_arc(state, pynini.Arc(label, output, _weight(probability), target))


def _pronunciations(
    words: Sequence[str], lexicon: Lexicon
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], str, float]]:
    """The phones, the marks after them, the word and its weight of each pronunciation."""
    if missing := [word for word in words if not lexicon.get(word)]:
        raise LexiconError(f"the lexicon has no pronunciation of {missing[0]!r}; leave the word out or add one")
    spoken = [
        (tuple(KALDI_PHONE_IDS[name] for name in positioned(phones)), word, OTHER_PRONUNCIATION if rank else 1.0)
        for word in words
        for rank, phones in enumerate(lexicon[word])
    ]
    times = Counter(phones for phones, _, _ in spoken)
    beginnings = {phones[:length] for phones in times for length in range(1, len(phones))}
    used: Counter[tuple[int, ...]] = Counter()
    for phones, word, probability in spoken:
        marks: tuple[int, ...] = ()
        if times[phones] > 1 or phones in beginnings:
            marks = (FIRST_MARK + used[phones],)
            used[phones] += 1
        yield phones, marks, word, probability


def _grams(trigram: Trigram) -> Iterator[tuple[tuple[str, ...], float]]:
    for word, probability in trigram.words.items():
        yield (word,), probability
    yield from trigram.bigrams.items()
    yield from trigram.trigrams.items()


def _backoffs(trigram: Trigram) -> Iterator[tuple[tuple[str, ...], float]]:
    for word, probability in trigram.word_backoffs.items():
        yield (word,), probability
    yield from trigram.bigram_backoffs.items()


def _weight(probability: float) -> Any:
    return pynini.Weight("tropical", -math.log(probability))


def _is_phone(label: int) -> bool:
    return EPSILON_LABEL < label < BACKOFF_MARK


def _phones_before(fst: Fst) -> list[set[int]]:
    """For each state the phones of the arcs to it, with epsilon for those without a phone."""
    phones: dict[int, set[int]] = defaultdict(set)
    for state in fst.states():
        for arc in fst.arcs(state):
            phones[arc.nextstate].add(arc.ilabel if _is_phone(arc.ilabel) else EPSILON_LABEL)
    return [phones[state] for state in fst.states()]


def _transition(label: int, keep_marks: bool) -> int:
    if _is_phone(label):
        return 2 * label
    return transition_of_mark(label) if label != EPSILON_LABEL and keep_marks else EPSILON_LABEL


def _loop(phone: int, state: int) -> Any:
    return pynini.Arc(2 * phone - 1, EPSILON_LABEL, _weight(1.0), state)


def _entrance(fst: Fst, entrances: dict[tuple[int, int], int], state: int, phone: int) -> int:
    """The state before `state`, or itself, that the loop of `phone` is on."""
    if (state, phone) not in entrances:
        entrance = fst.add_state()
        fst.add_arc(entrance, _loop(phone, entrance))
        fst.add_arc(entrance, pynini.Arc(EPSILON_LABEL, EPSILON_LABEL, _weight(1.0), state))
        entrances[state, phone] = entrance
    return entrances[state, phone]
