"""What becomes of a message."""

import json
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import messages, topics
from contract.messages import MAX_MESSAGE_BYTES
from contract.topics import Channel
from gateway.feedback.ingest import Accepted, Arrival, Noted, Refused, Verdict, judge
from tests.gateway.support import NOW, feedback_message, reply_message, status_message

KIOSKS = {"shop-1", "shop-2"}


def arrive(message: messages.Message, channel: Channel = Channel.FEEDBACK, kiosk: str = "shop-1") -> Verdict:
    return judge(Arrival(topics.topic(kiosk, channel), messages.encode(message), NOW), KIOSKS)


def accepted(message: messages.Message, channel: Channel = Channel.FEEDBACK) -> Accepted:
    verdict = arrive(message, channel)
    assert isinstance(verdict, Accepted)
    return verdict


def refused(verdict: Verdict) -> Refused:
    assert isinstance(verdict, Refused)
    return verdict


def test_a_feedback_is_accepted() -> None:
    message = feedback_message()
    assert accepted(message).message == message


def test_a_reply_is_accepted() -> None:
    message = reply_message(feedback_message().id)
    assert accepted(message, Channel.REPLY).message == message


def test_a_status_is_noted() -> None:
    assert arrive(status_message(), Channel.STATUS) == Noted(status_message())


def test_text_is_cleaned_so_that_any_database_and_any_receiver_can_take_it() -> None:
    data = json.loads(messages.encode(feedback_message()))
    data["transcript"] = "caf\u0065\u0301 \x00\x07\ud800 ok"
    data["model"] = "m\x00"
    arrival = Arrival(topics.topic("shop-1", Channel.FEEDBACK), json.dumps(data).encode(), NOW)
    verdict = judge(arrival, KIOSKS)
    assert isinstance(verdict, Accepted)
    assert isinstance(verdict.message, messages.Feedback)
    assert verdict.message.transcript == "caf\u00e9 \ufffd ok"
    assert verdict.message.model == "m"


def test_another_kiosk_in_the_payload_than_in_the_topic_is_refused_and_told() -> None:
    message = feedback_message(kiosk="shop-2")
    verdict = refused(arrive(message))
    assert (verdict.kiosk, verdict.message_id) == ("shop-1", UUID(message.id))


def test_a_kiosk_that_is_not_known_is_refused() -> None:
    message = feedback_message(kiosk="shop-9")
    verdict = refused(arrive(message, kiosk="shop-9"))
    assert verdict.message_id == UUID(message.id)
    assert "not known" in verdict.reason


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"id": NaN}',
        b'{"a":1,"a":2}',
        messages.encode(feedback_message())[:-1] + b',"audio":"x"}',
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(payload: bytes) -> None:
    verdict = refused(judge(Arrival(topics.topic("shop-1", Channel.FEEDBACK), payload, NOW), KIOSKS))
    assert verdict.reason


def test_the_id_of_an_undecodable_message_is_made_out_so_that_its_kiosk_can_be_told() -> None:
    message = feedback_message()
    payload = messages.encode(message)[:-20]
    verdict = refused(judge(Arrival(topics.topic("shop-1", Channel.FEEDBACK), payload, NOW), KIOSKS))
    assert verdict.message_id == UUID(message.id)


def test_one_byte_more_than_allowed_is_refused() -> None:
    payload = messages.encode(feedback_message()).ljust(MAX_MESSAGE_BYTES + 1)
    assert "at most" in refused(judge(Arrival(topics.topic("shop-1", Channel.FEEDBACK), payload, NOW), KIOSKS)).reason
    exact = payload[:MAX_MESSAGE_BYTES]
    assert isinstance(judge(Arrival(topics.topic("shop-1", Channel.FEEDBACK), exact, NOW), KIOSKS), Accepted)


@pytest.mark.parametrize("topic", ["", "a", "voiseback/v1/kiosks/shop-1/other", "voiseback/v1/kiosks/../feedback"])
def test_a_topic_that_is_not_of_the_contract_is_refused_without_an_answer(topic: str) -> None:
    verdict = refused(judge(Arrival(topic, messages.encode(feedback_message()), NOW), KIOSKS))
    assert verdict.kiosk is None


def test_a_receipt_from_a_kiosk_is_refused() -> None:
    receipt = messages.Receipt(id=feedback_message().id, outcome="stored")
    assert "takes nothing" in refused(arrive(receipt, Channel.RECEIPT)).reason


@pytest.mark.parametrize(
    ("clock", "offset", "believed"),
    [
        ("synchronised", timedelta(), True),
        ("synchronised", timedelta(seconds=299), True),
        ("synchronised", timedelta(seconds=301), False),
        ("synchronised", timedelta(days=-30), True),
        ("unsynchronised", timedelta(hours=-23), True),
        ("unsynchronised", timedelta(hours=-25), False),
        ("unsynchronised", timedelta(seconds=1), False),
        ("unsynchronised", timedelta(days=-20_000), False),
    ],
)
def test_a_kiosks_time_is_believed_within_reason(clock: str, offset: timedelta, believed: bool) -> None:
    said = NOW + offset
    verdict = accepted(feedback_message(clock=clock, created_at=said))
    assert verdict.time_is_of_the_kiosk is believed
    assert verdict.created_at == (said if believed else NOW)


def test_a_repetition_after_the_clock_was_set_or_the_agent_updated_is_the_same_content() -> None:
    first = feedback_message(clock="unsynchronised")
    again = msgspec.structs.replace(
        first, clock="synchronised", created_at=NOW - timedelta(minutes=3), agent_version="0.2.0"
    )
    assert accepted(first).content_hash == accepted(again).content_hash


@pytest.mark.parametrize(
    "change", [{"transcript": "other"}, {"transcript": None}, {"sequence": 2}, {"confidence": 0.1}, {"audio_s": 3.0}]
)
def test_other_content_has_another_hash(change: dict[str, object]) -> None:
    first = feedback_message()
    assert accepted(first).content_hash != accepted(msgspec.structs.replace(first, **change)).content_hash


@settings(max_examples=200)
@given(topic=st.text(max_size=80) | st.just("voiseback/v1/kiosks/shop-1/feedback"), payload=st.binary(max_size=300))
def test_nothing_that_comes_in_raises(topic: str, payload: bytes) -> None:
    assert isinstance(judge(Arrival(topic, payload, NOW), KIOSKS), Refused)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150)
@given(key=st.sampled_from(sorted(msgspec.to_builtins(feedback_message()))), value=_JSON)
def test_a_feedback_with_any_value_in_any_field_is_accepted_or_refused(key: str, value: object) -> None:
    data = {**msgspec.to_builtins(feedback_message()), key: value}
    payload = json.dumps(data).encode("utf-8", "surrogatepass")
    verdict = judge(Arrival("voiseback/v1/kiosks/shop-1/feedback", payload, NOW), KIOSKS)
    assert isinstance(verdict, Accepted | Refused)
