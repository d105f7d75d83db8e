"""The decoding graph: from states of the acoustic model to words, as weighted finite-state transducers.

L takes phones to words, G weighs words by the language model, H takes the transitions of the acoustic model to phones.
Vosk reads either their composition, HCLG, or two graphs that it composes while it decodes (Kaldi's
`mkgraph_lookahead.sh`): HCLr, which is L and H, and Gr, which is G. The pair is small, and Vosk can put a grammar of
its caller in the place of Gr.
"""

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import pynini
import pywrapfst

from audio.demo_model import openfst
from audio.demo_model.language_model import Estimate, Trigram
from audio.demo_model.lexicon import Lexicon
from audio.demo_model.phones import EPSILON, word_boundary_lines
from audio.demo_model.transducers import (
    GARBAGE,
    Fst,
    input_marks,
    language_fst,
    lexicon_fst,
    minimal,
    transition_of_mark,
    with_transitions,
)

PRUNINGS: Final = (0.0, *(10 ** (exponent / 4) for exponent in range(-28, 1)))
"""What `fitting` chooses from: the worth up to which trigrams are dropped."""
BUDGET_BYTES: Final = 5_350_000

Files = dict[str, bytes]
"""The content of files, by their paths in the folder `graph`."""


class GraphError(ValueError):
    """A graph that cannot be made. One sentence."""


class Graph(enum.Enum):
    """What Vosk is given to decode with."""

    STATIC = enum.auto()
    """`HCLG.fst`. Decodes in half the time, is some five times larger, and takes no grammar at run time."""
    LOOKAHEAD = enum.auto()
    """`HCLr.fst` and `Gr.fst`."""


class Fitted(NamedTuple):
    """A graph within a budget."""

    pruning: float
    trigram: Trigram
    files: Files


def build(trigram: Trigram, lexicon: Lexicon, kind: Graph = Graph.LOOKAHEAD) -> Files:
    """The folder `graph` of a model that knows the words of `trigram`.

    Raises `transducers.LexiconError` for a word that `lexicon` lacks, `openfst.OpenFstError` without OpenFst's tools.
    """
    if kind is Graph.STATIC:
        return _static(trigram, lexicon)
    words, files = _lookahead_lexicon(trigram.vocabulary(), lexicon)
    return files | _lookahead_language(trigram, words)


def fitting(
    estimate: Estimate, lexicon: Lexicon, budget_bytes: int = BUDGET_BYTES, kind: Graph = Graph.LOOKAHEAD
) -> Fitted:
    """The graph of the least pruned model whose files take at most `budget_bytes`.

    Raises as `build` does, and `GraphError` if none is small enough.
    """
    if kind is Graph.LOOKAHEAD:
        words, shared = _lookahead_lexicon(estimate.full.vocabulary(), lexicon)

    @functools.cache
    def files_of(pruning: float) -> Files:
        trigram = estimate.pruned(pruning)
        return _static(trigram, lexicon) if kind is Graph.STATIC else shared | _lookahead_language(trigram, words)

    pruning = least_fitting(PRUNINGS, lambda tried: size_bytes(files_of(tried)), budget_bytes)
    return Fitted(pruning, estimate.pruned(pruning), files_of(pruning))


def least_fitting(values: Sequence[float], size_of: Callable[[float], int], budget: int) -> float:
    """The first of `values` with a size within `budget`; sizes fall from value to value, so few of them are tried.

    Raises `GraphError` if none is.
    """
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if size_of(values[middle]) <= budget:
            high = middle
        else:
            low = middle + 1
    if low == len(values):
        raise GraphError(f"the graph takes more than {budget} bytes even with the trigrams pruned most")
    return values[low]


def size_bytes(files: Mapping[str, bytes]) -> int:
    """Of all files together."""
    return sum(map(len, files.values()))


def _static(trigram: Trigram, lexicon: Lexicon) -> Files:
    vocabulary = trigram.vocabulary()
    ids = {word: number for number, word in enumerate((EPSILON, *vocabulary))}
    backoff = len(ids)
    phones_to_words = lexicon_fst(vocabulary, lexicon, ids, backoff)
    phones_to_words.arcsort("olabel")
    weighed = pynini.determinize(pynini.compose(phones_to_words, language_fst(trigram, ids, backoff)))
    graph = with_transitions(minimal(weighed), keep_marks=False)
    graph.arcsort("ilabel")
    return {"HCLG.fst": _constant(graph), **_tables(ids)}


def _lookahead_lexicon(vocabulary: Sequence[str], lexicon: Lexicon) -> tuple[dict[str, int], Files]:
    """The ids of the words, which follow from the structure of HCLr, and all files but `Gr.fst`."""
    ids = {word: number for number, word in enumerate((EPSILON, *vocabulary, GARBAGE))}
    phones_to_words = minimal(pynini.determinize(lexicon_fst(vocabulary, lexicon, ids)))
    graph = with_transitions(phones_to_words, keep_marks=True)
    graph.arcsort("olabel")
    content, relabelled = openfst.lookahead(graph.write_to_string())
    ids = {word: relabelled[number] if number else number for word, number in ids.items()}
    marks = "".join(f"{transition_of_mark(mark)}\n" for mark in input_marks(phones_to_words))
    return ids, {"HCLr.fst": content, "disambig_tid.int": marks.encode(), **_tables(ids)}


def _lookahead_language(trigram: Trigram, ids: Mapping[str, int]) -> Files:
    return {"Gr.fst": _constant(language_fst(trigram, ids))}


def _constant(fst: Fst) -> bytes:
    """`fst` in the type that takes little memory and is quick to walk."""
    content: bytes = pywrapfst.convert(fst, "const").write_to_string()
    return content


def _tables(ids: Mapping[str, int]) -> Files:
    words = "".join(f"{word} {number}\n" for word, number in sorted(ids.items(), key=lambda item: item[1]))
    boundaries = "".join(f"{line}\n" for line in word_boundary_lines())
    return {"words.txt": words.encode(), "phones/word_boundary.int": boundaries.encode()}
