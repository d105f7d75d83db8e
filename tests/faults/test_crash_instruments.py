"""The instruments of the crash tests: a disk that forgets what was not flushed, a ledger that sees what is missing."""

import random
from typing import Any

import pytest

from tests.faults.disk import BLOCK_BYTES, Disk, Remains, image_of
from tests.faults.ledger import Ledger

CHANCE = random.Random(1)


def read_after(disk: Disk, remains: Remains, offset: int, size: int) -> bytes:
    return Disk(disk.size, disk.cut(remains, CHANCE)).read(offset, size)


def test_a_disk_keeps_what_was_flushed_and_forgets_the_rest() -> None:
    disk = Disk(4 * BLOCK_BYTES)
    disk.write(10, b"flushed")
    disk.flush()
    disk.write(BLOCK_BYTES - 2, b"cached")
    assert disk.read(10, 7) == b"flushed"
    assert disk.read(BLOCK_BYTES - 2, 6) == b"cached"
    assert read_after(disk, Remains.NOTHING, 10, 7) == b"flushed"
    assert read_after(disk, Remains.NOTHING, BLOCK_BYTES - 2, 6) == bytes(6)
    assert read_after(disk, Remains.ALL, BLOCK_BYTES - 2, 6) == b"cached"


def test_a_cut_may_keep_a_later_write_and_lose_an_earlier_one() -> None:
    disk = Disk(2 * BLOCK_BYTES)
    disk.write(0, b"1")
    disk.write(BLOCK_BYTES, b"2")
    seen = {read_after(disk, Remains.SOME, 0, 1) + read_after(disk, Remains.SOME, BLOCK_BYTES, 1) for _ in range(200)}
    assert seen == {b"12", b"1\0", b"\0" + b"2", b"\0\0"}


def test_a_disk_begins_with_an_image() -> None:
    data = bytes(BLOCK_BYTES) + b"x" * BLOCK_BYTES
    image = image_of(data)
    assert set(image) == {1}
    assert Disk(len(data), image).read(0, len(data)) == data


def thanks(visit: str, at_ns: int = 1) -> dict[str, Any]:
    return {"what": "scene", "scene": "thanks", "visit": visit, "at_ns": at_ns}


def sent(visit: str, sequence: int, message: str) -> dict[str, Any]:
    return {"what": "sent", "visit": visit, "sequence": sequence, "message": message, "at_ns": 2}


def opened(*entries: dict[str, Any], integrity: str = "ok") -> dict[str, Any]:
    return {"what": "opened", "integrity": integrity, "entries": entries, "at_ns": 0}


def entry(visit: str, **changes: Any) -> dict[str, Any]:
    return {"visit": visit, "state": "waiting", "sequence": None, "message": None, "readable": True, **changes}


WRONG = {
    "a record that is gone": ([thanks("a")], opened(), "a was thanked for and is gone"),
    "an unreadable one": ([thanks("a")], opened(entry("a", readable=False)), "a cannot be read"),
    "a damaged database": ([], opened(integrity="page 3"), "the database is damaged: page 3"),
    "other bytes": (
        [thanks("a"), sent("a", 1, "bytes")],
        opened(entry("a", sequence=1, message="other")),
        "a is not kept as it was sent",
    ),
    "a number that is given twice": (
        [thanks("a"), sent("a", 1, "bytes"), {"what": "receipt", "visit": "a", "stored": True, "at_ns": 3}],
        opened(entry("b", sequence=1)),
        "number 1 stands for a and for b",
    ),
    "what was taken back": (
        [
            thanks("a"),
            {"what": "cancelled", "visit": "a", "at_ns": 2},
            {"what": "scene", "scene": "discarded", "visit": "a", "at_ns": 3},
        ],
        opened(entry("a")),
        "a was taken back and is there again",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_ledger_sees(name: str) -> None:
    reports, found, wrong = WRONG[name]
    ledger = Ledger()
    assert ledger.tell(reports) == []
    assert ledger.tell([found]) == [wrong]


def test_the_ledger_excuses_what_a_receipt_or_a_cancel_may_have_deleted() -> None:
    ledger = Ledger()
    life = [
        thanks("a"),
        thanks("b"),
        {"what": "receipt", "visit": "a", "stored": True, "at_ns": 2},
        {"what": "cancelled", "visit": "b", "at_ns": 2},
    ]
    assert ledger.tell(life) == []
    assert ledger.tell([opened()]) == []
    assert (ledger.thanked, ledger.lost) == (2, 0)
    assert ledger.promised == {"a"}, "what is stored must be at the gateway; b may have been deleted before the crash"


def test_the_ledger_expects_nothing_of_what_was_told_after_the_cut() -> None:
    ledger = Ledger()
    assert ledger.tell([thanks("a", at_ns=10), thanks("b", at_ns=20)], until_ns=15) == []
    assert ledger.tell([opened(entry("a"))]) == []
    assert ledger.settled() == {"a"}


def test_what_survived_a_crash_is_owed_until_there_is_a_new_reason() -> None:
    ledger = Ledger()
    ledger.tell([thanks("a"), {"what": "receipt", "visit": "a", "stored": True, "at_ns": 2}])
    assert ledger.tell([opened(entry("a"))]) == []
    assert ledger.tell([opened()]) == ["a was thanked for and is gone"]
    assert ledger.lost == 1
