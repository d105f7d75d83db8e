"""A damaged spool: set aside as it is, every readable record saved, and work goes on.

`VOISEBACK_DAMAGES` says how many random damages are tried.
"""

import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.spool import Outcome, Spool, SpoolError, files, log_file, marks, salvage, takeover
from device.spool.marks import JUMP, Marks
from device.spool.pages import TABLE_LEAF, Image
from tests.device.records import a_record
from tests.device.spool_damage import PAGE, Original, copied, fill, make_original, spared

RECORDS = 60
DAMAGES = int(os.environ.get("VOISEBACK_DAMAGES", "20"))
"""`make spool-damage` sets it to 2,000, and then every byte of the header has its turn."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_original(tmp_path_factory.mktemp("original") / "state", records=RECORDS, seed=1)


@pytest.fixture
def path(original: Original, tmp_path: Path) -> Path:
    return copied(original, tmp_path / "state")


def states(spool: Spool) -> dict[str, str]:
    return dict(spool._db.execute("SELECT id, state FROM records").fetchall())


def set_aside(path: Path) -> list[Path]:
    folder = takeover.damaged_folder(path)
    return sorted(folder.iterdir(), key=lambda one: int(one.name.split("-")[0])) if folder.exists() else []


def break_page(path: Path, number: int) -> None:
    with path.open("r+b") as file:
        file.seek((number - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


# ---------------------------------------------------------------- the reader of pages


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), records=st.integers(0, 60), is_logged=st.booleans())
def test_the_pages_of_a_whole_spool_hold_what_sqlite_reads(
    tmp_path_factory: pytest.TempPathFactory, seed: int, records: int, is_logged: bool
) -> None:
    path = tmp_path_factory.mktemp("spool") / "spool.sqlite3"
    spool = Spool(path)
    fill(spool, records, seed)
    if not is_logged:
        spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    expected = {row[0]: row[1:] for row in spool._db.execute("SELECT * FROM records")}
    with Image(path, path.with_name(f"{path.name}-wal")) as image:
        found = {}
        for cell in image.cells():
            number, values = image.row(cell)
            if cell.kind == TABLE_LEAF and len(values) == 7:
                found[number] = tuple(values[1:])
        assert found == expected
        findings = salvage.search(image)
        assert len(findings.records) == len(expected)
        assert findings.lost == 0
    spool.close()


# ---------------------------------------------------------------- damage of any kind

_PLACES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from([1, 1, 7, 100, 512, PAGE, 3 * PAGE]), st.integers(0, 255)
    ),
    min_size=1,
    max_size=12,
)


def damaged_bytes(whole: bytes, places: list[tuple[float, int, int]], cut_at: float | None) -> bytes:
    data = bytearray(whole)
    for share, length, value in places:
        at = int(share * len(data))
        end = min(at + length, len(data))
        data[at:end] = bytes((byte ^ value) if length == 1 else value for byte in data[at:end])
    return bytes(data if cut_at is None else data[: int(cut_at * len(data))])


def check_salvaged(original: Original, path: Path, damaged: bytes) -> None:
    """Open a damaged spool; check that nothing that can be read is missing and that it works."""
    spool = Spool(path)
    after = states(spool)
    kept = spared(original, damaged)
    assert {name: original.states[name] for name in kept} == {name: after.get(name) for name in kept}
    assert set(after) <= set(original.states) or spool.stats().salvages
    assert spool.begin() == 2
    spool.add(a_record("new"))
    spool.release("new")
    highest = max(entry.sequence or 0 for entry in spool.entries())
    assert [entry.sequence for entry in spool.entries() if entry.id == "new"] == [highest]
    assert highest > original.highest
    if spool.stats().salvages:
        (folder,) = set_aside(path)
        assert (folder / path.name).read_bytes() == damaged
    else:
        assert set_aside(path) == []
    assert spool.refusal() is None
    assert spool._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    spool.close()


@settings(max_examples=DAMAGES, deadline=None)
@given(places=_PLACES, cut_at=st.none() | st.floats(0, 1, exclude_max=True))
def test_whatever_is_damaged_the_rest_is_saved_and_work_goes_on(
    original: Original,
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[float, int, int]],
    cut_at: float | None,
) -> None:
    path = copied(original, tmp_path_factory.mktemp("spool") / "state")
    damaged = damaged_bytes(path.read_bytes(), places, cut_at)
    path.write_bytes(damaged)
    check_salvaged(original, path, damaged)
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_no_byte_of_the_header_stops_the_kiosk(tmp_path: Path, flip: int) -> None:
    small = make_original(tmp_path / "small", records=3, seed=2)
    whole = (small.folder / "spool.sqlite3").read_bytes()
    for at in range(0 if DAMAGES > 100 else flip % 3, 100, 1 if DAMAGES > 100 else 3):
        path = copied(small, tmp_path / str(at))
        damaged = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
        path.write_bytes(damaged)
        check_salvaged(small, path, damaged)


@pytest.mark.parametrize(
    "content",
    [b"this is no database" * 500, b"\0" * 8 * PAGE, b"\xff" * 1_000, b"S"],
    ids=["text", "zeroes", "ones", "one byte"],
)
def test_a_file_that_is_no_database_is_set_aside(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    with caplog.at_level(logging.INFO):
        spool = Spool(path)
    (folder,) = set_aside(path)
    assert (folder / path.name).read_bytes() == content
    (message,) = caplog.messages
    assert str(folder / path.name) in message
    assert states(spool) == {}
    spool.close()


def test_a_database_of_somebody_else_is_set_aside(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE records (id TEXT)")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    spool = Spool(path)
    assert spool.stats().salvages == 1
    spool.add(a_record("new"))
    spool.close()


def test_an_empty_file_is_a_new_spool(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    path.touch()
    spool = Spool(path)
    spool.add(a_record("one"))
    assert spool.stats().salvages == 0
    spool.close()


def test_bytes_that_were_sent_and_reasons_are_saved_too(original: Original, path: Path) -> None:
    break_page(path, 1)  # the roots of all tables are unknown now
    spool = Spool(path)
    assert states(spool) == original.states
    assert dict(spool._db.execute("SELECT id, message FROM records").fetchall()) == original.messages
    assert {entry.reason for entry in spool.entries() if entry.state == "refused"} == {"because of this and that"}
    assert spool.stats().lost_in_salvage == 0
    spool.close()


def test_the_order_of_the_queue_and_its_numbers_are_saved(original: Original, path: Path) -> None:
    before = Spool(path)
    queue = [(entry.id, entry.sequence) for entry in before.waiting(limit=1_000)]
    before.close()
    break_page(path, 1)
    spool = Spool(path)
    assert [(entry.id, entry.sequence) for entry in spool.waiting(limit=1_000)] == queue
    spool.close()


def test_boots_are_saved_too(path: Path) -> None:
    spool = Spool(path)
    spool.note_boot("boot", 12.0)
    spool.note_boot("another", 13.5)
    spool.close()
    break_page(path, 1)
    spool = Spool(path)
    assert spool.boots() == {"boot": 12.0, "another": 13.5}
    spool.close()


def test_records_that_are_known_to_be_lost_are_counted(original: Original, path: Path) -> None:
    data = path.read_bytes()
    name = min(original.states)
    leaf = next(one for one in original.pages_of[name] if name.encode() in data[(one - 1) * PAGE : one * PAGE])
    gone = {name for name, pages in original.pages_of.items() if leaf in pages}
    break_page(path, leaf)
    spool = Spool(path)
    missing = set(original.states) - set(states(spool))
    assert missing
    assert missing <= gone
    assert spool.stats().lost_in_salvage == len(missing)
    spool.close()
    again = Spool(path)
    assert again.stats().lost_in_salvage == len(missing)
    assert again.stats().salvages == 1
    again.close()


def test_a_record_that_cannot_be_read_goes_to_the_shelf(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        name = db.execute("SELECT id FROM records WHERE state = 'waiting' LIMIT 1").fetchone()[0]
        db.execute("UPDATE records SET record = X'7b22' WHERE id = ?", (name,))
        db.commit()
    break_page(path, 1)
    spool = Spool(path)
    state, reason = spool._db.execute("SELECT state, reason FROM records WHERE id = ?", (name,)).fetchone()
    assert state == "refused"
    assert "cannot be read" in reason
    spool.close()


def test_only_the_newest_damaged_spools_are_kept(path: Path) -> None:
    for _ in range(takeover.KEPT + 2):
        break_page(path, 1)
        Spool(path).close()
    assert [one.name.split("-")[0] for one in set_aside(path)] == ["3", "4", "5"]


def test_what_is_set_aside_is_for_the_agents_user_alone(path: Path) -> None:
    break_page(path, 1)
    Spool(path).close()
    assert takeover.damaged_folder(path).stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_marks_the_numbers_jump(path: Path, original: Original) -> None:
    marks.path_of(path).unlink()
    path.write_bytes(b"\0" * 3 * PAGE)
    spool = Spool(path)
    assert spool.begin() > marks.JUMP_STARTS
    spool.add(a_record("new"))
    spool.release("new")
    assert [entry.sequence for entry in spool.waiting(limit=9)] == [JUMP + 1]
    spool.close()


def test_a_counter_that_damage_made_huge_is_not_believed() -> None:
    findings = salvage.Findings(counters={"starts": 2**40, "sequence": 2**60})
    counters = salvage.counters_after(findings, Marks(starts=4, sequence=2_000))
    assert (counters["starts"], counters["sequence"]) == (4, 2_000)


def test_a_page_that_the_disk_does_not_give_costs_no_other(
    original: Original, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, name = path.read_bytes(), min(original.states)
    leaf = next(one for one in original.pages_of[name] if name.encode() in data[(one - 1) * PAGE : one * PAGE])
    pread = os.pread

    def failing(descriptor: int, length: int, at: int) -> bytes:
        if at == (leaf - 1) * PAGE:
            raise OSError(errno.EIO, "Input/output error")
        return pread(descriptor, length, at)

    monkeypatch.setattr(os, "pread", failing)
    break_page(path, 1)
    spool = Spool(path)
    assert {name for name, pages in original.pages_of.items() if leaf not in pages} <= set(states(spool))
    assert spool.stats().lost_in_salvage > 0
    spool.close()


# ---------------------------------------------------------------- the write-ahead log


def break_log(log_path: Path) -> bytes:
    """Damage the second of the log's pages; return what is in the file then."""
    data = bytearray(log_path.read_bytes())
    at = 32 + 24 + PAGE + 24
    data[at : at + 40] = bytes(byte ^ 0x5A for byte in data[at : at + 40])
    log_path.write_bytes(data)
    return bytes(data)


