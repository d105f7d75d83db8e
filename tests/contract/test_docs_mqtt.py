"""The page on MQTT says what the code does."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec import inspect

from contract import health, messages, topics
from contract.health import PART_NAMES, Health, LanguageHealth, Versions
from contract.messages import (
    MAX_MESSAGE_BYTES,
    Feedback,
    Message,
    Receipt,
    Reply,
    Status,
    Word,
    decode,
    encode,
)
from contract.text import MAX_TRANSCRIPT_CHARS
from contract.topics import ROOT, Channel
from device import delivery
from gateway.broker import files
from gateway.feedback import ingest
from tests.contract.markdown_page import bare, section

PAGE = "mqtt-contract.md"

KINDS: dict[str, type[Message]] = {
    "feedback": Feedback,
    "reply": Reply,
    "receipt": Receipt,
    "status": Status,
    "health": Health,
}

PARTS: dict[str, type[Message]] = {
    **{name: getattr(health, f"{name.capitalize()}Health") for name in PART_NAMES},
    "languages": LanguageHealth,
    "versions": Versions,
}

FORMS = {
    "kiosk id": messages.KioskId,
    "UUID": messages.Uuid,
    "language tag": messages.LanguageTag,
    "e-mail address": messages.Email,
}


def pattern(kind: object) -> str:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StrType)
    assert info.pattern is not None
    return info.pattern


NAMES = {pattern(kind): name for name, kind in FORMS.items()}


PLAIN: dict[type[inspect.Type], str] = {
    inspect.BoolType: "boolean",
    inspect.DateTimeType: "time",
    inspect.StructType: "object",
}


def described(info: inspect.Type) -> str:
    """Return how the page's tables put a type and its bounds."""
    match info:
        case inspect.UnionType(types=members):
            (one,) = [member for member in members if not isinstance(member, inspect.NoneType)]
            return f"{described(one)}, or null"
        case inspect.StrType(pattern=str(form)):
            return NAMES[form]
        case inspect.StrType(max_length=int(most)):
            return f"string, at most {most:,} characters"
        case inspect.LiteralType(values=values):
            return " or ".join(sorted(map(str, values)))
        case inspect.FloatType(ge=int(least), le=int(most)):
            return f"number, {least:,} to {most:,}"
        case inspect.IntType(ge=least, le=most) if most == 2**53 - 1:
            return f"integer, {least} to 2^53 − 1"  # noqa: RUF001 - a minus sign in prose
        case inspect.VarTupleType(item_type=item, max_length=int(most)):
            return f"array of at most {most:,} {described_item(item)}"
    assert getattr(info, "tz", True), "a time has a zone"
    return PLAIN[type(info)]


def described_item(info: inspect.Type) -> str:
    """Return how the page's tables put what an array holds."""
    match info:
        case inspect.StructType(cls=cls):
            return {Word: "words", LanguageHealth: "languages"}[cls]
        case inspect.StrType(max_length=int(most)):
            return f"strings of at most {most} characters"
    raise AssertionError(f"the page has no words for an array of {info}")


def table_of(kind: type[Message]) -> list[tuple[str, str]]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return [
        (field.encode_name, described(field.type) + ("" if field.required else "; may be left out"))
        for field in info.fields
    ]


def in_order(cell: str) -> str:
    """Return a cell with its alternatives sorted, as `described` gives them."""
    text = bare(cell)
    return " or ".join(sorted(text.split(" or "))) if cell.startswith("`") else text


@pytest.mark.parametrize("name", KINDS)
def test_each_message_has_its_fields_types_and_bounds_in_order(name: str) -> None:
    rows = section(PAGE, name).rows("field")
    assert [(bare(row[0]), in_order(row[1])) for row in rows] == table_of(KINDS[name])


def test_a_word_has_its_fields_types_and_bounds() -> None:
    rows = section(PAGE, "feedback").rows("field of a word")
    assert [(bare(row[0]), in_order(row[1])) for row in rows] == table_of(Word)


@pytest.mark.parametrize("name", PARTS)
def test_each_part_of_a_health_has_its_fields_types_and_bounds(name: str) -> None:
    rows = section(PAGE, "health").rows(f"field of `{name}`")
    assert [(bare(row[0]), in_order(row[1])) for row in rows] == table_of(PARTS[name])


@pytest.mark.parametrize("name", KINDS)
def test_each_example_is_the_very_bytes_of_its_message(name: str) -> None:
    examples = section(PAGE, name).code("json")
    assert examples
    for example in examples:
        data = example.rstrip("\n").encode()
        assert encode(decode(KINDS[name], data)) == data


def test_the_receipts_examples_show_both_outcomes() -> None:
    examples = section(PAGE, "receipt").code("json")
    assert {json.loads(example)["outcome"] for example in examples} == {"stored", "refused"}


def test_the_named_types_have_the_forms_of_the_code() -> None:
    rows = {row[0]: bare(row[1]) for row in section(PAGE, "Messages").rows("type")}
    example = rows.pop("time").split()[-1]
    assert rows == {name: pattern(kind).replace(r"\Z", "$") for name, kind in FORMS.items()}
    assert msgspec.convert(example, messages.UtcTime) == datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


