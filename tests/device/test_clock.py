"""When a visit was, on a machine without a clock battery."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.clock import TIME_FLOOR_S, ClockWatch, Stamp, SystemClock, kernel_error_us, resolve
from tests.device.clocks import TODAY_S, SetClock

SYNCED = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
YEAR_S = 365 * 86_400.0


def stamp(since_boot_s: float, wall: datetime | float, *, synchronised: bool, boot_id: str = "boot") -> Stamp:
    wall_s = wall.timestamp() if isinstance(wall, datetime) else wall
    return Stamp(boot_id=boot_id, since_boot_s=since_boot_s, wall_s=wall_s, synchronised=synchronised)


def test_a_stamp_of_a_synchronised_clock_is_taken_as_it_is() -> None:
    then = stamp(10, SYNCED, synchronised=True)
    assert resolve(then, stamp(99, 5.0, synchronised=False), {"boot": 5.0}) == (SYNCED, True)


def test_a_stamp_from_before_the_clock_was_set_gets_its_time_from_the_set_clock() -> None:
    then = stamp(40, 0.0, synchronised=False)
    expected = datetime(2026, 11, 23, 11, 59, 0, tzinfo=UTC)
    assert resolve(then, stamp(100, SYNCED, synchronised=True), {"boot": 5.0}) == (expected, True)


def test_a_stamp_of_an_earlier_boot_without_a_set_clock_stays_as_unsure_as_it_is() -> None:
    then = stamp(40, 1_000.0, synchronised=False, boot_id="earlier")
    found = resolve(then, stamp(100, SYNCED, synchronised=True), {"boot": SYNCED.timestamp()})
    assert found == (datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC), False)


def test_a_stamp_of_an_earlier_boot_gets_its_time_from_what_was_noted_of_that_boot() -> None:
    then = stamp(40, 1_000.0, synchronised=False, boot_id="earlier")
    found = resolve(then, stamp(100, 100.0, synchronised=False), {"earlier": SYNCED.timestamp()})
    assert found == (datetime(2026, 11, 23, 12, 0, 40, tzinfo=UTC), True)


def test_this_machines_clock_goes_forward() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert first.boot_id == second.boot_id
    assert second.since_boot_s >= first.since_boot_s > 0


def test_the_kernel_tells_its_largest_possible_error() -> None:
    error_us = kernel_error_us()
    assert error_us is None or 0 <= error_us <= 16_000_000


def test_a_clock_that_is_wrong_beyond_any_calendar_still_gives_a_time() -> None:
    assert resolve(stamp(1, 1e18, synchronised=False), stamp(2, 1e18, synchronised=False), {})[0].year == 9999
    assert resolve(stamp(1, -1e18, synchronised=False), stamp(2, 0.0, synchronised=False), {})[0].year == 1970


@pytest.mark.parametrize(("error_us", "synchronised"), [(0, True), (15_999_999, True), (16_000_000, False)])
def test_a_clock_is_synchronised_while_the_kernel_knows_its_error(
    tmp_path: Path, error_us: int, synchronised: bool
) -> None:
    witness = tmp_path / "synchronized"
    witness.touch()
    clock = SystemClock(error_us=lambda: error_us, timesyncd_has_set=witness, wall=lambda: TODAY_S)
    assert clock.now().synchronised is synchronised


def test_where_a_sandbox_forbids_to_ask_the_kernel_timesyncds_word_counts(tmp_path: Path) -> None:
    witness = tmp_path / "synchronized"
    clock = SystemClock(error_us=lambda: None, timesyncd_has_set=witness, wall=lambda: TODAY_S)
    assert not clock.now().synchronised
    witness.touch()
    assert clock.now().synchronised


def test_a_wall_clock_older_than_the_program_is_never_believed() -> None:
    assert not SystemClock(error_us=lambda: 0, wall=lambda: TIME_FLOOR_S - 1).now().synchronised
    assert SystemClock(error_us=lambda: 0, wall=lambda: TIME_FLOOR_S).now().synchronised


def test_a_process_that_is_halted_between_the_two_readings_reads_again() -> None:
    # Halted for an hour between the first readings of the two clocks.
    boots: Iterator[float] = chain([10.0, 3_610.0], repeat(3_611.0))
    walls: Iterator[float] = chain([TODAY_S + 3_600.0], repeat(TODAY_S + 3_601.0))
    moment = SystemClock(since_boot=boots.__next__, wall=walls.__next__, error_us=lambda: 0).now()
    assert (moment.since_boot_s, moment.wall_s) == (3_611.0, TODAY_S + 3_601.0)


def test_a_clock_that_never_reads_in_time_still_gives_a_moment() -> None:
    boots = iter(range(10, 1_000))
    moment = SystemClock(since_boot=lambda: float(next(boots)), wall=lambda: TODAY_S).now()
    assert moment.wall_s == TODAY_S


def test_a_jump_of_the_wall_clock_is_counted_once_with_its_size() -> None:
    clock = SetClock(synchronised=False)
    watch = ClockWatch(clock)
    assert watch.stats().jumps == 0
    clock.wall_s += YEAR_S
    watch.now()
    clock.pass_time(10)
    stats = watch.stats()
    assert (stats.jumps, stats.last_jump_s) == (1, YEAR_S)
    clock.wall_s -= YEAR_S
    stats = watch.stats()
    assert (stats.jumps, stats.last_jump_s) == (2, -YEAR_S)
    assert (stats.synchronised, stats.since_boot_s) == (False, 110.0)


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_time_that_passes_is_no_jump_even_while_the_machine_is_suspended(spans: list[float]) -> None:
    clock = SetClock()
    watch = ClockWatch(clock)
    for seconds in spans:
        clock.pass_time(seconds)
        watch.now()
    assert watch.stats().jumps == 0


WALL_CLOCKS = re.compile(r"\btime\.time\b|\btime_ns\(|CLOCK_REALTIME|datetime\.(?:now|utcnow|today)\(|\blocaltime\(")
MAY_LOOK_AT_THE_WALL = {
    "device/clock.py": "is the clock",
    "device/event_feed.py": "tells listeners when something happened",
    "device/cli/panel/monitor.py": "shows a person the time",
    "device/spool/opening.py": "names what is set aside",
    "audio/models/catalogue_source.py": "compares with dates that a server names",
    "audio/models/download.py": "compares with dates that a server names",
    "audio/models/install.py": "writes down when a model was installed",
}


def test_nothing_on_the_kiosk_waits_by_the_wall_clock() -> None:
    root = Path(__file__).parents[2]
    found = {
        str(path.relative_to(root))
        for package in ("device", "audio", "firmware_bridge")
        for path in (root / package).rglob("*.py")
        if WALL_CLOCKS.search(path.read_text(encoding="utf-8"))
    }
    assert {path for path in found if not path.startswith("audio/demo_model/")} <= set(MAY_LOOK_AT_THE_WALL)
