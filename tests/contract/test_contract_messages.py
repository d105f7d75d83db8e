"""MQTT messages: what is valid survives, and everything else is refused in one sentence without its content."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import (
    MAX_MESSAGE_BYTES,
    Feedback,
    Message,
    MessageError,
    Receipt,
    Reply,
    Status,
    Word,
    decode,
    encode,
    encode_feedback,
)
from contract.text import MAX_TRANSCRIPT_CHARS
from contract.topics import KIOSK_ID_PATTERN

CONTENT = "Sehr-geheim"

KINDS: list[type[Message]] = [Feedback, Reply, Receipt, Status]

uuids = st.uuids().map(str)
kiosks = st.from_regex(KIOSK_ID_PATTERN.replace("$", r"\Z"))
times = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2999, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-11)), timezone(timedelta(hours=5, minutes=45))]),
)
shares = st.floats(0, 1)
seconds = st.floats(0, 86_400)
lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=200)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
emails = st.from_regex(r"\A[a-z0-9.+äé]{1,64}@[a-z0-9-]{1,60}\.[a-z]{2,10}\Z")

words = st.builds(Word, word=lines, start_s=seconds, end_s=seconds, confidence=shares)
feedbacks = st.builds(
    Feedback,
    id=uuids,
    kiosk=kiosks,
    created_at=times,
    clock=st.sampled_from(["synchronised", "unsynchronised"]),
    transcript=st.none() | texts,
    language=st.sampled_from(["de", "en", "en-US", "zh-Hant-TW"]),
    confidence=st.none() | shares,
    words=st.lists(words, max_size=5).map(tuple),
    speech_s=seconds,
    audio_s=seconds,
    model=lines,
    agent_version=lines,
    sequence=st.integers(1, 2**53 - 1),
    consent_version=st.none() | lines,
)
replies = st.builds(
    Reply,
    id=uuids,
    kiosk=kiosks,
    feedback_id=uuids,
    user_email=emails,
    wants_reply=st.booleans(),
    created_at=times,
    consent_version=lines,
)
receipts = st.builds(Receipt, id=uuids, outcome=st.sampled_from(["stored", "refused"]), reason=st.none() | lines)
statuses = st.builds(
    Status,
    kiosk=kiosks,
    state=st.sampled_from(["online", "offline"]),
    session=st.integers(1, 2**53 - 1),
    agent_version=lines,
    address=st.none() | lines,
)


def feedback(**changes: Any) -> dict[str, Any]:
    return {
        "id": "0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01",
        "kiosk": "berlin-mitte-01",
        "created_at": "2025-01-15T10:30:00Z",
        "clock": "synchronised",
        "transcript": CONTENT,
        "language": "de",
        "confidence": 0.9,
        "words": [{"word": CONTENT, "start_s": 0, "end_s": 0.5, "confidence": 1}],
        "speech_s": 3.5,
        "audio_s": 5,
        "model": "m",
        "agent_version": "1",
        "sequence": 1,
        "consent_version": None,
        **changes,
    }


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in feedback().items() if name != key}


def refusal(kind: type[Message], data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(MessageError) as caught:
        decode(kind, raw)
    sentence = str(caught.value)
    assert len(sentence) < 400
    assert sentence.isprintable()
    assert caught.value.__cause__ is None
    return sentence


def outcome(kind: type[Message], data: bytes) -> str:
    """Return why the message was refused, or that it was not; anything else that is raised ends the test."""
    try:
        decode(kind, data)
    except MessageError as error:
        return str(error)
    return "taken"


@settings(max_examples=150, deadline=None)
@given(feedbacks | replies | receipts | statuses)
def test_every_valid_message_survives_the_way(message: Message) -> None:
    data = encode(message)
    assert len(data) <= MAX_MESSAGE_BYTES
    assert decode(type(message), data) == message


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_a_message_error(kind: type[Message], data: bytes) -> None:
    with pytest.raises(MessageError):
        decode(kind, data)


@settings(max_examples=200, deadline=None)
@given(feedbacks | replies | receipts | statuses, st.data())
def test_mutated_messages_raise_nothing_but_a_message_error(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        end = min(len(raw), place + data.draw(st.integers(0, 3)))
        raw[place:end] = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"[", b"1e999", b"\\ud800"]))
        if not raw:
            return
    assert outcome(type(message), bytes(raw)).isprintable()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(feedback())), json_values)
def test_a_field_with_any_other_value_raises_nothing_but_a_message_error(key: str, value: Any) -> None:
    assert outcome(Feedback, json.dumps(feedback(**{key: value})).encode()).isprintable()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (feedback(dialect=CONTENT), "unknown field `dialect`"),
        (feedback(**{CONTENT: 1}), "unknown field"),
        (feedback(**{f"{CONTENT}` - at `$.x": 1}), "unknown field"),
        (feedback(words=[{"word": CONTENT, "dialect": CONTENT}]), "unknown field `dialect` - at `$.words[0]`"),
        (feedback(audio=CONTENT), "unknown field `audio`"),
        (without("language"), "missing required field `language`"),
        (feedback(clock=CONTENT), "none of the allowed values - at `$.clock`"),
        (feedback(sequence=CONTENT), "Expected `int`, got `str` - at `$.sequence`"),
        (feedback(sequence=True), "got `bool`"),
        (feedback(sequence=1.5), "got `float`"),
        (feedback(sequence=0), "`int` >= 1"),
        (feedback(sequence=2**53), "`int` <= 9007199254740991"),
        (feedback(sequence=10**400), "`int` <= 9007199254740991"),
        (feedback(speech_s=10**400), "out of range"),
        (feedback(speech_s=-0.1), "`float` >= 0"),
        (feedback(confidence="0.9"), "Expected `float | null`, got `str`"),
        (feedback(transcript=5), "Expected `str | null`, got `int`"),
        (feedback(transcript=f"{CONTENT}{'x' * MAX_TRANSCRIPT_CHARS}"), "length <= 20000"),
        (feedback(words=CONTENT), "Expected `array`, got `str`"),
        (feedback(id=f"0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01\n{CONTENT}"), "matching regex"),
        (feedback(id="0B8F7E2C-4A53-4D0E-9C61-2F3D5A7B9C01"), "matching regex"),
        (feedback(kiosk=f"{CONTENT}/#"), "matching regex"),
        (feedback(created_at=CONTENT), "Invalid RFC3339"),
        (feedback(created_at="2025-01-15T10:30:00"), "timezone"),
        (feedback(created_at="0001-01-01T00:00:00+14:00"), "cannot be told in UTC"),
        (feedback(created_at=1_736_937_000), "got `int`"),
        (feedback(model=CONTENT * 20), "length <= 200"),
        (feedback(created_at=f"{CONTENT}\ud800"), "lone surrogate"),
        (feedback(**{f"{CONTENT}\ud800": 1}), "lone surrogate"),
        ([feedback()], "Expected `object`, got `array`"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence_without_the_content(data: Any, told: str) -> None:
    sentence = refusal(Feedback, data if isinstance(data, dict) else json.dumps(data).encode())
    assert told in sentence
    assert CONTENT not in sentence


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is no JSON: Expecting value at character 0"),
        (f'{{"id": "{CONTENT}'.encode(), "is no JSON"),
        (f'{CONTENT}"'.encode(), "is no JSON"),
        (b"\xef\xbb\xbf{}", "is no JSON"),
        (f'"{CONTENT}'.encode() + b"\xff", "is no UTF-8 (byte 12)"),
        (f'{{"transcript": "{CONTENT}", "transcript": "other"}}'.encode(), "repeats a key"),
        (f'{{"words": [{{"word": 1, "word": "{CONTENT}"}}]}}'.encode(), "repeats a key"),
        (b'{"confidence": NaN}', "holds NaN"),
        (b'{"confidence": Infinity}', "holds Infinity"),
        (b'{"confidence": -Infinity}', "holds -Infinity"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 20_000, "nested too deeply"),
        (b'{"sequence": ' + b"9" * 5_000 + b"}", "number that is too long"),
        (json.dumps(feedback()).encode().ljust(MAX_MESSAGE_BYTES + 1), "131073 bytes; at most 131072 are allowed"),
    ],
)
def test_bytes_that_are_no_message_are_refused_in_one_sentence_without_the_content(data: bytes, told: str) -> None:
    sentence = refusal(Feedback, data)
    assert told in sentence
    assert CONTENT not in sentence


def test_an_infinite_number_by_its_exponent_is_refused() -> None:
    data = json.dumps(feedback()).replace("0.9", "1e999").encode()
    assert "`float` <= 1" in refusal(Feedback, data)


def test_a_message_of_exactly_the_largest_size_is_read() -> None:
    data = json.dumps(feedback()).encode().ljust(MAX_MESSAGE_BYTES)
    assert decode(Feedback, data).transcript == CONTENT


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b\n",
        "a@b\r\nBcc: x@y",
        "a@\x00",
        "a@\ud800",
        "a" * 65 + "@b",
        "a@" + "b" * 190,
    ],
)
def test_an_address_that_could_not_be_written_to_is_refused(email: str) -> None:
    reply = {
        "id": "0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01",
        "kiosk": "a",
        "feedback_id": "0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c02",
        "user_email": email,
        "wants_reply": True,
        "created_at": "2025-01-15T10:30:00Z",
        "consent_version": "1",
    }
    assert "`$.user_email`" in refusal(Reply, reply)
    assert decode(Reply, json.dumps(reply | {"user_email": "a@b"}).encode()).user_email == "a@b"


@pytest.mark.parametrize("key", ["transcript", "model", "agent_version", "consent_version"])
def test_free_text_may_hold_what_cleaning_removes_so_that_no_feedback_is_refused_for_it(key: str) -> None:
    message = decode(Feedback, json.dumps(feedback(**{key: "\ud800\x00"})).encode())
    assert getattr(message, key) == "\ud800\x00"


def test_a_message_with_half_a_character_is_not_sent() -> None:
    with pytest.raises(MessageError, match="lone surrogate"):
        encode(Receipt(id="x", outcome="refused", reason="\ud800"))


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(MessageError, match=r"has \d+ bytes; at most 131072 are allowed"):
        encode(Receipt(id="x" * MAX_MESSAGE_BYTES, outcome="stored"))


def test_a_feedback_keeps_its_words_where_they_fit() -> None:
    message = decode(Feedback, json.dumps(feedback()).encode())
    assert encode_feedback(message) == encode(message)


def test_a_feedback_that_is_too_large_by_its_words_is_sent_without_them() -> None:
    one = Word(word="w" * 50, start_s=0, end_s=1, confidence=1)
    message = msgspec.structs.replace(
        decode(Feedback, json.dumps(feedback()).encode()),
        transcript="\U0001f600" * MAX_TRANSCRIPT_CHARS,
        words=(one,) * 5_000,
    )
    assert decode(Feedback, encode_feedback(message)) == msgspec.structs.replace(message, words=())


def test_the_largest_transcript_fits_into_a_message_even_where_every_character_is_escaped() -> None:
    message = decode(Feedback, json.dumps(feedback()).encode())
    largest = msgspec.structs.replace(message, transcript="\x01" * MAX_TRANSCRIPT_CHARS, words=())
    assert decode(Feedback, encode(largest)) == largest


def test_the_transcript_message_has_no_place_for_audio() -> None:
    fields = {field for kind in (Feedback, Word) for field in kind.__struct_fields__}
    assert not [field for field in fields if re.search("audio(?!_s$)|sound|pcm|wav|flac|opus", field)]
