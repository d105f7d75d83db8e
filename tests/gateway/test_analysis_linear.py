"""The embedded engine: clear cases, honest nulls, robustness, and its files."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.analysis.embedded import WEIGHTS_DIRECTORY, embedded_engine
from gateway.analysis.emotion import EMOTIONS, emotion_word
from gateway.analysis.engine import CATEGORIES, EMOTION_FAMILIES, INTENSITIES, SENTIMENTS, Analysis, EmotionFamily
from gateway.analysis.linear import (
    LEXICON_FILES,
    MANIFEST_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    LinearEngine,
    WeightsError,
)

WEIGHTS_LIMIT_BYTES = 3 * 1024 * 1024

PIECES_TEXT = (
    "the staff was not friendly but i love this shop never again please add more chairs why is it broken thank you "
    "so much \ud800 \u0130 \u98df\u3079\u7269 \U0001f600 cancel my contract one two ' -- 42"
)
PIECES = st.sampled_from(PIECES_TEXT.split(" "))


def analyse(text: str) -> Analysis:
    return embedded_engine().analyse(text)


@pytest.mark.parametrize(
    ("text", "sentiment", "category"),
    [
        ("the staff is wonderful and the coffee is excellent", "positive", "praise"),
        ("thank you so much for your help you were so friendly", "positive", "praise"),
        ("the screen is broken and the app crashed again it is terrible", "negative", "bug"),
        ("i waited an hour and the staff was rude", "negative", "other"),
        ("i am cancelling my contract and i will never come back here", "negative", "churn_risk"),
        ("where can i find the toilets please", "neutral", "question"),
        ("please add more vegetarian dishes to the menu", "neutral", "feature_request"),
        ("the food was great but the service was awful and slow", "mixed", "other"),
    ],
)
def test_clear_cases_get_their_label(text: str, sentiment: str, category: str) -> None:
    found = analyse(text)
    assert (found.sentiment, found.category) == (sentiment, category)


def test_a_sarcastic_thank_you_is_negative() -> None:
    assert analyse("great thanks for nothing").sentiment == "negative"


def test_a_quotable_praise_is_a_testimonial_candidate() -> None:
    text = "the yoga teacher is wonderful and patient and i sleep so much better since i joined her class"
    assert analyse(text).is_testimonial_candidate


@pytest.mark.parametrize("text", ["ten out of ten", "the lift is broken again", "when do you open on sundays"])
def test_what_nobody_would_quote_is_no_testimonial_candidate(text: str) -> None:
    assert not analyse(text).is_testimonial_candidate


@pytest.mark.parametrize("text", ["", "   ", "hello one two", "testing can you hear me", "\U0001f600", "\ud800"])
def test_speech_without_content_gives_nulls(text: str) -> None:
    assert analyse(text) == Analysis()


@pytest.mark.parametrize(
    "text",
    [
        "das essen war kalt und die bedienung sehr unfreundlich",
        "la comida estaba fr\u00eda y el servicio muy lento",
        "le personnel \u00e9tait tr\u00e8s gentil merci beaucoup",
        "\u98df\u3079\u7269\u306f\u7f8e\u5473\u3057\u304b\u3063\u305f",
    ],
)
def test_a_language_that_it_does_not_know_gives_nulls(text: str) -> None:
    assert analyse(text) == Analysis()


@given(st.one_of(st.text(st.characters(codec=None)), st.lists(PIECES, max_size=60).map(" ".join)))
@settings(max_examples=200)
def test_any_text_gives_labels_of_the_contract_or_null(text: str) -> None:
    found = analyse(text)
    assert found.sentiment in {*SENTIMENTS, None}
    assert found.category in {*CATEGORIES, None}
    assert found.intensity in {*INTENSITIES, None}
    assert found.emotion in {*EMOTIONS, None}
    assert (found.sentiment is None) == (found.category is None) == (found.intensity is None)
    if found.is_testimonial_candidate:
        assert (found.sentiment, found.category) == ("positive", "praise")


@pytest.mark.parametrize("text", ["x" * 100_000, "the food was bad " * 6_000, "\u00e9 x" * 33_000, "not " * 25_000])
def test_a_text_of_a_hundred_thousand_characters_is_analysed_quickly(text: str) -> None:
    assert analyse(text).sentiment in {*SENTIMENTS, None}


def test_threads_share_the_engine_and_agree() -> None:
    texts = ["the room was cold", "i love it here", "where is the exit", "never again"] * 5
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(analyse, texts)) == [analyse(text) for text in texts]
    assert embedded_engine() is embedded_engine()


def test_the_files_are_small_and_hold_no_pickle() -> None:
    files = list(WEIGHTS_DIRECTORY.iterdir())
    assert {WEIGHTS_FILE, VOCABULARY_FILE, MANIFEST_FILE} <= {file.name for file in files}
    own = [file for file in files if file.name.startswith("linear") or file.name in LEXICON_FILES]
    assert sum(file.stat().st_size for file in own) <= WEIGHTS_LIMIT_BYTES
    assert LinearEngine.load(WEIGHTS_DIRECTORY).name == "linear-1"


def test_the_shipped_weights_stand_on_own_and_permissive_rows_alone() -> None:
    manifest = LinearEngine.load(WEIGHTS_DIRECTORY).manifest
    assert set(manifest.licence_classes) <= {"own", "permissive"}
    assert sum(manifest.rows_by_origin.values()) > 300


@pytest.mark.parametrize("damage", [WEIGHTS_FILE, VOCABULARY_FILE, MANIFEST_FILE])
def test_damaged_files_are_named_in_one_sentence(tmp_path: Path, damage: str) -> None:
    for file in WEIGHTS_DIRECTORY.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / damage).write_bytes((tmp_path / damage).read_bytes()[:1000])
    with pytest.raises(WeightsError, match="install") as caught:
        LinearEngine.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_files_are_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        LinearEngine.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "family", "word"),
    [
        ("thank you so much", "pleased", "grateful"),
        ("it was fine", "pleased", "satisfied"),
        ("the toilet is filthy", "angry", "disgusted"),
        ("i was so ashamed", "upset", "embarrassed"),
        ("i am worried about the bill", "upset", "worried"),
        ("not what i hoped", "upset", "disappointed"),
        ("where is it", "calm", "neutral"),
    ],
)
def test_the_emotion_word_follows_the_texts_own_cues(text: str, family: EmotionFamily, word: str) -> None:
    assert emotion_word(text, family, "moderate") == word


def test_no_family_gives_no_word_and_every_family_gives_one() -> None:
    assert emotion_word("whatever it was", None, "mild") is None
    assert get_args(EmotionFamily) == EMOTION_FAMILIES
    assert all(emotion_word("xyz", family, "strong") in EMOTIONS for family in EMOTION_FAMILIES)


def test_the_engine_needs_no_django() -> None:
    import subprocess

    code = "import sys, gateway.analysis.embedded as e; e.embedded_engine(); sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
