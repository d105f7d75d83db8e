"""The health of a kiosk: its message is open to what a newer kiosk adds, and bounded whatever happens."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from contract.health import PART_NAMES, Health, in_words, overall, parts_of, troubled
from contract.messages import MAX_MESSAGE_BYTES, MessageError, decode, encode
from tests.contract.example_health import WELL, with_part

STATES = ["ok", "degraded", "failed", "absent"]


def tree() -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(WELL))
    return decoded


def test_what_was_told_is_what_is_read() -> None:
    assert decode(Health, encode(WELL)) == WELL


@pytest.mark.parametrize("place", ["", *PART_NAMES, "versions", "ear.languages.0"])
def test_a_key_of_a_newer_kiosk_is_ignored_wherever_it_stands(place: str) -> None:
    newer = tree()
    found: Any = newer
    for step in filter(None, place.split(".")):
        found = found[int(step) if step.isdecimal() else step]
    found["of_next_year"] = {"anything": [1, None]}
    assert decode(Health, json.dumps(newer).encode()) == WELL


@pytest.mark.parametrize("place", [*PART_NAMES, "versions", "kiosk", "at"])
def test_what_is_missing_is_an_error(place: str) -> None:
    cut = tree()
    del cut[place]
    with pytest.raises(MessageError, match=f"missing required field `{place}`"):
        decode(Health, json.dumps(cut).encode())


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("ear", "state", "splendid"),
        ("ear", "blocks", -1),
        ("ear", "blocks", 1.5),
        ("ear", "backlog_s", True),
        ("uplink", "online", 1),
        ("agent", "problem", "x" * 401),
        ("agent", "stuck_buttons", ["record"] * 9),
        ("machine", "throttled", "under-voltage"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(part: str, key: str, value: object) -> None:
    wrong = tree()
    wrong[part][key] = value
    with pytest.raises(MessageError):
        decode(Health, json.dumps(wrong).encode())


def test_a_repeated_key_is_an_error_here_too() -> None:
    with pytest.raises(MessageError, match="repeats a key"):
        decode(Health, encode(WELL)[:-1] + b',"kiosk":"other"}')


def largest(info: inspect.Type) -> Any:
    """Return a value of the type that takes as many bytes as its bounds allow."""
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            return cls(**{field.name: largest(field.type) for field in fields})
        case inspect.UnionType(types=members):
            return largest(next(one for one in members if not isinstance(one, inspect.NoneType)))
        case inspect.StrType(max_length=int(most)):
            return "\U0001f600" * most
        case inspect.StrType():
            return "a" * 63
        case inspect.IntType(le=int(most)):
            return most
        case inspect.FloatType():
            return 999_999_999_999.1234
        case inspect.VarTupleType(item_type=item, max_length=int(most)):
            return tuple(largest(item) for _ in range(most))
        case inspect.LiteralType(values=values):
            return max(map(str, values), key=len)
    return {inspect.BoolType: False, inspect.DateTimeType: WELL.at}[type(info)]


def test_the_largest_health_stays_far_below_the_limit_of_a_message() -> None:
    health = largest(inspect.type_info(Health))
    data = encode(health)
    assert decode(Health, data) == health
    assert len(data) < MAX_MESSAGE_BYTES // 2


def test_a_kiosk_that_is_well_is_ok_also_without_a_panel() -> None:
    assert overall(WELL) == "ok"
    assert overall(with_part(WELL, "panel", state="absent")) == "ok"
    assert in_words(WELL) == "ok: idle, 12 thanked, 0 records waiting"


def test_the_gravest_part_speaks_for_the_kiosk_and_comes_first_in_words() -> None:
    ill = with_part(WELL, "agent", state="degraded", problem="a button is stuck")
    assert overall(ill) == "degraded"
    ill = with_part(ill, "panel", state="failed", problem="no panel answers")
    assert overall(ill) == "failed"
    assert [name for name, _ in troubled(ill)] == ["panel", "agent"]
    assert in_words(ill) == "panel failed: no panel answers; agent degraded: a button is stuck"


@given(st.lists(st.sampled_from(STATES), min_size=len(PART_NAMES), max_size=len(PART_NAMES)))
def test_the_overall_state_is_never_absent_and_never_better_than_a_part(states: list[str]) -> None:
    health = WELL
    for name, state in zip(PART_NAMES, states, strict=True):
        health = with_part(health, name, state=state)
    grave = [state for state in states if state in {"degraded", "failed"}]
    assert overall(health) == ("failed" if "failed" in grave else "degraded" if grave else "ok")
    assert len(troubled(health)) == len(grave)
    assert "\n" not in in_words(health)


def test_every_part_is_a_field_and_every_field_with_a_state_is_a_part() -> None:
    with_state = [name for name in Health.__struct_fields__ if hasattr(getattr(WELL, name), "state")]
    assert tuple(with_state) == PART_NAMES
    assert [name for name, _ in parts_of(WELL)] == with_state
    assert msgspec.structs.asdict(WELL).keys() >= set(PART_NAMES)
