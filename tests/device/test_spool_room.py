"""A disk that is full, read-only or broken: the next visit is refused, nothing is lost, and its end is noticed."""

import logging
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.spool import Outcome, Spool, SpoolError
from device.spool.room import PROBE_S, RESERVE_BYTES, SLACK_BYTES, RoomState
from device.stats import Room
from tests.device.records import a_record

# ---------------------------------------------------------------- the machine


def test_a_spool_that_is_full_takes_records_again_only_with_more_room_than_it_was_refused_for() -> None:
    state = RoomState().measured(RESERVE_BYTES)
    assert state.room is Room.OPEN
    state = state.measured(RESERVE_BYTES - 1)
    assert state.room is Room.FULL
    assert state.problem is not None
    state = state.measured(RESERVE_BYTES + SLACK_BYTES - 1)
    assert state.room is Room.FULL
    state = state.measured(RESERVE_BYTES + SLACK_BYTES)
    assert (state.room, state.problem) == (Room.OPEN, None)


def test_a_failed_write_is_tried_again_at_a_bounded_rate() -> None:
    state = RoomState().failed("disk I/O error", 100.0)
    assert state.room is Room.BROKEN
    assert "disk I/O error" in (state.problem or "")
    assert not state.is_probe_due(100.0 + PROBE_S - 0.1)
    assert state.is_probe_due(100.0 + PROBE_S)
    assert not state.failed("still", 100.0 + PROBE_S).is_probe_due(100.0 + PROBE_S)
    assert state.succeeded().problem is None


@given(st.lists(st.one_of(st.integers(0, 64 * 2**20), st.sampled_from(["failed", "succeeded"])), min_size=1))
def test_there_is_a_problem_exactly_while_there_is_no_room(events: list[int | str]) -> None:
    state = RoomState()
    free, broken = 2**40, False
    for event in events:
        if isinstance(event, int):
            free, state = event, state.measured(event)
        else:
            broken = event == "failed"
            state = state.failed("why", 0.0) if broken else state.succeeded()
        assert (state.problem is None) == (state.room is Room.OPEN)
        assert state.room is not Room.OPEN or (free >= RESERVE_BYTES and not broken)
        assert state.room is Room.OPEN or broken or free < RESERVE_BYTES + SLACK_BYTES


# ---------------------------------------------------------------- errors that can be had everywhere


@dataclass
class Clock:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.sqlite3", monotonic=clock)
    spool.begin()
    yield spool
    spool.close()


@contextmanager
def no_more_pages(spool: Spool) -> Iterator[None]:
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        spool._db.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def read_only(spool: Spool) -> Iterator[None]:
    spool._db.execute("PRAGMA query_only = 1")
    try:
        yield
    finally:
        spool._db.execute("PRAGMA query_only = 0")


