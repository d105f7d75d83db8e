"""The decoding graph: lexicon, language model and transitions as transducers, and what Vosk makes of them."""

import importlib.util
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pynini = pytest.importorskip("pynini")

from audio.demo_model import openfst  # noqa: E402
from audio.demo_model.graph import (  # noqa: E402
    Graph,
    GraphError,
    build,
    fitting,
    least_fitting,
    size_bytes,
)
from audio.demo_model.language_model import END, START, Texts, Trigram, Weights, estimate  # noqa: E402
from audio.demo_model.lexicon import Lexicon, load  # noqa: E402
from audio.demo_model.phones import KALDI_PHONE_IDS, KALDI_PHONES, positioned  # noqa: E402
from audio.demo_model.transducers import (  # noqa: E402
    FIRST_SILENCE_SHARE,
    GARBAGE,
    GARBAGE_PHONE,
    OTHER_PRONUNCIATION,
    SILENCE_SHARE,
    LexiconError,
    input_marks,
    language_fst,
    lexicon_fst,
    minimal,
    transition_of_mark,
    with_transitions,
)
from audio.model import DEMONSTRATION  # noqa: E402

LEXICON: Lexicon = {
    "a": (("AH",), ("EY",)),
    "cat": (("K", "AE", "T"),),
    "cats": (("K", "AE", "T", "S"),),
    "read": (("R", "EH", "D"), ("R", "IY", "D")),
    "red": (("R", "EH", "D"),),
    "reed": (("R", "IY", "D"),),
}
WORDS = tuple(sorted(LEXICON))
IDS = {word: number for number, word in enumerate(("<eps>", *WORDS, GARBAGE))}
NAMES = {number: word for word, number in IDS.items()}
SENTENCES = ["a cat read a red reed", "a red cat", "red cats read", "cats read", "a reed", "a cat read a reed"]
LEARNT = estimate(Texts(SENTENCES, SENTENCES[:2], WORDS, []))
TRIGRAM = LEARNT.full
PRUNED = LEARNT.pruned(sorted(LEARNT.worth.values())[len(LEARNT.worth) // 2])
SPEECH = Path(__file__).parents[3] / "demo" / "speech"

# Not by importing it: with pynini in the same process that would hang.
needs_vosk = pytest.mark.skipif(not importlib.util.find_spec("vosk"), reason="vosk is not installed")
needs_openfst = pytest.mark.skipif(not openfst.is_installed(), reason="libfst-tools is not installed")

# A word, the number of one of its pronunciations, how long each phone lasts, how long the silence afterwards.
spoken_words = st.tuples(
    st.sampled_from(WORDS), st.integers(0, 1), st.lists(st.integers(1, 3), min_size=4, max_size=4), st.integers(0, 2)
)
utterances = st.lists(spoken_words, max_size=5)


def held(phone: str, frames: int) -> list[int]:
    """The transitions of a phone for so many frames."""
    number = KALDI_PHONE_IDS[phone]
    return [2 * number, *[2 * number - 1] * (frames - 1)] if frames else []


def frames_of(
    utterance: Sequence[tuple[str, int, Sequence[int], int]], first_silence: int = 0, lexicon: Lexicon = LEXICON
) -> list[int]:
    transitions = held("SIL", first_silence)
    for word, rank, durations, silence in utterance:
        phones = positioned(lexicon[word][min(rank, len(lexicon[word]) - 1)])
        for phone, frames in zip(phones, durations, strict=False):
            transitions += held(phone, frames)
        transitions += held("SIL", silence)
    return transitions


def chain(labels: Sequence[int]) -> Any:
    """An acceptor of just these labels."""
    fst = pynini.Fst()
    state = fst.add_state()
    fst.set_start(state)
    for label in labels:
        following = fst.add_state()
        fst.add_arc(state, pynini.Arc(label, label, pynini.Weight.one("tropical"), following))
        state = following
    fst.set_final(state)
    return fst


def readings(fst: Any, labels: Sequence[int]) -> dict[tuple[str, ...], float]:
    """What `fst` makes of `labels`: the words of every path, and the weight of the lightest."""
    found: dict[tuple[str, ...], float] = {}
    paths = pynini.compose(chain(labels), fst.copy().arcsort("ilabel")).paths()
    while not paths.done():
        words = tuple(NAMES[label] for label in paths.olabels() if label)
        found[words] = min(found.get(words, math.inf), float(paths.weight()))
        paths.next()
    return found


def lexicon_with_transitions() -> Any:
    return with_transitions(minimal(pynini.determinize(lexicon_fst(WORDS, LEXICON, IDS))), keep_marks=False)


LEXICON_FST = lexicon_with_transitions()


@given(utterances, st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_any_words_are_read_from_their_phones_with_or_without_silence(
    utterance: list[tuple[str, int, list[int], int]], first_silence: int
) -> None:
    found = readings(LEXICON_FST, frames_of(utterance, first_silence))
    assert tuple(word for word, *_ in utterance) in found


def test_all_words_that_sound_the_same_are_read_and_no_others() -> None:
    found = readings(LEXICON_FST, frames_of([("red", 0, [1, 1, 1], 0)]))
    assert set(found) == {("red",), ("read",), (GARBAGE,)}


def test_silence_and_rarer_pronunciations_weigh_what_the_constants_say() -> None:
    speech = frames_of([("a", 1, [1], 2), ("cat", 0, [1, 1, 1], 0)], first_silence=1)
    shares = (FIRST_SILENCE_SHARE, OTHER_PRONUNCIATION, SILENCE_SHARE, 1 - SILENCE_SHARE)
    assert readings(LEXICON_FST, speech)["a", "cat"] == pytest.approx(-math.log(math.prod(shares)), abs=1e-4)
    speech = frames_of([("a", 0, [1], 0)])
    plain = (1 - FIRST_SILENCE_SHARE) * (1 - SILENCE_SHARE)
    assert readings(LEXICON_FST, speech)["a",] == pytest.approx(-math.log(plain), abs=1e-4)


def test_a_phone_begins_with_its_forward_transition_and_only_then_loops() -> None:
    forward, loop = held("AH_S", 2)
    assert ("a",) in readings(LEXICON_FST, [forward, loop, loop])
    assert not readings(LEXICON_FST, [loop, forward])
    assert not readings(LEXICON_FST, [loop])


def test_an_unknown_word_of_two_or_more_phones_is_garbage() -> None:
    lexicon = LEXICON | {"zoo": (("Z", "UW"),), "oh": (("OW",),)}
    found = readings(LEXICON_FST, frames_of([("zoo", 0, [2, 1], 0)], lexicon=lexicon))
    expected = -math.log(GARBAGE_PHONE**2 * (1 - FIRST_SILENCE_SHARE) * (1 - SILENCE_SHARE))
    assert found == {(GARBAGE,): pytest.approx(expected, abs=1e-4)}
    assert not readings(LEXICON_FST, frames_of([("oh", 0, [1], 0)], lexicon=lexicon))


def test_garbage_is_a_word_among_others() -> None:
    lexicon = LEXICON | {"zoo": (("Z", "UW"),)}
    found = readings(LEXICON_FST, frames_of([("red", 0, [1] * 3, 0), ("zoo", 0, [1, 1], 1)], lexicon=lexicon))
    assert ("red", GARBAGE) in found


def test_a_word_without_pronunciation_is_named() -> None:
    with pytest.raises(LexiconError, match="no pronunciation of 'zebra'"):
        lexicon_fst([*WORDS, "zebra"], LEXICON, IDS)


@given(st.sampled_from([TRIGRAM, PRUNED]), st.lists(st.sampled_from(WORDS), max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_sentence_can_weigh_its_probability_and_never_more(trigram: Trigram, words: list[str]) -> None:
    probability = 1.0
    tokens = [START, *words, END]
    for at in range(1, len(tokens)):
        probability *= trigram.probability(tokens[at], tokens[:at])
    found = pynini.compose(chain([IDS[word] for word in words]), language_fst(trigram, IDS))
    weights = [float(weight) for weight in found.paths().weights()]
    assert min(abs(weight + math.log(probability)) for weight in weights) < 1e-3
    assert readings(language_fst(trigram, IDS), [IDS[word] for word in words]) == {
        tuple(words): pytest.approx(min(weights))
    }


def test_the_language_model_never_hears_garbage() -> None:
    both = pynini.compose(LEXICON_FST.copy().arcsort("olabel"), language_fst(TRIGRAM, IDS))
    assert all(GARBAGE not in words for words in readings(both, frames_of([("red", 0, [1, 1, 1], 0)])))


@given(st.lists(spoken_words, min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_the_static_graph_weighs_speech_as_the_composed_pair_does(
    utterance: list[tuple[str, int, list[int], int]],
) -> None:
    speech = frames_of(utterance)
    pair = pynini.compose(LEXICON_FST.copy().arcsort("olabel"), language_fst(TRIGRAM, IDS))
    static = pynini.Fst.read_from_string(build(TRIGRAM, LEXICON, Graph.STATIC)["HCLG.fst"])
    assert readings(static, speech) == {
        words: pytest.approx(weight, abs=1e-3) for words, weight in readings(pair, speech).items()
    }


def test_marks_are_labels_beyond_all_transitions() -> None:
    fst = minimal(pynini.determinize(lexicon_fst(WORDS, LEXICON, IDS)))
    marks = input_marks(fst)
    transitions = 2 * (len(KALDI_PHONES) - 1)
    assert all(transition_of_mark(mark) > transitions for mark in marks)
    graph = with_transitions(fst, keep_marks=True)
    labels = {arc.ilabel for state in graph.states() for arc in graph.arcs(state)}
    assert {label for label in labels if label > transitions} == {transition_of_mark(mark) for mark in marks}
    bare = with_transitions(fst, keep_marks=False)
    assert all(arc.ilabel <= transitions for state in bare.states() for arc in bare.arcs(state))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30, unique=True), st.integers(-1, 1000))
def test_the_first_value_within_the_budget_is_found_with_few_trials(sizes: list[int], budget: int) -> None:
    sizes.sort(reverse=True)
    tried: list[float] = []

    def size_of(value: float) -> int:
        tried.append(value)
        return sizes[int(value)]

    values = [float(number) for number in range(len(sizes))]
    fitting_values = [value for value in values if sizes[int(value)] <= budget]
    if fitting_values:
        assert least_fitting(values, size_of, budget) == fitting_values[0]
    else:
        with pytest.raises(GraphError, match="even with the trigrams pruned most"):
            least_fitting(values, size_of, budget)
    assert len(tried) <= len(sizes).bit_length()


def test_the_static_graph_has_the_files_that_vosk_reads() -> None:
    files = build(TRIGRAM, LEXICON, Graph.STATIC)
    assert set(files) == {"HCLG.fst", "words.txt", "phones/word_boundary.int"}
    assert GARBAGE not in files["words.txt"].decode()


@needs_openfst
def test_the_pair_has_the_files_that_vosk_reads() -> None:
    files = build(TRIGRAM, LEXICON)
    assert set(files) == {"HCLr.fst", "Gr.fst", "disambig_tid.int", "words.txt", "phones/word_boundary.int"}
    words = dict(line.split() for line in files["words.txt"].decode().splitlines())
    assert words["<eps>"] == "0"
    assert set(words) == {"<eps>", GARBAGE, *WORDS}
    assert len(set(words.values())) == len(words)
    grammar = pynini.Fst.read_from_string(files["Gr.fst"])
    labels = {arc.ilabel for state in grammar.states() for arc in grammar.arcs(state)}
    assert labels == {int(words[word]) for word in WORDS} | {0}


@needs_openfst
def test_the_same_model_gives_the_same_files() -> None:
    assert build(TRIGRAM, LEXICON) == build(TRIGRAM, LEXICON)


@needs_openfst
def test_the_least_pruned_graph_within_the_budget_is_taken() -> None:
    learnt = estimate(Texts(SENTENCES * 3, SENTENCES, WORDS, []), Weights(empty_share=0.01))
    whole = fitting(learnt, LEXICON)
    assert whole.pruning == 0.0
    assert whole.files == build(learnt.pruned(0.0), LEXICON)
    tight = fitting(learnt, LEXICON, size_bytes(whole.files) - 1)
    assert tight.pruning > 0.0
    assert size_bytes(tight.files) < size_bytes(whole.files)
    with pytest.raises(GraphError, match="more than 100 bytes"):
        fitting(learnt, LEXICON, 100)


def test_openfst_that_is_not_there_is_said_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not openfst.is_installed()
    with pytest.raises(openfst.OpenFstError, match="libfst"):
        openfst.lookahead(b"")


@needs_openfst
def test_what_is_no_transducer_is_refused_with_openfst_s_reason() -> None:
    with pytest.raises(openfst.OpenFstError, match="fstconvert cannot convert"):
        openfst.lookahead(b"nonsense")


DECODE = """
import json, sys, wave, vosk
vosk.SetLogLevel(-1)
model = vosk.Model(sys.argv[1])
with wave.open(sys.argv[2]) as file:
    sound = file.readframes(file.getnframes())
for grammar in ([], *([line] for line in sys.argv[3:])):
    decoder = vosk.KaldiRecognizer(model, 16000, *grammar)
    decoder.AcceptWaveform(sound)
    print(json.dumps(json.loads(decoder.FinalResult())["text"]))
"""
"""Run in a process of its own, because Vosk must not meet pynini in one."""


@needs_openfst
@needs_vosk
@pytest.mark.servers
@pytest.mark.parametrize("kind", list(Graph))
def test_vosk_hears_with_the_graph_and_the_pair_takes_a_grammar_at_run_time(kind: Graph, tmp_path: Path) -> None:
    said = "we come every friday for the pizza"
    others = ["monday", "tuesday", "pasta", "game", "of", "a", "i", "to", "week"]
    trigram = estimate(Texts([said], [], others, [])).full
    for name, content in build(trigram, load(), kind).items():
        (tmp_path / "graph" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "graph" / name).write_bytes(content)
    for folder in ("am", "conf"):
        shutil.copytree(DEMONSTRATION / folder, tmp_path / folder)
    grammars = [["friday", "monday", GARBAGE], ["pasta", "tuesday", GARBAGE]]
    done = subprocess.run(
        [sys.executable, "-c", DECODE, tmp_path, SPEECH / "pizza.wav", *map(json.dumps, grammars)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    heard, keyword, nothing = (json.loads(line).split() for line in done.stdout.decode().splitlines())
    assert heard == said.split()
    if kind is Graph.LOOKAHEAD:
        assert keyword == [GARBAGE, "friday", GARBAGE]
        assert set(nothing) == {GARBAGE}
    else:
        assert keyword == nothing == heard
