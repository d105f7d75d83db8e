"""The spool: what is acknowledged stays until the gateway has it."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from device.record import Record
from device.spool import Outcome, Spool, SpoolError, marks
from device.spool.marks import Marks
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
    stored = Outcome("one", stored=True)
    assert spool.settle([stored]) == [stored]
    assert spool.settle([stored]) == []
    refused = Outcome("two", stored=False, reason="the gateway does not know this kiosk")
    assert spool.settle([refused]) == [refused]
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
    assert spool.settle([Outcome("one", stored=True)])
    spool.begin()
    assert [(entry.id, entry.sequence) for entry in spool.waiting(limit=9)] == [("three", 2), ("four", 3)]


def test_a_repetition_sends_the_bytes_of_the_first_time(spool: Spool) -> None:
    released(spool, "one")
    for message in (b"first", b"second"):
        spool.freeze_all([("one", message), ("two", b"of nobody")])
        assert [entry.message for entry in spool.entries()] == [b"first"]


def test_the_commit_is_the_kind_that_a_power_cut_leaves_whole(spool: Spool) -> None:
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_only_the_agents_user_can_read_the_spool(spool: Spool) -> None:
    assert spool.path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_refuses_the_new_record_and_keeps_the_old_ones(spool: Spool) -> None:
    spool.add(a_record("one"))
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(SpoolError, match="full"):
        fill(spool, records=1_000)
    assert "one" in [entry.id for entry in spool.entries()]


def test_a_record_that_is_there_already_is_refused(spool: Spool) -> None:
    spool.add(a_record("one"))
    with pytest.raises(SpoolError) as refused:
        spool.add(a_record("one"))
    assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)
    assert spool.refusal() is None


# ---------------------------------------------------------------- many at once


def released(spool: Spool, *names: str) -> None:
    for name in names:
        spool.add(a_record(name))
        spool.release(name)


def test_many_receipts_are_settled_in_one_commit_and_the_strange_ones_are_left_out(spool: Spool) -> None:
    released(spool, "one", "two", "three")
    spool.add(a_record("held"))
    before = spool.stats().commits
    good, bad = Outcome("one", stored=True), Outcome("two", stored=False, reason="because")
    assert spool.settle([good, Outcome("nobody", stored=True), bad, Outcome("held", stored=True), good]) == [good, bad]
    assert spool.stats().commits == before + 1
    assert {entry.id: entry.state for entry in spool.entries()} == {
        "two": "refused",
        "three": "waiting",
        "held": "held",
    }


def test_a_record_of_which_one_copy_was_refused_and_another_stored_is_stored(spool: Spool) -> None:
    released(spool, "one")
    spool.settle([Outcome("one", stored=False, reason="because")])
    assert spool.settle([Outcome("one", stored=True)])
    assert spool.entries() == []


def test_many_messages_are_frozen_in_one_commit_and_the_first_bytes_win(spool: Spool) -> None:
    released(spool, "one", "two")
    spool.freeze_all([("one", b"first")])
    before = spool.stats().commits
    spool.freeze_all([("one", b"second"), ("two", b"third"), ("nobody", b"fourth")])
    assert spool.stats().commits == before + 1
    assert [entry.message for entry in spool.waiting(limit=9)] == [b"first", b"third"]


def test_the_queue_can_be_read_on_from_a_number(spool: Spool) -> None:
    released(spool, "one", "two", "three")
    assert [entry.id for entry in spool.waiting(limit=1, after_sequence=1)] == ["two"]
    assert [entry.id for entry in spool.waiting(limit=9, after_sequence=2)] == ["three"]


def test_nothing_to_do_is_no_commit(spool: Spool) -> None:
    before = spool.stats().commits
    spool.freeze_all([])
    assert spool.settle([]) == []
    assert spool.stats().commits == before


# ---------------------------------------------------------------- boots


def in_boot(name: str, boot: str) -> Record:
    record = a_record(name)
    return msgspec.structs.replace(record, pressed=msgspec.structs.replace(record.pressed, boot_id=boot))


def test_a_boot_is_known_as_long_as_a_record_is_of_it(tmp_path: Path, spool: Spool) -> None:
    spool.note_boot("first", 100.0)
    spool.add(in_boot("one", "first"))
    spool.note_boot("second", 200.0)
    spool.note_boot("third", 300.0)
    spool.note_boot("third", 301.0)
    again = Spool(spool.path)
    assert again.boots() == {"first": 100.0, "third": 301.0}
    again.take_back("one")
    again.note_boot("fourth", 400.0)
    assert again.boots() == {"fourth": 400.0}
    again.close()


# ---------------------------------------------------------------- versions

VERSION_0 = """
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('held', 'waiting', 'refused')),
    sequence INTEGER UNIQUE CHECK ((sequence IS NULL) = (state = 'held')),
    record BLOB NOT NULL,
    message BLOB,
    reason TEXT
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counters VALUES ('starts', 7), ('sequence', 40);
"""


def version_0(path: Path) -> None:
    """A spool as the first version made it."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(VERSION_0)
    db.execute(
        "INSERT INTO records (id, state, sequence, record) VALUES ('old', 'waiting', 40, ?)",
        (msgspec.json.encode(a_record("old")),),
    )
    db.close()