@contextmanager
def broken_disk(spool: Spool) -> Iterator[None]:
    """The kernel refuses every write behind the first kilobyte of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


Trouble = Callable[[Spool], AbstractContextManager[None]]


def add_until_refused(spool: Spool) -> list[str]:
    """Add records until one cannot be kept; return those that were kept."""
    kept: list[str] = []
    for number in range(1_000):
        try:
            spool.add(a_record(f"more-{number}"))
        except SpoolError:
            return kept
        kept.append(f"more-{number}")
    pytest.fail("every record was kept")


@pytest.mark.parametrize("trouble", [no_more_pages, read_only, broken_disk], ids=["full", "read-only", "broken"])
def test_after_a_failed_write_the_next_visit_is_refused_until_a_write_works(
    spool: Spool, clock: Clock, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spool.add(a_record("one"))
    assert spool.refusal() is None
    with trouble(spool):
        kept = add_until_refused(spool)
        for _ in range(20):
            clock.now_s += 1.0
            refusal = spool.refusal()
        if trouble is not no_more_pages:  # there the probe has room
            assert refusal is not None
            assert "failed" in refusal
            assert spool.stats().room is Room.BROKEN
            assert 2 <= spool.stats().failures <= 6
    clock.now_s += PROBE_S
    assert spool.refusal() is None
    assert spool.stats().room is Room.OPEN
    assert [one.levelname for one in caplog.records if one.levelno >= logging.INFO] == ["WARNING", "INFO"]
    assert [entry.id for entry in spool.entries()] == ["one", *kept]
    spool.release("one")
    assert spool.settle([Outcome("one", stored=True)])


def test_any_write_that_works_ends_the_refusal(spool: Spool) -> None:
    spool.add(a_record("one"))
    with read_only(spool):
        add_until_refused(spool)
    assert spool.refusal() is not None
    spool.release("one")
    assert spool.refusal() is None


def test_a_record_that_exists_already_says_nothing_about_the_disk(spool: Spool) -> None:
    spool.add(a_record("one"))
    with pytest.raises(SpoolError):
        spool.add(a_record("one"))
    assert spool.refusal() is None
    assert spool.stats().failures == 0


def test_a_disk_with_little_room_is_said_before_a_write_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spool = Spool(tmp_path / "spool.sqlite3", reserve_bytes=2**60)
    refusal = spool.refusal()
    assert refusal is not None
    assert "MB left" in refusal
    assert spool.stats().room is Room.FULL
    assert spool.refusal() is not None
    assert len(caplog.records) == 1
    spool.add(a_record("one"))  # a visit that is under way is kept if that is possible at all
    assert not spool.path.with_name("spool.sqlite3.ballast").exists()
    spool.close()


def test_settled_receipts_are_known_although_no_room_can_be_given_back(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.add(a_record("one"))
    spool.release("one")
    monkeypatch.setattr("device.spool.schema.LOG_PAGES", -1)  # always tries
    assert spool.settle([Outcome("one", stored=True)])


# ---------------------------------------------------------------- real file systems

DISK_MB = 12
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")


def run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=30)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    try:
        if request.param == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", mount)
        else:
            image = tmp_path / "image"
            with image.open("wb") as file:
                file.truncate(2 * DISK_MB * 2**20)
            run("mkfs.ext4", "-q", "-F", "-m", "0", image)
            run("mount", "-o", "loop", image, mount)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no {request.param} can be mounted here: {error}")
    try:
        yield mount
    finally:
        run("umount", "-l", mount)  # lazily, so that a test that failed leaves no mount behind


def spool_on(disk: Path, clock: Clock | None = None) -> Spool:
    return Spool(
        disk / "spool.sqlite3",
        monotonic=clock or Clock(),
        reserve_bytes=3 * 2**20,
        slack_bytes=2**20,
        ballast_bytes=2 * 2**20,
    )


def fill_up(disk: Path) -> Path:
    """Leave not one byte."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def queue(spool: Spool, records: int, message_bytes: int = 0) -> list[str]:
    names = [f"queued-{number:04}" for number in range(records)]
    for name in names:
        spool.add(a_record(name))
        spool.release(name)
        if message_bytes:
            spool.freeze_all([(name, os.urandom(message_bytes))])
    return names


@needs_root
def test_on_a_disk_without_a_free_byte_nothing_is_lost_and_all_is_delivered(
    disk: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spool = spool_on(disk, clock)
    spool.begin()
    names = queue(spool, 400)
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # no room is left over in the log
    filler = fill_up(disk)
    assert "MB left" in (spool.refusal() or "")
    with pytest.raises(SpoolError, match="full"):
        spool.add(a_record("new"))
    while spool.depth().get("waiting"):  # as the uplink does it
        entries = spool.waiting(limit=20)
        spool.freeze_all([(entry.id, b"m" * 1_500) for entry in entries])
        outcomes = [Outcome(entry.id, stored=True) for entry in entries]
        assert spool.settle(outcomes) == outcomes
        names = names[len(entries) :]
    assert names == []
    assert spool.entries() == []
    filler.unlink()
    clock.now_s += PROBE_S
    assert spool.refusal() is None
    assert spool.path.with_name("spool.sqlite3.ballast").exists()
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]
    spool.add(a_record("new"))
    spool.close()


@needs_root
def test_without_the_ballast_a_full_disk_could_not_be_drained(disk: Path) -> None:
    """That the test before this one can fail."""
    spool = spool_on(disk)
    queue(spool, 50)
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool._ballast.drop()
    fill_up(disk)
    with pytest.raises(SpoolError, match="full"):
        spool.settle([Outcome("queued-0001", stored=True)])
    assert len(spool.waiting(limit=100)) == 50
    spool.close()


