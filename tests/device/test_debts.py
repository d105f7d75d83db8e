"""Changes that the spool did not take are made later, in their order."""

import logging

import pytest

from device.debts import RETRY_S, Debts
from device.spool import SpoolError


class Disk:
    """Takes changes, or does not."""

    def __init__(self) -> None:
        self.fails = False
        self.tries = 0
        self.made: list[str] = []

    def change(self, visit: str) -> None:
        self.tries += 1
        if self.fails:
            raise SpoolError("the disk is broken")
        self.made.append(visit)


def test_a_change_is_made_at_once_on_a_disk_that_works() -> None:
    disk, debts = Disk(), Debts()
    debts.add(disk.change, "a", 0.0)
    assert disk.made == ["a"]
    assert len(debts) == 0


def test_what_failed_is_made_in_order_when_the_disk_works_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    disk, debts = Disk(), Debts()
    disk.fails = True
    debts.add(disk.change, "a", 0.0)
    debts.add(disk.change, "b", 0.1)
    assert debts.pay(RETRY_S) == 0
    disk.fails = False
    debts.add(disk.change, "c", RETRY_S + 0.1)
    assert disk.made == []
    assert debts.pay(2 * RETRY_S) == 3
    assert disk.made == ["a", "b", "c"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_broken_disk_is_asked_once_in_a_while_however_many_visits_there_are() -> None:
    disk, debts = Disk(), Debts()
    disk.fails = True
    for number in range(100):
        debts.add(disk.change, str(number), number * RETRY_S / 100)
    assert disk.tries == 1
    assert len(debts) == 100


def test_a_change_with_a_defect_does_not_stand_in_the_way_of_the_others() -> None:
    def defect(_visit: str) -> None:
        raise ZeroDivisionError

    disk, debts = Disk(), Debts()
    with pytest.raises(ZeroDivisionError):
        debts.add(defect, "a", 0.0)
    debts.add(disk.change, "b", 0.1)
    assert disk.made == ["b"]