def test_a_spool_of_the_first_version_is_brought_up_in_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spool.sqlite3"
    version_0(path)
    spool = Spool(path)
    assert spool.begin() == 8
    assert waiting(spool) == ["old"]
    released(spool, "new")
    assert [entry.sequence for entry in spool.waiting(limit=9)] == [40, 41]
    assert spool._db.execute("PRAGMA user_version").fetchone() == (1,)
    assert spool._db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    spool.note_boot("boot", 1.0)
    spool.close()
    assert caplog.messages == []


def test_a_migration_that_is_cut_off_leaves_the_earlier_version_whole(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    version_0(path)
    cut = sqlite3.connect(path, isolation_level=None)
    cut.execute("BEGIN IMMEDIATE")
    cut.execute("CREATE TABLE boots (boot_id TEXT PRIMARY KEY, wall_at_boot_s REAL NOT NULL)")
    cut.execute("PRAGMA user_version = 1")
    cut.close()  # without a commit, as a power cut would
    spool = Spool(path)
    assert waiting(spool) == ["old"]
    assert spool.stats().salvages == 0
    spool.close()


# ---------------------------------------------------------------- counting, whatever becomes of the file


def begun(path: Path) -> tuple[int, int]:
    """Start on a spool; return the number of the start and that of the next record."""
    spool = Spool(path)
    start = spool.begin()
    released(spool, f"of start {start}")
    number = spool.waiting(limit=1_000)[-1].sequence
    spool.close()
    assert number is not None
    return start, number


def test_a_spool_that_somebody_removed_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    begun(path)
    first = begun(path)
    path.unlink()
    second = begun(path)
    assert second[0] == first[0] + 1
    assert second[1] > first[1]


def test_a_write_ahead_log_that_is_gone_takes_no_number_with_it(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    spool = Spool(path)
    start = spool.begin()
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    released(spool, *map(str, range(5)))
    (tmp_path / "copy").mkdir()
    for name in (path.name, f"{path.name}.marks"):  # what a cut leaves, but without the log
        (tmp_path / "copy" / name).write_bytes((tmp_path / name).read_bytes())
    spool.close()
    again = begun(tmp_path / "copy" / path.name)
    assert again[0] > start
    assert again[1] > 5


def test_marks_that_are_damaged_are_no_marks(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    assert marks.write(path, Marks(starts=3, sequence=1_000, in_use=True))
    assert marks.read(path) == Marks(starts=3, sequence=1_000, in_use=True)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert marks.read(path) in (None, Marks(starts=3, sequence=1_000, in_use=True))
        path.write_bytes(whole[:at])
        assert marks.read(path) is None


def test_a_start_writes_no_marks_for_each_record(tmp_path: Path, spool: Spool) -> None:
    spool.begin()
    released(spool, "one")
    before = marks.path_of(spool.path).stat().st_ino
    released(spool, *map(str, range(20)))
    assert marks.path_of(spool.path).stat().st_ino == before


# ---------------------------------------------------------------- room


def test_ten_thousand_drained_records_give_their_room_back_and_the_log_stays_small(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    data = msgspec.json.encode(a_record("x"))
    with spool._lock:
        spool._db.execute("BEGIN")
        spool._db.executemany(
            "INSERT INTO records (id, state, sequence, record, message) VALUES (?, 'waiting', ?, ?, ?)",
            ((f"{number:036}", number, data, bytes(2_000)) for number in range(1, 10_001)),
        )
        spool._db.execute("COMMIT")
    full = spool.stats()
    assert full.waiting == 10_000
    assert full.size_bytes > 20_000_000
    names = [f"{number:036}" for number in range(1, 10_001)]
    for at in range(0, 10_000, 100):
        assert len(spool.settle([Outcome(name, stored=True) for name in names[at : at + 100]])) == 100
    spool._db.execute("PRAGMA wal_checkpoint")
    assert spool.stats().size_bytes < 4_000_000
    spool.close()
    assert spool.path.stat().st_size < 2_000_000


def test_the_figures_are_of_the_records_and_of_the_disk(spool: Spool) -> None:
    spool.note_boot("boot", 1.0)
    released(spool, "one", "two")
    spool.add(a_record("three"))
    spool.settle([Outcome("one", stored=False, reason="because")])
    stats = spool.stats()
    assert (stats.held, stats.waiting, stats.refused, stats.oldest_waiting) == (1, 1, 1, "two")
    assert (stats.room, stats.problem, stats.failures, stats.salvages, stats.lost_in_salvage) == ("open", None, 0, 0, 0)
    assert stats.size_bytes >= spool.path.stat().st_size
    assert stats.free_bytes > 0
    assert stats.last_commit_ms is not None
    assert stats.slowest_commit_ms is not None
    assert 0 < stats.last_commit_ms <= stats.slowest_commit_ms


def test_the_figures_wait_for_no_commit(spool: Spool) -> None:
    released(spool, "one")
    assert spool.stats().waiting == 1
    reached = []
    with spool._lock:
        asking = threading.Thread(target=lambda: reached.append(spool.stats().waiting))
        asking.start()
        asking.join(10.0)
    assert reached == [1]