def logged(original: Original, folder: Path, records: int = 12) -> tuple[Path, list[str]]:
    """A spool whose last commits are in its log, as a power cut leaves it."""
    path = copied(original, folder / "source")
    spool = Spool(path)
    names = [f"logged-{number:02}" for number in range(records)]
    for name in names:
        spool.add(a_record(name))
    (folder / "cut").mkdir()
    for file in path.parent.iterdir():
        if file.is_file() and not file.name.endswith("-shm"):
            shutil.copyfile(file, folder / "cut" / file.name)
    spool.close()
    return folder / "cut" / path.name, names


def test_a_whole_log_is_no_damage_and_a_torn_last_commit_neither(original: Original, tmp_path: Path) -> None:
    path, names = logged(original, tmp_path)
    log_path = path.with_name(f"{path.name}-wal")
    whole = log_path.read_bytes()
    for cut in (0, 1, 100, PAGE, PAGE + 30):
        log_path.write_bytes(whole[: len(whole) - cut])
        found = log_file.read(log_path)
        assert found is not None
        assert found.problem is None
    spool = Spool(path)
    assert set(names[:-1]) <= set(states(spool))
    assert spool.stats().salvages == 0
    spool.close()


def test_a_log_with_a_bad_piece_loses_only_what_lay_there(original: Original, tmp_path: Path) -> None:
    path, names = logged(original, tmp_path)
    log_path = path.with_name(f"{path.name}-wal")
    data = break_log(log_path)
    with closing(sqlite3.connect(tmp_path / "cut" / path.name)) as db:
        # So it would be without a salvage: SQLite forgets all of it in silence.
        assert db.execute("SELECT count(*) FROM records WHERE id LIKE 'logged%'").fetchone() == (0,)
    path, names = logged(original, tmp_path / "again")
    log_path = path.with_name(f"{path.name}-wal")
    log_path.write_bytes(data)
    spool = Spool(path)
    assert spool.stats().salvages == 1
    assert set(names) <= set(states(spool))
    (folder,) = set_aside(path)
    assert (folder / log_path.name).read_bytes() == data
    spool.close()


