"""The texts of the demonstration model: sentences to be learnt, sentences to be tested with, and the vocabulary."""

import random
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from audio.demo_model.grammar import Grammar

TEXT_FOLDER: Final = Path(__file__).parent / "text"

HAND_WRITTEN_SHARE: Final = 0.25
GRAMMAR_SHARE: Final = 0.35
COMMON_SHARE: Final = 0.7  # of the texts of random words; the others are of rare words
RANDOM_WORDS: Final = (3, 9)  # in one text, both ends included

RARE_WORD_LETTERS: Final = (3, 10)
CONTENT_WORD_LETTERS: Final = 4  # at least; shorter words are mostly function words, which are not inflected

_LINE: Final = re.compile(r"[a-z']+(?: [a-z']+)*")


class CorpusError(ValueError):
    """A text file has a line that cannot be spoken; the message says which."""


class TestSentences(NamedTuple):
    """Sentences that neither the network nor the language model may learn from."""

    style: tuple[str, ...]
    """In the style of the training sentences."""
    outside: tuple[str, ...]
    """About anything."""


class Vocabulary(NamedTuple):
    """The words of the model, each list sorted; no word is in both `common` and `inflections`."""

    common: tuple[str, ...]
    """Words of the sentences, the grammar and the word list that the lexicon knows."""
    inflections: tuple[str, ...]
    """Further forms of the content words of the sentences and the grammar that the lexicon knows."""
    rare: tuple[str, ...]
    """Words of the lexicon for phonetic coverage, not for the language model; common words are among them."""


def sentences(folder: Path = TEXT_FOLDER) -> tuple[str, ...]:
    """The training sentences that are spoken: those of `sentences_*.txt`, each once, held-out sentences left out.

    Raises `CorpusError` for a malformed line, `OSError` if a file is missing.
    """
    return _training_lines(folder, "sentences_*.txt")


def written(folder: Path = TEXT_FOLDER) -> tuple[str, ...]:
    """The training sentences of the language model: those that are spoken, and those of `language_*.txt`.

    The latter make it better without any more training of the network. Errors as in `sentences`.
    """
    return tuple(dict.fromkeys((*sentences(folder), *_training_lines(folder, "language_*.txt"))))


def words(folder: Path = TEXT_FOLDER) -> tuple[str, ...]:
    """The common words of `words.txt`; errors as in `sentences`."""
    return tuple(_lines(folder / "words.txt"))


def more_words(folder: Path = TEXT_FOLDER) -> tuple[str, ...]:
    """Further words for the language model alone, of `more_words.txt`; errors as in `sentences`."""
    return tuple(_lines(folder / "more_words.txt"))


def test_sentences(folder: Path = TEXT_FOLDER) -> TestSentences:  # noqa: PT028  no test function, despite its name
    """The held-out sentences of `test_style.txt` and `test_outside.txt`; errors as in `sentences`."""
    return TestSentences(tuple(_lines(folder / "test_style.txt")), tuple(_lines(folder / "test_outside.txt")))


def development_sentences(folder: Path = TEXT_FOLDER) -> TestSentences:
    """Sentences that nothing is learnt from either, but that settings may be chosen by: `development_*.txt`."""
    style, outside = (_lines(folder / f"development_{name}.txt") for name in TestSentences._fields)
    return TestSentences(tuple(style), tuple(outside))


def held_out(folder: Path = TEXT_FOLDER) -> frozenset[str]:
    """Every sentence of `test_*.txt` and `development_*.txt`, which nothing may be learnt from."""
    paths = (*folder.glob("test_*.txt"), *folder.glob("development_*.txt"))
    return frozenset(line for path in paths for line in _lines(path))


def vocabulary(
    lexicon: Collection[str], grammar: Grammar, learnt: Collection[str], folder: Path = TEXT_FOLDER
) -> Vocabulary:
    """The words of the sentences `learnt`, of `grammar` and of the word list in `folder`, as far as `lexicon` has them.

    Errors as in `words`.
    """
    spoken = {word for sentence in learnt for word in sentence.split()} | grammar.words()
    common = {word for word in spoken | set(words(folder)) if word in lexicon}
    content = {word for word in spoken & common if len(word) >= CONTENT_WORD_LETTERS and "'" not in word}
    forms = {form for word in content for form in inflections(word) if form in lexicon}
    shortest, longest = RARE_WORD_LETTERS
    rare = (word for word in lexicon if shortest <= len(word) <= longest and word.isascii() and word.isalpha())
    return Vocabulary(tuple(sorted(common)), tuple(sorted(forms - common)), tuple(sorted(rare)))


def inflections(word: str) -> tuple[str, ...]:
    """What may be the plural, the past and the -ing form of `word`; a lexicon has to tell which of them exist."""
    stem = word.removesuffix("e")
    forms = (word + "s", word + "es", stem + "ed", stem + "ing")
    return (*forms, word[:-1] + "ies", word[:-1] + "ied") if word.endswith("y") else forms


def is_known(text: str, lexicon: Collection[str]) -> bool:
    """Whether `lexicon` has every word of `text`; only then can the text be learnt from."""
    return all(word in lexicon for word in text.split())


def training_text(
    rng: random.Random,
    grammar: Grammar,
    sentences: Sequence[str],
    common_words: Sequence[str],
    rare_words: Sequence[str],
) -> str:
    """One text to be spoken: one of `sentences`, an utterance of `grammar` or random words.

    The text may hold words that the lexicon lacks if the sentences or the grammar do; see `is_known`.
    """
    share = rng.random()
    if share < HAND_WRITTEN_SHARE:
        return rng.choice(sentences)
    if share < HAND_WRITTEN_SHARE + GRAMMAR_SHARE:
        return grammar.generate(rng)
    source = common_words if rng.random() < COMMON_SHARE else rare_words
    return " ".join(rng.choice(source) for _ in range(rng.randint(*RANDOM_WORDS)))


def _training_lines(folder: Path, pattern: str) -> tuple[str, ...]:
    """The lines of all files of a pattern, in the order of the files' names."""
    test_sentences(folder)  # raises where they are missing: without them nothing would keep them out
    kept_out = held_out(folder)
    lines = (line for path in sorted(folder.glob(pattern)) for line in _lines(path))
    return tuple(line for line in dict.fromkeys(lines) if line not in kept_out)


def _lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = " ".join(line.split())
        if not text:
            continue
        if not _LINE.fullmatch(text):
            raise CorpusError(f"{path}, line {number}: only words of a to z and ', in lower case, can be spoken")
        yield text
