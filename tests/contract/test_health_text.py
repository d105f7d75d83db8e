"""A health as text: it fits the terminal, and says all without colour."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import health_text
from contract.health import PART_NAMES
from contract.health_text import lines, size, span
from tests.contract.example_health import WELL, with_part

STATES = ["ok", "degraded", "failed", "absent"]
ILL = with_part(
    with_part(WELL, "panel", state="failed", problem="no panel answers at /dev/ttyACM0: look at its cable"),
    "clock",
    state="degraded",
    problem="the clock is not synchronised: see to a network with a time server",
)


@given(
    st.integers(1, 200),
    st.lists(st.sampled_from(STATES), min_size=7, max_size=7),
    st.text(max_size=400),
)
def test_no_line_is_wider_than_the_terminal_unless_it_is_narrower_than_a_telephone(
    width: int, states: list[str], problem: str
) -> None:
    health = WELL
    for name, state in zip(PART_NAMES, states, strict=True):
        health = with_part(health, name, state=state, problem=problem if state in {"degraded", "failed"} else None)
    for line in lines(health, width):
        assert len(line) <= max(width, 24)
        assert "\n" not in line
        assert line.isprintable()


@pytest.mark.parametrize("width", [45, 80, 120])
def test_each_part_has_its_mark_and_its_sentence(width: int) -> None:
    text = list(lines(ILL, width))
    heads = [line for line in text if re.match(r"(ok|! |!!|--) (agent|ear|panel|uplink|spool|clock|machine)\b", line)]
    assert [line[:2] for line in heads] == ["ok", "ok", "!!", "ok", "ok", "! ", "ok"]
    whole = " ".join(" ".join(text).split())
    assert "no panel answers at /dev/ttyACM0: look at its cable" in whole
    assert "see to a network with a time server" in whole
    assert "visits 14, thanked 12" in whole
    assert text[-1].startswith("2 parts need")


def test_a_kiosk_that_is_well_says_so_at_the_end() -> None:
    assert list(lines(WELL, 80))[-1] == "Everything is as it should be."
    assert list(lines(with_part(ILL, "clock", state="ok"), 80))[-1] == "One part needs somebody to look after it."


def test_colours_change_nothing_but_the_colours() -> None:
    coloured = list(lines(ILL, 80, colours=True))
    assert any("\x1b[" in line for line in coloured)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == list(lines(ILL, 80))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "environment", "expected"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals_of_people_who_want_them(
    output: io.StringIO, environment: dict[str, str], expected: bool
) -> None:
    assert health_text.is_colourful(output, environment) is expected


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86_400, "1 d"), (864_000, "10 d")]
)
def test_a_span_is_in_its_largest_unit(seconds: float, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (4096, "4.1 kB"), (39_845_888, "39.8 MB"), (2e10, "20.0 GB")])
def test_a_size_is_in_the_unit_that_suits_it(count: float, said: str) -> None:
    assert size(int(count)) == said
