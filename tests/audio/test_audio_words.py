"""The whole live path changes no word: the ear hears what Vosk alone hears of the same sound."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audio.model import DEMONSTRATION
from audio.protocol import Word
from tests.audio.live_path import Booth, Row, row_of_booths
from tests.audio.spoken import RATE_HZ, Spoken, all_spoken, bare_words, text_of

pytestmark = pytest.mark.servers

EARS = 10
UTTERANCES = 50
LATEST_S = 0.3
BEFORE_S = 0.35
AFTER_S = 0.3
PRESS_AFTER_S = 0.6
"""When a quarter of a second has been spoken."""
LENGTH_TOLERANCE_S = 0.1
"""Vosk's times are those of its steps of 30 ms, and jump by one or two when the sound begins elsewhere in a step."""

Bare = Callable[[Spoken], tuple[Word, ...]]


@pytest.fixture(scope="module")
def bare() -> Bare:
    """What Vosk alone hears of a sentence with some silence around it."""
    import vosk

    vosk.SetLogLevel(-1)
    model: Any = vosk.Model(str(DEMONSTRATION))
    return lambda spoken: bare_words(vosk, model, spoken.within(BEFORE_S, AFTER_S), spoken.rate_hz)


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory, plugin_dir: Path) -> Iterator[Row]:
    with row_of_booths(tmp_path_factory.mktemp("row"), plugin_dir, EARS, RATE_HZ) as booths:
        yield booths


def visit_in_turn(booth: Booth, visit: tuple[int, Spoken]) -> tuple[Word, ...]:
    """A visit with a sentence that is heard from its beginning; its kind depends on its number."""
    number, spoken = visit
    sound = spoken.within(BEFORE_S, AFTER_S)
    until_pause = number % 2 == 1
    if number // 2 % 2:
        return booth.speak_and_press(sound, PRESS_AFTER_S, until_pause=until_pause)
    return booth.wait_and_speak(sound, until_pause=until_pause)


def assert_like_vosk(row: Row, sentences: list[Spoken], bare: Bare) -> None:
    """The same words, and neither more nor less sound between the first and the last of them."""
    heard = row.each(list(enumerate(sentences)), visit_in_turn)
    differences = []
    for spoken, words, by_vosk in zip(sentences, heard, map(bare, sentences), strict=True):
        if text_of(words) != text_of(by_vosk):
            differences.append(f"{spoken.name}: {text_of(words)!r} instead of {text_of(by_vosk)!r}")
        elif abs(length_s(words) - length_s(by_vosk)) > LENGTH_TOLERANCE_S:
            differences.append(f"{spoken.name}: {length_s(words):.2f} s instead of {length_s(by_vosk):.2f} s")
    assert not differences, "\n".join(differences)


def length_s(words: tuple[Word, ...]) -> float:
    return words[-1].end_s - words[0].start_s if words else 0.0


def test_the_live_path_hears_each_word_that_vosk_alone_hears(row: Row, bare: Bare) -> None:
    assert_like_vosk(row, all_spoken(), bare)


def test_no_first_or_last_word_is_lost_of_50_visitors_who_speak_at_once(row: Row, bare: Bare) -> None:
    sentences = all_spoken()
    visits = [
        (sentences[number % len(sentences)], LATEST_S * number / (UTTERANCES - 1)) for number in range(UTTERANCES)
    ]
    heard = row.each(
        visits, lambda booth, visit: booth.press_and_speak(visit[0].within(visit[1], 0), until_pause=False)
    )
    by_vosk = {one.name: bare(one) for one in sentences}
    lost = [
        f"{spoken.name}, {1000 * begins_s:.0f} ms after the press: {text_of(words)!r}"
        for (spoken, begins_s), words in zip(visits, heard, strict=True)
        if ends(words) != ends(by_vosk[spoken.name])
    ]
    assert not lost, "\n".join(lost)


def ends(words: tuple[Word, ...]) -> list[str]:
    return [words[0].word, words[-1].word] if words else []


@pytest.mark.parametrize("rate_hz", [44100, 48000])
def test_at_other_rates_the_words_are_those_of_vosk_too(
    tmp_path: Path, plugin_dir: Path, bare: Bare, rate_hz: int
) -> None:
    with row_of_booths(tmp_path, plugin_dir, EARS // 2, rate_hz) as row:
        assert_like_vosk(row, [one.at(rate_hz) for one in all_spoken()], bare)