@needs_root
def test_an_agent_starts_on_a_full_disk_and_has_its_records(disk: Path) -> None:
    spool = spool_on(disk)
    names = queue(spool, 30)
    spool.close()
    fill_up(disk)
    again = spool_on(disk)
    again.begin()
    assert [entry.id for entry in again.waiting(limit=100)] == names
    assert again.refusal() is not None
    assert again.settle([Outcome(name, stored=True) for name in names])
    again.close()


@needs_root
def test_room_that_is_drained_on_a_full_disk_goes_back_to_it(disk: Path) -> None:
    spool = spool_on(disk)
    names = queue(spool, 400, message_bytes=6_000)
    before = spool.stats()
    fill_up(disk)
    for at in range(0, len(names), 20):
        spool.settle([Outcome(name, stored=True) for name in names[at : at + 20]])
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert spool.stats().size_bytes < before.size_bytes / 2
    assert spool.refusal() is None or spool.stats().free_bytes > 2**20
    spool.close()


@dataclass
class Image:
    """An ext4 file system in a file that lies on a disk of its own, so that it can be made to fail below."""

    below: Path
    mount: Path

    @property
    def path(self) -> Path:
        return self.below / "image"

    def use(self) -> None:
        run("mount", "-o", "loop,errors=remount-ro", self.path, self.mount)

    def again(self) -> None:
        """Take it away and use it anew, as a reboot does, with its check."""
        run("umount", self.mount)
        subprocess.run(["fsck.ext4", "-p", "-f", self.path], capture_output=True, check=False, timeout=30)
        self.use()

    def trigger_error(self) -> None:
        device = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", self.mount], check=True, capture_output=True, text=True
        ).stdout.strip()
        trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel's ext4 cannot be told to find an error")
        trigger.write_text("by the test of the spool")


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    image = Image(tmp_path / "below", tmp_path / "disk")
    image.below.mkdir()
    image.mount.mkdir()
    try:
        run("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", image.below)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tmpfs can be mounted here: {error}")
    try:
        with image.path.open("wb") as file:
            file.truncate(48 * 2**20)
        run("mkfs.ext4", "-q", "-F", "-m", "0", image.path)
        image.use()
        yield image
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no ext4 can be mounted here: {error}")
    finally:
        subprocess.run(["umount", "-l", image.mount], check=False, capture_output=True)
        run("umount", "-l", image.below)


@needs_root
def test_a_disk_whose_file_system_turns_read_only_refuses_the_next_visit_and_keeps_all(
    image: Image, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    spool = spool_on(image.mount, clock)
    spool.begin()
    names = queue(spool, 5)
    image.trigger_error()
    with pytest.raises(SpoolError):
        spool.add(a_record("new"))
    for _ in range(3):
        clock.now_s += PROBE_S
        assert "failed" in (spool.refusal() or "")
    assert [entry.id for entry in spool.waiting(limit=99)] == names
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    with pytest.raises(SpoolError, match=r"readonly|Read-only"):
        spool_on(image.mount)
    spool.close()
    image.again()
    later = spool_on(image.mount)
    assert [entry.id for entry in later.waiting(limit=99)] == names
    assert later.stats().salvages == 0
    assert later.refusal() is None
    later.close()


@needs_root
def test_a_disk_that_takes_no_block_any_more_loses_nothing_that_was_kept(
    image: Image, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    spool = spool_on(image.mount, clock)
    spool.begin()
    names = queue(spool, 5)
    filler = fill_up(image.below)
    kept = add_until_refused(spool)
    failure = str(caplog.records[0].message)
    assert "I/O error" in failure or "readonly" in failure
    assert spool.refusal() is not None
    spool.close()
    filler.unlink()
    image.again()
    later = spool_on(image.mount)
    later.begin()
    assert [entry.id for entry in later.waiting(limit=1_000)][: len(names + kept)] == names + kept
    later.close()


@needs_root
def test_a_read_only_disk_at_the_start_is_one_sentence_and_no_damage(disk: Path) -> None:
    spool = spool_on(disk)
    queue(spool, 5)
    spool.close()
    run("mount", "-o", "remount,ro", disk)
    with pytest.raises(SpoolError, match="Read-only file system"):
        spool_on(disk)
    run("mount", "-o", "remount,rw", disk)
    again = spool_on(disk)
    assert len(again.waiting(limit=99)) == 5
    assert again.stats().salvages == 0
    again.close()
