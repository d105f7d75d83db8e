"""What is noted of the clock of each boot, and which records wait for their right time."""

from collections.abc import Mapping

import pytest

from device.clock import Stamp
from device.spool import SpoolError
from device.timekeeper import LOOK_S, PATIENCE_S, SELDOM_S, Timekeeper
from tests.device.clocks import TODAY_S, SetClock


class Notes:
    """Keeps what is noted, and counts how often."""

    def __init__(self, known: Mapping[str, float] | None = None) -> None:
        self.known = dict(known or {})
        self.written = 0
        self.broken = False

    def boots(self) -> Mapping[str, float]:
        if self.broken:
            raise SpoolError("the disk is gone")
        return dict(self.known)

    def note_boot(self, boot_id: str, wall_at_boot_s: float) -> None:
        if self.broken:
            raise SpoolError("the disk is gone")
        self.known[boot_id] = wall_at_boot_s
        self.written += 1


def unset() -> SetClock:
    return SetClock(since_boot_s=20.0, wall_s=20.0, synchronised=False)


def online_for(keeper: Timekeeper, clock: SetClock, seconds: float) -> None:
    keeper.look(online=True)
    clock.pass_time(seconds)
    keeper.look(online=True)


def test_a_record_of_this_boot_waits_until_the_clock_is_set() -> None:
    clock, notes = unset(), Notes()
    keeper = Timekeeper(clock, notes)
    pressed = clock.now()
    keeper.look(online=True)
    assert keeper.is_worth_waiting_for(pressed)
    clock.is_set(TODAY_S)
    keeper.look(online=True)
    assert not keeper.is_worth_waiting_for(pressed)
    assert keeper.time_of(pressed)[0].timestamp() == TODAY_S
    assert keeper.time_of(pressed)[1]
    assert notes.known == {"boot": TODAY_S - 20.0}


def test_a_record_of_a_set_clock_and_one_of_an_earlier_boot_do_not_wait() -> None:
    clock = unset()
    keeper = Timekeeper(clock, Notes())
    keeper.look(online=True)
    assert not keeper.is_worth_waiting_for(SetClock().now())
    earlier = Stamp(boot_id="earlier", since_boot_s=5.0, wall_s=5.0, synchronised=False)
    assert not keeper.is_worth_waiting_for(earlier)
    assert keeper.time_of(earlier)[1] is False


def test_the_patience_is_had_once_for_a_boot_and_not_for_each_record(caplog: pytest.LogCaptureFixture) -> None:
    clock = unset()
    keeper = Timekeeper(clock, Notes())
    online_for(keeper, clock, PATIENCE_S - 1)
    assert keeper.is_worth_waiting_for(clock.now())
    clock.pass_time(2)
    keeper.look(online=True)
    assert not keeper.is_worth_waiting_for(clock.now())
    clock.pass_time(3_600)
    keeper.look(online=True)
    assert not keeper.is_worth_waiting_for(clock.now())
    assert [line.levelname for line in caplog.records] == ["WARNING"]


def test_only_time_online_wears_the_patience_out() -> None:
    clock = unset()
    keeper = Timekeeper(clock, Notes())
    for _ in range(100):
        online_for(keeper, clock, 1)
        keeper.look(online=False)
        clock.pass_time(86_400)
        keeper.look(online=False)
    assert keeper.is_worth_waiting_for(clock.now())
    online_for(keeper, clock, PATIENCE_S)
    assert not keeper.is_worth_waiting_for(clock.now())


def test_without_patience_nothing_waits() -> None:
    clock = unset()
    keeper = Timekeeper(clock, Notes(), patience_s=0)
    keeper.look(online=False)
    assert not keeper.is_worth_waiting_for(clock.now())


def test_a_clock_that_is_set_after_the_patience_is_noted_all_the_same() -> None:
    clock, notes = unset(), Notes()
    keeper = Timekeeper(clock, notes, patience_s=0)
    pressed = clock.now()
    keeper.look(online=True)
    clock.is_set(TODAY_S)
    keeper.look(online=True)
    assert keeper.time_of(pressed)[1]
    assert notes.written == 1


def test_the_boots_time_is_noted_again_only_when_it_has_drifted_by_more_than_a_second() -> None:
    clock, notes = SetClock(), Notes()
    keeper = Timekeeper(clock, notes)
    for drift_s in (0.0, 0.4, 0.4):
        clock.wall_s += drift_s
        clock.pass_time(60)
        keeper.look(online=True)
    assert notes.written == 1
    clock.wall_s += 0.4
    keeper.look(online=True)
    assert notes.written == 2
    assert notes.known["boot"] == clock.now().wall_at_boot_s


def test_after_a_reboot_an_earlier_boots_records_get_their_right_time() -> None:
    clock, notes = unset(), Notes()
    pressed = clock.now()
    keeper = Timekeeper(clock, notes)
    clock.pass_time(1_000)
    clock.is_set(TODAY_S)
    keeper.look(online=False)
    clock.reboot("next")
    keeper = Timekeeper(clock, notes)
    keeper.look(online=True)
    assert not keeper.is_worth_waiting_for(pressed)
    moment, synchronised = keeper.time_of(pressed)
    assert (moment.timestamp(), synchronised) == (TODAY_S - 1_000, True)


def test_a_clock_nobody_has_corrected_for_long_is_still_known_in_its_boot() -> None:
    clock, notes = SetClock(), Notes()
    keeper = Timekeeper(clock, notes)
    keeper.look(online=False)
    clock.synchronised = False
    clock.pass_time(86_400)
    clock.wall_s += 365 * 86_400
    pressed = clock.now()
    keeper = Timekeeper(clock, notes)
    keeper.look(online=True)
    assert not keeper.is_worth_waiting_for(pressed)
    moment, synchronised = keeper.time_of(pressed)
    assert (moment.timestamp(), synchronised) == (TODAY_S + 86_400, True)


def test_a_spool_that_cannot_be_written_does_not_stop_the_time() -> None:
    clock, notes = unset(), Notes()
    notes.broken = True
    keeper = Timekeeper(clock, notes)
    pressed = clock.now()
    clock.is_set(TODAY_S)
    keeper.look(online=True)
    assert keeper.time_of(pressed)[1]
    assert notes.known == {}
    notes.broken = False
    keeper.look(online=True)
    assert notes.written == 1


def test_the_clock_is_looked_at_often_only_while_somebody_waits_for_it() -> None:
    clock = unset()
    keeper = Timekeeper(clock, Notes(), patience_s=60)
    keeper.look(online=True)
    assert keeper.next_look_s == LOOK_S
    online_for(keeper, clock, 60)
    assert keeper.next_look_s == SELDOM_S
