"""The spool: what is acknowledged stays until the gateway has it."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.spool import Spool, SpoolError
from tests.device.records import a_record


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.sqlite3")
    yield spool
    spool.close()


def fill(spool: Spool, records: int) -> None:
    for number in range(records):
        spool.add(a_record(f"more-{number}"))


def waiting(spool: Spool) -> list[str]:
    return [entry.id for entry in spool.waiting(limit=100)]


def test_a_record_waits_for_the_gateway_only_after_its_release(spool: Spool) -> None:
    spool.add(a_record("one"))
    assert waiting(spool) == []
    spool.release("one")
    assert waiting(spool) == ["one"]


def test_a_record_that_is_taken_back_is_gone_and_a_released_one_cannot_be(spool: Spool) -> None:
    spool.add(a_record("one"))
    spool.add(a_record("two"))
    spool.take_back("one")
    spool.release("two")
    spool.take_back("two")
    assert waiting(spool) == ["two"]


def test_what_a_crash_left_held_is_released_at_the_next_start(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool.sqlite3")
    first.add(a_record("one"))
    first.close()
    second = Spool(tmp_path / "spool.sqlite3")
    assert waiting(second) == []
    second.begin()
    assert waiting(second) == ["one"]
    second.close()


def test_looking_at_the_spool_releases_nothing(tmp_path: Path, spool: Spool) -> None:
    spool.add(a_record("one"))
    looker = Spool(spool.path)
    assert [entry.state for entry in looker.entries()] == ["held"]
    looker.close()


def test_every_start_has_a_higher_number(tmp_path: Path) -> None:
    numbers = []
    for _ in range(3):
        spool = Spool(tmp_path / "spool.sqlite3")
        numbers.append(spool.begin())
        spool.close()
    assert numbers == sorted(set(numbers))


def test_a_record_is_deleted_only_by_a_receipt_that_says_stored(spool: Spool) -> None:
    for name in ("one", "two"):
        spool.add(a_record(name))
        spool.release(name)
    assert spool.stored("one")
    assert not spool.stored("one")
    assert spool.refused("two", "the gateway does not know this kiosk")
    assert waiting(spool) == []
    (shelved,) = spool.entries()
    assert (shelved.id, shelved.state, shelved.reason) == ("two", "refused", "the gateway does not know this kiosk")


def test_what_leaves_the_kiosk_is_numbered_without_a_gap(tmp_path: Path, spool: Spool) -> None:
    for name in ("one", "two", "three", "four"):
        spool.add(a_record(name))
    spool.release("one")
    spool.take_back("two")
    spool.release("three")
    spool.release("three")
    assert spool.stored("one")
    spool.begin()
    assert [(entry.id, entry.sequence) for entry in spool.waiting(limit=9)] == [("three", 2), ("four", 3)]


def test_a_repetition_sends_the_bytes_of_the_first_time(spool: Spool) -> None:
    spool.add(a_record("one"))
    assert spool.freeze("one", lambda: b"first") == b"first"
    assert spool.freeze("one", lambda: b"second") == b"first"
    with pytest.raises(KeyError):
        spool.freeze("two", lambda: b"")


def test_the_commit_is_the_kind_that_a_power_cut_leaves_whole(spool: Spool) -> None:
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_only_the_agents_user_can_read_the_spool(spool: Spool) -> None:
    assert spool.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    path.write_bytes(b"this is no database, but long enough to look like a file of some kind" * 20)
    with pytest.raises(SpoolError, match=r"spool\.sqlite3 cannot be used: file is not a database"):
        Spool(path)


def test_a_full_disk_refuses_the_new_record_and_keeps_the_old_ones(spool: Spool) -> None:
    spool.add(a_record("one"))
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(SpoolError, match="full"):
        fill(spool, records=1_000)
    assert "one" in [entry.id for entry in spool.entries()]


CHANGE: dict[str, tuple[Callable[[Spool, str], object], str, str | None]] = {
    "release": (lambda spool, name: spool.release(name), "held", "waiting"),
    "take_back": (lambda spool, name: spool.take_back(name), "held", None),
    "stored": (lambda spool, name: spool.stored(name), "waiting", None),
    "refused": (lambda spool, name: spool.refused(name, "because"), "waiting", "refused"),
}


def change(spool: Spool, model: dict[str, str], action: str, name: str) -> None:
    """Do one thing to the spool and to the dictionary that tells what the spool should hold."""
    if action == "add":
        if name in model:
            with pytest.raises(SpoolError) as refused:
                spool.add(a_record(name))
            assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)
        else:
            spool.add(a_record(name))
            model[name] = "held"
        return
    do, before, after = CHANGE[action]
    do(spool, name)
    if model.get(name) == before:
        del model[name]
        if after is not None:
            model[name] = after


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", *CHANGE]), st.integers(0, 5).map(str))))
def test_the_spool_does_what_a_plain_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str]]
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "spool.sqlite3")
    model: dict[str, str] = {}
    for action, name in actions:
        change(spool, model, action, name)
    assert {entry.id: entry.state for entry in spool.entries()} == model
    spool.close()
