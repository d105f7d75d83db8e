import string
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio import protocol
from audio.protocol import (
    Begin,
    Partial,
    ProtocolError,
    Start,
    Transcript,
    Word,
    decode_command,
    decode_event,
    decode_start,
    encode,
)
from audio.settings import AudioSettings

names = st.text(min_size=1, max_size=40)
unit = st.floats(0, 1)
words = st.builds(Word, st.text(string.ascii_letters, min_size=1), unit, unit, unit)
transcripts = st.builds(
    Transcript,
    visit=names,
    text=st.none() | st.text(max_size=80),
    language=st.just("en"),
    model=names,
    confidence=st.none() | unit,
    words=st.lists(words, max_size=5).map(tuple),
    audio_s=unit,
    speech_s=unit,
    finalise_ms=unit,
    too_quiet=st.booleans(),
    too_loud=st.booleans(),
)


@settings(max_examples=60)
@given(transcripts | st.builds(Partial, visit=names, text=st.text()))
def test_an_event_is_one_line_and_comes_back_the_same(event: Transcript | Partial) -> None:
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_event(line) == event


@settings(max_examples=60)
@given(st.binary(max_size=80))
def test_any_other_line_is_refused_and_nothing_worse(line: bytes) -> None:
    for decode in (decode_command, decode_event, decode_start):
        with pytest.raises(ProtocolError):
            decode(line)


def test_the_type_is_the_name_in_snake_case() -> None:
    assert encode(Begin(visit="a")) == b'{"type":"begin","visit":"a"}\n'
    assert encode(protocol.SpeechEnded(visit="a")) == b'{"type":"speech_ended","visit":"a"}\n'


def test_an_event_is_no_command() -> None:
    with pytest.raises(ProtocolError):
        decode_command(encode(Partial(visit="a", text="b")))


def test_the_orders_of_an_ear_come_back_the_same() -> None:
    start = Start(
        settings=AudioSettings(device="USB PnP", channel=2, language="de-AT", pause_s=2.5, models={"en": "/m/en"}),
        language="de-AT",
        shared_fd=7,
        recover=("a", "b"),
        avoid=("en",),
        measured_mb={"de-AT": 290.5},
    )
    assert decode_start(encode(start)) == start


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ('{"block_ms": 10}', "block_ms"),
        ('{"channel": 0}', "channel"),
        ('{"language": "English"}', "language"),
        ('{"vad_mode": 4}', "vad_mode"),
        ('{"pause_s": "long"}', "pause_s"),
        ('{"divice": "mic"}', "divice"),
        ('{"models": {"German": "/m"}}', "models"),
        ('{"models": {"de": ""}}', "models"),
        ('{"memory_mb": 1}', "memory_mb"),
        ('{"model": "/m", "models": {"en": "/n"}}', "`model` and `models` both name a model for 'en'"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(wrong: str, named: str) -> None:
    with pytest.raises(ProtocolError, match=named):
        decode_start(f'{{"type":"start","language":"en","settings":{wrong}}}'.encode())


def test_every_default_is_within_its_own_bounds() -> None:
    assert msgspec.convert(msgspec.to_builtins(AudioSettings()), AudioSettings) == AudioSettings()


def test_each_language_has_its_folder_and_the_default_comes_first() -> None:
    assert AudioSettings(models={"de": "/m/de"}).folders == {"en": None, "de": Path("/m/de")}
    own = AudioSettings(model="/m/en", models={"de": "/m/de"})
    assert list(own.folders.items()) == [("en", Path("/m/en")), ("de", Path("/m/de"))]
    named = AudioSettings(language="de", models={"fr": "/m/fr", "de": "/m/de"})
    assert list(named.folders) == ["de", "fr"]
    assert named.model_folder == Path("/m/de")