def test_a_log_without_its_header_is_read_all_the_same(original: Original, tmp_path: Path) -> None:
    path, names = logged(original, tmp_path)
    log_path = path.with_name(f"{path.name}-wal")
    log_path.write_bytes(bytes(32) + log_path.read_bytes()[32:])
    spool = Spool(path)
    assert set(names) <= set(states(spool))
    spool.close()


def test_a_log_whose_database_is_gone_is_read_all_the_same(original: Original, tmp_path: Path) -> None:
    path, names = logged(original, tmp_path)
    path.unlink()
    spool = Spool(path)
    assert spool.stats().salvages == 1
    assert set(states(spool)) <= set(names) | set(original.states)
    spool.add(a_record("new"))
    spool.close()


@settings(max_examples=DAMAGES, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), length=st.sampled_from([1, 50, PAGE]), value=st.integers(1, 255))
def test_no_damage_of_the_log_stops_the_kiosk(
    original: Original, tmp_path_factory: pytest.TempPathFactory, share: float, length: int, value: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    path, _ = logged(original, folder)
    log_path = path.with_name(f"{path.name}-wal")
    data = bytearray(log_path.read_bytes())
    at = int(share * len(data))
    data[at : at + length] = bytes(byte ^ value for byte in data[at : at + length])
    log_path.write_bytes(data)
    spool = Spool(path)
    # The pages in the log are newer; those that are not in it are all there.
    assert set(original.states) <= set(states(spool)) or spool.stats().salvages
    assert spool.begin() >= 2
    spool.add(a_record("new"))
    spool.close()
    shutil.rmtree(folder)


# ---------------------------------------------------------------- while the agent runs


def test_damage_that_shows_in_the_midst_of_work_is_mended_and_the_work_is_done(
    original: Original, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(path)
    spool.begin()
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool._db.execute("PRAGMA cache_size = 0")
    root = spool._db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'records'").fetchone()[0]
    break_page(path, root)
    damaged = path.read_bytes()
    spool.add(a_record("new"))
    assert "new" in states(spool)
    assert set(original.states) <= set(states(spool))
    assert spool.stats().salvages == 1
    (folder,) = set_aside(path)
    assert (folder / path.name).read_bytes() == damaged
    assert spool.refusal() is None
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1
    spool.release("new")
    assert spool.settle([Outcome("new", stored=True)])
    spool.close()
    again = Spool(path)
    assert again.stats().salvages == 1
    again.close()


def test_a_held_record_can_still_be_taken_back_after_a_salvage(path: Path) -> None:
    spool = Spool(path)
    spool.begin()
    spool.add(a_record("new"))
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool._db.execute("PRAGMA cache_size = 0")
    break_page(path, 1)
    spool.take_back("new")
    assert "new" not in states(spool)
    assert spool.stats().salvages == 1
    spool.close()


def test_a_salvage_without_room_is_made_up_for_when_there_is_some(path: Path) -> None:
    now_s = [0.0]
    spool = Spool(path, monotonic=lambda: now_s[0])
    spool.begin()
    before = states(spool)
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool._db.execute("PRAGMA cache_size = 0")
    break_page(path, 1)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(salvage, "write", no_room)
        with pytest.raises(SpoolError, match="No space left"):
            spool.add(a_record("new"))
        assert "No space left" in (spool.refusal() or "")
        with pytest.raises(SpoolError):
            spool.waiting(limit=9)
        now_s[0] += 60.0
        assert "No space left" in (spool.refusal() or "")
    now_s[0] += 60.0
    assert len(spool.waiting(limit=1_000)) == list(before.values()).count("waiting")
    assert spool.refusal() is None
    assert states(spool) == before
    assert len(set_aside(path)) == 1
    spool.add(a_record("new"))
    spool.close()


# ---------------------------------------------------------------- rights are no damage


def test_a_spool_that_may_not_be_used_is_one_sentence_and_stays_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(os, "access", lambda one, mode, **_: Path(one) != path)
    with pytest.raises(SpoolError, match=r"Permission denied: .*spool\.sqlite3"):
        Spool(path)
    assert path.read_bytes() == before
    assert set_aside(path) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may do everything")
def test_a_spool_without_rights_is_one_sentence(path: Path) -> None:
    path.chmod(0)
    with pytest.raises(SpoolError, match="Permission denied"):
        Spool(path)
    assert set_aside(path) == []


# ---------------------------------------------------------------- a power cut in the midst of it


class CutError(BaseException):
    """The power is gone."""


def cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let so many changes of the takeover happen, and none after."""
    left = [steps]

    def limited(do: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            if left[0] == 0:
                raise CutError
            left[0] -= 1
            return do(*args, **kwargs)

        return wrapped

    sync_folder = limited(files.sync_folder)
    monkeypatch.setattr(files, "sync_folder", sync_folder)
    monkeypatch.setattr("audio.models.files.sync_folder", sync_folder)
    monkeypatch.setattr(files, "sync_file", limited(files.sync_file))
    monkeypatch.setattr(os, "link", limited(os.link))
    monkeypatch.setattr(salvage, "write", limited(salvage.write))
    for name in ("rename", "unlink", "mkdir", "chmod"):
        monkeypatch.setattr(Path, name, limited(getattr(Path, name)))


def test_a_power_cut_at_any_step_of_a_salvage_loses_nothing(original: Original, tmp_path: Path) -> None:
    finished = False
    steps = 0
    while not finished:
        path, names = logged(original, tmp_path / str(steps))
        log_path = path.with_name(f"{path.name}-wal")
        data = break_log(log_path)
        with pytest.MonkeyPatch.context() as patched:
            cut_after(patched, steps)
            try:
                Spool(path).close()
                finished = True
            except CutError:
                pass
        spool = Spool(path)
        assert set(names) <= set(states(spool)), f"after {steps} steps"
        assert set(original.states) <= set(states(spool)), f"after {steps} steps"
        kept = [(folder / log_path.name).read_bytes() for folder in set_aside(path) if (folder / path.name).exists()]
        assert kept, f"after {steps} steps"
        assert set(kept) == {data}
        spool.close()
        shutil.rmtree(tmp_path / str(steps))
        steps += 1
    assert steps > 10
