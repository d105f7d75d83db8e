"""When a visit was, on a machine without a clock battery."""

from datetime import UTC, datetime

from device.clock import Stamp, SystemClock, resolve

SYNCED = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def stamp(since_boot_s: float, wall: datetime | float, *, synchronised: bool, boot_id: str = "boot") -> Stamp:
    wall_s = wall.timestamp() if isinstance(wall, datetime) else wall
    return Stamp(boot_id=boot_id, since_boot_s=since_boot_s, wall_s=wall_s, synchronised=synchronised)


def test_a_stamp_of_a_synchronised_clock_is_taken_as_it_is() -> None:
    then = stamp(10, SYNCED, synchronised=True)
    assert resolve(then, stamp(99, 5.0, synchronised=False)) == (SYNCED, True)


def test_a_stamp_from_before_the_clock_was_set_gets_its_time_from_the_set_clock() -> None:
    then = stamp(40, 0.0, synchronised=False)
    assert resolve(then, stamp(100, SYNCED, synchronised=True)) == (datetime(2026, 11, 23, 11, 59, 0, tzinfo=UTC), True)


def test_a_stamp_of_an_earlier_boot_without_a_set_clock_stays_as_unsure_as_it_is() -> None:
    then = stamp(40, 1_000.0, synchronised=False, boot_id="earlier")
    assert resolve(then, stamp(100, SYNCED, synchronised=True)) == (datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC), False)


def test_this_machines_clock_goes_forward() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert first.boot_id == second.boot_id
    assert second.since_boot_s >= first.since_boot_s > 0


def test_a_clock_that_is_wrong_beyond_any_calendar_still_gives_a_time() -> None:
    assert resolve(stamp(1, 1e18, synchronised=False), stamp(2, 1e18, synchronised=False))[0].year == 9999
    assert resolve(stamp(1, -1e18, synchronised=False), stamp(2, 0.0, synchronised=False))[0].year == 1970
