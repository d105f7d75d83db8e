"""A disk that is full, read-only or broken: visitors are told, old records stay, and no restart is needed after it."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.disk import Remains
from tests.faults.failing_disk import FailingDisk, Fault, build
from tests.faults.ledger import Ledger
from tests.faults.lives import FastKiosk
from tests.faults.mounted import Mounted, fresh_image, why_not

HEALED_S = 20.0
"""A failed write is tried again after some seconds."""
TMPFS_MB = 64

pytestmark = [pytest.mark.servers, pytest.mark.faults]


def thanked(kiosk: FastKiosk) -> int:
    return len(kiosk.find("scene", scene="thanks"))


def wait_for_thanks(kiosk: FastKiosk, what: object) -> None:
    """Let visitors come until one is thanked."""
    deadline_s = time.monotonic() + HEALED_S
    while kiosk.visit() != "thanks":
        assert time.monotonic() < deadline_s, f"no visitor is thanked after {what}: {kiosk.last_words()}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("failing-disk"))


def test_visitors_are_told_of_a_disk_that_fails_and_thanked_again_after_it(tmp_path: Path, library: Path) -> None:
    with ExitStack() as stack:
        kiosks: dict[Fault, tuple[FastKiosk, FailingDisk]] = {}
        for fault in Fault:
            folder = tmp_path / fault.name
            disk = FailingDisk(folder, library, folder / "spool")
            kiosk = FastKiosk(folder, folder / "spool", "--by-hand", environment=disk.environment)
            kiosks[fault] = stack.enter_context(kiosk), disk
        for fault, (kiosk, disk) in kiosks.items():
            assert kiosk.visit() == "thanks", fault
            disk.fail(fault)
            assert [kiosk.visit() for _ in range(3)] == ["sorry"] * 3, fault
            assert thanked(kiosk) == 1, fault
            disk.heal()
        for fault, (kiosk, _) in kiosks.items():
            wait_for_thanks(kiosk, fault)
            assert kiosk.visit() == "thanks", fault
    for fault, (before, _) in kiosks.items():
        folder = tmp_path / fault.name
        with FastKiosk(folder, folder / "spool", "--by-hand") as after:
            after.wait_for("started")
        ledger = Ledger()
        assert ledger.tell(before.reports) + ledger.tell(after.reports) == [], fault
        assert ledger.thanked == 3, fault


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Mount a small disk of memory."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a full disk needs the right to mount one: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(file: Path) -> None:
    """Take all the room that is left on a disk."""
    with file.open("ab", buffering=0) as all_of_it:
        try:
            while True:
                all_of_it.write(bytes(4096))
        except OSError:
            return


def visit_on_full_disk(kiosk: FastKiosk, filling: Path) -> str:
    fill(filling)
    return kiosk.visit()


@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk needs root, to mount one")
def test_a_kiosk_on_a_full_disk_says_sorry_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as small:
        with FastKiosk(tmp_path / "kiosk", small / "spool", "--by-hand") as kiosk:
            assert kiosk.visit() == "thanks"
            seen = [visit_on_full_disk(kiosk, small / "something else") for _ in range(4)]
            # What the spool had set apart for this day may have helped one visitor yet.
            assert seen[1:] == ["sorry"] * 3
            (small / "something else").unlink()
            wait_for_thanks(kiosk, "there is room again")
        with FastKiosk(tmp_path / "kiosk", small / "spool", "--by-hand") as after:
            after.wait_for("started")
        ledger = Ledger()
        assert ledger.tell(kiosk.reports) + ledger.tell(after.reports) == []
        assert ledger.thanked == 2 + seen.count("thanks")


def test_nobody_is_thanked_on_a_disk_that_has_died_and_what_was_on_it_stays(tmp_path: Path) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    mounted = Mounted(fresh_image())
    try:
        with FastKiosk(tmp_path / "kiosk", mounted.path, "--by-hand") as kiosk:
            assert kiosk.visit() == "thanks"
            mounted.break_disk()
            assert [kiosk.visit() for _ in range(3)] == ["sorry"] * 3
            image = mounted.cut(Remains.NOTHING, random.Random(0))
    finally:
        mounted.close()
    mounted = Mounted(image)
    try:
        with FastKiosk(tmp_path / "kiosk", mounted.path, "--by-hand") as after:
            assert after.visit() == "thanks"
    finally:
        mounted.close()
    ledger = Ledger()
    assert ledger.tell(kiosk.reports) + ledger.tell(after.reports) == []
    assert ledger.thanked == 2


WRITES_FAIL = [Fault.READ_ONLY, Fault.WRITING, Fault.FLUSHING]


@pytest.mark.parametrize("fault", WRITES_FAIL)
def test_what_a_visitor_was_told_is_taken_back_does_not_come_back(tmp_path: Path, library: Path, fault: Fault) -> None:
    disk = FailingDisk(tmp_path, library, tmp_path / "spool")
    options = ("--by-hand", "--thanks-s", "5")
    with FastKiosk(tmp_path / "kiosk", tmp_path / "spool", *options, environment=disk.environment) as kiosk:
        assert kiosk.visit() == "thanks"
        disk.fail(fault)
        mark = len(kiosk.reports)
        kiosk.cancel()
        kiosk.wait_until(lambda: bool(kiosk.find("scene", since=mark)), "answer to cancel")
        disk.heal()
        wait_for_thanks(kiosk, fault)
    with FastKiosk(tmp_path / "kiosk", tmp_path / "spool", "--by-hand") as after:
        after.wait_for("started")
    ledger = Ledger()
    assert ledger.tell(kiosk.reports) + ledger.tell(after.reports) == []


@pytest.mark.parametrize("fault", WRITES_FAIL)
def test_what_could_not_be_let_go_when_the_thanks_were_over_leaves_without_a_restart(
    tmp_path: Path, library: Path, fault: Fault
) -> None:
    disk = FailingDisk(tmp_path, library, tmp_path / "spool")
    options = ("--by-hand", "--thanks-s", "0.5")
    with FastKiosk(tmp_path / "kiosk", tmp_path / "spool", *options, environment=disk.environment) as kiosk:
        assert kiosk.visit() == "thanks"
        visit = kiosk.wait_for("scene", scene="thanks")["visit"]
        disk.fail(fault)
        mark = len(kiosk.reports)
        kiosk.wait_for("scene", since=mark, scene="idle")
        disk.heal()
        wait_for_thanks(kiosk, fault)
        kiosk.wait_for("sent", visit=visit, timeout_s=HEALED_S)
