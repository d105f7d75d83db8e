"""The health message of a kiosk, made from its parts' figures."""

import logging
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contract.health import Health, parts_of
from contract.messages import decode, encode
from device.health import HealthMaker, Sources
from device.stats import SpoolStats
from firmware_bridge import Button, Display, Identity
from tests.device import figures

IDENTITY = Identity(
    protocol=1,
    session=7,
    firmware=(1, 2, 3),
    buttons=frozenset({Button.RECORD}),
    held=frozenset(),
    missed_presses=0,
    leds=3,
    display=Display.NONE,
    serial_number="VP-17",
)


def sources(**changes: Any) -> Sources:
    fields: dict[str, Callable[[], Any] | None] = {
        "agent": figures.agent,
        "ear": figures.ear,
        "panel": figures.panel,
        "identity": lambda: IDENTITY,
        "uplink": figures.uplink,
        "spool": figures.spool,
        "clock": figures.clock,
        "machine": figures.machine,
    }
    return Sources(**{**fields, **changes})


def make(**changes: Any) -> Health:
    return HealthMaker(sources(**changes), kiosk="front-door", agent_version="0.1.0").make()


def test_a_kiosk_that_is_well_says_so_of_every_part() -> None:
    health = make()
    assert [(name, part.state, part.problem) for name, part in parts_of(health)] == [
        (name, "ok", None) for name in ("agent", "ear", "panel", "uplink", "spool", "clock", "machine")
    ]
    assert health.kiosk == "front-door"
    assert health.session == 1_000_001
    assert health.panel.firmware == "1.2.3"
    assert health.at.timestamp() == 1_764_149_400.0


def test_what_is_made_is_what_the_gateway_reads() -> None:
    health = make(panel=None)
    assert health.panel.state == "absent"
    assert decode(Health, encode(health)) == health


def test_what_the_ear_printed_stays_on_the_kiosk() -> None:
    assert b"something the ear printed" not in encode(make())


def test_texts_that_are_too_long_or_hold_rubbish_are_clipped_and_cleaned() -> None:
    health = make(
        ear=lambda: figures.ear(is_ready=False, reason="x\n\x00\ud800" + "y" * 10_000),
        agent=lambda: figures.agent(stuck_buttons=("b" * 100,) * 100, phase="p" * 100),
        uplink=lambda: figures.uplink(online=False, reason="z" * 10_000),
    )
    assert decode(Health, encode(health)) == health
    assert health.ear.problem is not None
    assert health.ear.problem.startswith("x \ufffdyyy")
    assert health.ear.problem.endswith("y…")
    assert len(health.agent.stuck_buttons) == 8


@pytest.mark.parametrize("wall_s", [-1e18, -1.0, 0.0, 1e18])
def test_a_clock_that_is_wrong_beyond_any_calendar_breaks_nothing(wall_s: float) -> None:
    health = make(clock=lambda: figures.clock(wall_s=wall_s, last_jump_s=wall_s))
    assert decode(Health, encode(health)) == health


def test_a_figure_out_of_bounds_is_brought_back() -> None:
    health = make(uplink=lambda: figures.uplink(state_for_s=-3.0, last_receipt_s=1e300))
    assert health.uplink.state_for_s == 0
    assert math.isfinite(health.uplink.last_receipt_s or 0)
    assert decode(Health, encode(health)) == health


class Failing:
    """A part that tells its figures, and then cannot any more, and then can."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self) -> SpoolStats:
        if self.error is not None:
            raise self.error
        return figures.spool(waiting=5)


def test_a_part_that_cannot_tell_how_it_is_is_failed_with_its_last_figures(caplog: pytest.LogCaptureFixture) -> None:
    part = Failing()
    maker = HealthMaker(sources(spool=part), kiosk="front-door", agent_version="0.1.0")
    assert maker.make().spool.state == "ok"
    part.error = OSError("the disk has gone")
    with caplog.at_level(logging.ERROR):
        told = [maker.make().spool for _ in range(3)]
    assert {(spool.state, spool.waiting) for spool in told} == {("failed", 5)}
    assert len(caplog.records) == 1
    assert "the disk has gone" not in str(told[0].problem)
    part.error = None
    assert maker.make().spool.state == "ok"


def test_a_part_that_never_told_how_it_is_is_no_health() -> None:
    part = Failing()
    part.error = OSError("the disk has gone")
    with pytest.raises(OSError, match="the disk has gone"):
        make(spool=part)


def test_every_figure_of_a_part_that_a_person_could_ask_for_is_told() -> None:
    told = msgspec.to_builtins(make())
    for name, left_out in {
        "agent": set(),
        "uplink": set(),
        "spool": {"problem"},
        "clock": {"wall_s", "since_boot_s"},
        "machine": set(),
    }.items():
        stats = getattr(figures, name)()
        assert set(stats.__struct_fields__) - left_out <= told[name].keys()
