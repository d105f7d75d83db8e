"""Topics: taken apart as they were put together, and closed to every id that reaches beyond its own kiosk."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.topics import (
    KIOSK_ID_PATTERN,
    ROOT,
    Channel,
    KioskTopic,
    TopicError,
    every_kiosk,
    is_kiosk_id,
    parse,
    topic,
)

HOSTILE_IDS = [
    "",
    "+",
    "#",
    "a/b",
    "../a",
    "a/#",
    "a\n",
    "\na",
    "a\x00",
    "A",
    "Kiosk-1",
    "-a",
    "a-",
    "a" * 64,
    "a_b",
    "a.b",
    "a b",
    "ä",
    "٣",
    "$share",
    "%u",
]


@given(st.from_regex(KIOSK_ID_PATTERN.replace("$", r"\Z")), st.sampled_from(Channel))
def test_a_topic_is_taken_apart_as_it_was_put_together(kiosk: str, channel: Channel) -> None:
    assert parse(topic(kiosk, channel)) == KioskTopic(kiosk, channel)
    assert str(parse(topic(kiosk, channel))) == topic(kiosk, channel)


@pytest.mark.parametrize("kiosk", ["a", "0", "ab", "a-b", "a--b", "berlin-mitte-01", "a" * 63])
def test_an_id_that_is_also_a_dns_label_is_a_kiosk_id(kiosk: str) -> None:
    assert is_kiosk_id(kiosk)


@pytest.mark.parametrize("kiosk", HOSTILE_IDS)
def test_a_hostile_id_makes_no_topic_and_is_read_from_none(kiosk: str) -> None:
    assert not is_kiosk_id(kiosk)
    with pytest.raises(TopicError, match="is no kiosk id"):
        topic(kiosk, Channel.FEEDBACK)
    with pytest.raises(TopicError, match="is no topic"):
        parse(f"{ROOT}/{kiosk}/feedback")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ROOT,
        f"{ROOT}/",
        f"{ROOT}/a",
        f"{ROOT}/a/",
        f"{ROOT}/a/feedback/",
        f"{ROOT}/a/feedback/b",
        f"{ROOT}/a/FEEDBACK",
        f"{ROOT}/a/config",
        f"/{ROOT}/a/feedback",
        f"x{ROOT}/a/feedback",
        "voiseback/v2/kiosks/a/feedback",
        f"{ROOT}/a/feedback\n",
        f"{ROOT}/{ROOT}/a/feedback",
    ],
)
def test_what_is_not_of_this_contract_is_refused(text: str) -> None:
    with pytest.raises(TopicError):
        parse(text)


@given(st.text())
def test_reading_a_topic_raises_nothing_but_a_topic_error(text: str) -> None:
    for candidate in (text, f"{ROOT}/{text}", f"{ROOT}/{text}/feedback", f"{ROOT}/a/{text}"):
        with contextlib.suppress(TopicError):
            assert str(parse(candidate)) == candidate


@pytest.mark.parametrize("channel", Channel)
def test_the_filter_for_every_kiosk_has_one_wildcard_in_the_place_of_the_id(channel: Channel) -> None:
    assert every_kiosk(channel) == f"voiseback/v1/kiosks/+/{channel}"