def test_every_channel_has_its_row_and_no_other() -> None:
    rows = section(PAGE, "Topics").rows("topic")
    assert [bare(row[0]) for row in rows] == [str(channel) for channel in Channel]
    assert [row[1] for row in rows if bare(row[0]) == "receipt"] == ["gateway to kiosk"]
    assert {row[1] for row in rows if bare(row[0]) != "receipt"} == {"kiosk to gateway"}


@pytest.mark.parametrize("name", ["config", "command", "command/result", "audio"])
def test_what_is_reserved_is_named_and_refused(name: str) -> None:
    assert f"`{name}`" in section(PAGE, "Topics").text
    with pytest.raises(topics.TopicError):
        topics.parse(f"{ROOT}/a/{name}")


def test_the_roots_and_filters_are_those_of_the_code() -> None:
    text = section(PAGE, "Topics").text
    assert f"`{ROOT}/<kiosk_id>/`" in text
    assert f"`$share/<group>/{topics.every_kiosk(Channel.FEEDBACK)}`" in text


def test_a_kiosk_may_do_what_the_brokers_rules_allow_and_nothing_else() -> None:
    kiosk, gateway = section(PAGE, "Who may do what").rows("who")
    rules = files.rules().splitlines()
    allowed = {
        access: [
            rule.rpartition("/")[2]
            for rule in rules
            if rule.startswith(f"pattern {access} {ROOT}/%u/") and rule.count("/") == ROOT.count("/") + 2
        ]
        for access in ("write", "read")
    }
    assert kiosk[1:] == [
        ", ".join(f"`{channel}`" for channel in allowed[access]) + ", below its own id" for access in ("write", "read")
    ]
    assert gateway[0] == "gateway"
    assert f"topic readwrite {ROOT}/#" in rules
    assert sum(rule.startswith("pattern ") for rule in rules) == sum(map(len, allowed.values()))


def test_the_limits_are_those_of_the_code() -> None:
    assert f"at most {MAX_MESSAGE_BYTES:,} bytes" in section(PAGE, "Messages").text
    assert f"at most {MAX_TRANSCRIPT_CHARS:,} characters" in section(PAGE, "feedback").text
    text = section(PAGE, "feedback").text
    assert f"more than {ingest.MAX_AHEAD_S} s ahead" in text
    assert f"within the last {ingest.MAX_UNSYNCHRONISED_AGE_S // 3600} h" in text


def test_a_record_is_repeated_after_the_time_that_the_page_names() -> None:
    assert f"after {delivery.RECEIPT_TIMEOUT_S:.0f} s," in section(PAGE, "From the press to the receipt").text


def judged(**changes: object) -> ingest.Verdict:
    example = json.loads(section(PAGE, "feedback").code("json")[0]) | changes
    topic = topics.topic("berlin-mitte-01", Channel.FEEDBACK)
    arrival = ingest.Arrival(topic, json.dumps(example).encode(), datetime(2025, 1, 15, 10, 31, tzinfo=UTC))
    return ingest.judge(arrival, {"berlin-mitte-01"})


def content_hash(**changes: object) -> str:
    verdict = judged(**changes)
    assert isinstance(verdict, ingest.Accepted)
    return verdict.content_hash


def test_the_fields_that_are_not_content_are_those_that_the_gateway_leaves_out() -> None:
    (sentence,) = [
        line for line in section(PAGE, "From the press to the receipt").text.splitlines() if "do not count" in line
    ]
    named = {part for part in sentence.split("`") if part in Feedback.__struct_fields__}
    others: dict[str, object] = {
        "created_at": "2025-01-15T10:29:00Z",
        "clock": "unsynchronised",
        "agent_version": "0.2.0",
        "transcript": "other",
        "language": "de",
        "confidence": None,
        "words": [],
        "speech_s": 1,
        "audio_s": 3,
        "model": "other",
        "sequence": 43,
        "consent_version": "1",
    }
    unaffected = {key for key, value in others.items() if content_hash(**{key: value}) == content_hash()}
    assert named == unaffected


def test_a_message_that_names_another_kiosk_than_its_topic_is_refused() -> None:
    assert isinstance(judged(kiosk="hamburg-01"), ingest.Refused)


def test_a_time_is_believed_as_the_page_says() -> None:
    def believed(clock: str, moment: datetime) -> bool:
        verdict = judged(clock=clock, created_at=moment.isoformat())
        assert isinstance(verdict, ingest.Accepted)
        return verdict.time_is_of_the_kiosk

    received_at = datetime(2025, 1, 15, 10, 31, tzinfo=UTC)
    assert believed("synchronised", received_at + timedelta(seconds=300))
    assert not believed("synchronised", received_at + timedelta(seconds=301))
    assert believed("synchronised", received_at - timedelta(days=400))
    assert believed("unsynchronised", received_at - timedelta(hours=24))
    assert not believed("unsynchronised", received_at - timedelta(hours=24, seconds=1))
    assert not believed("unsynchronised", received_at + timedelta(seconds=1))
