"""Power cuts: whoever was thanked finds the feedback on the disk again.

The kiosk's spool lies on ext4, through a loop device, on a disk with a volatile write cache that this process plays
(`tests.faults.disk`). A cut is one instant of that disk. Everything that was reported before it must be on what it
leaves, and the next life starts on that.

`VOISEBACK_CUTS` says how often the power of a fast kiosk is cut, `VOISEBACK_STORE_CUTS` how often that of a whole one
in its store; `make power-cuts` sets them to 200 and 20. Needs root.
"""

import os
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from demo.sentences import SPEECH
from demo.store import Store
from tests.conftest import MakeStore
from tests.faults.disk import Image, Remains
from tests.faults.ledger import Ledger
from tests.faults.lives import FastKiosk
from tests.faults.mounted import Mounted, fresh_image, is_clean, why_not
from tests.gateway.support import wait_until

STORE_CUTS = int(os.environ.get("VOISEBACK_STORE_CUTS", "0"))
CUTS = int(os.environ.get("VOISEBACK_CUTS", "5"))
WEAK_CUTS = max(2, CUTS // 10)
WEAK_CUTS_AT_MOST = max(8, WEAK_CUTS)
"""One that comes just after the file system has written by itself finds nothing missing."""
NEW_DISK_EVERY = 10
"""Cuts after which a kiosk begins with an empty disk, so that the making of the spool is cut, too."""
EARLY_EVERY = 4
"""Of so many cuts one falls into the start of the agent, as often as not."""
LIFE_S = 0.8
START_S = 0.6
STORE_MOMENTS_S = (1.0, 8.0)
"""After the beginning of a visit; its thanks come in between."""

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(10 * CUTS + 60 * STORE_CUTS + 120)]


@pytest.fixture(autouse=True)
def _needs_a_disk() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)


class Cutter:
    """Kiosks whose power is cut again and again."""

    def __init__(self, folder: Path, *options: str, synchronous: str = "FULL") -> None:
        self.ledger = Ledger()
        self.wrong: list[str] = []
        self.remains: Counter[Remains] = Counter()
        self.weakened: set[str] = set()
        """How the last kiosk committed instead of `FULL`."""
        self._folder, self._options = folder, options
        self._environment = {"VOISEBACK_TEST_SYNCHRONOUS": synchronous}
        self._image: Image = {}

    def new_disk(self) -> None:
        """Begin with an empty disk."""
        self._image = fresh_image()

    def live(self, remains: Remains, chance: random.Random, *, thanks: int = 0, early: bool = False) -> None:
        """Start a kiosk on what the last cut has left, and cut its power at a random moment.

        Args:
            remains: what the cut leaves of the writes that were not flushed.
            chance: draws the moment.
            thanks: visitors that are thanked before it, at least.
            early: whether the moment is counted from the start of the process, so that it may be that of the opening.
        """
        self.remains[remains] += 1
        mounted = Mounted(self._image)
        options = (*self._options, "--seed", str(chance.random()))
        try:
            with FastKiosk(self._folder, mounted.path, *options, environment=self._environment) as kiosk:
                if not early:
                    kiosk.wait_for("opened")
                kiosk.wait_until(lambda: len(kiosk.find("scene", scene="thanks")) >= thanks, "thanks")
                time.sleep(chance.random() * (START_S if early else LIFE_S))
                assert kiosk.alive, kiosk.last_words()
                at_ns = time.monotonic_ns()
                self._image = mounted.cut(remains, chance)
        finally:
            mounted.close()
        self.wrong += self.ledger.tell(kiosk.reports, at_ns)
        self.weakened = {report["to"] for report in kiosk.find("weakened")}

    def look(self) -> None:
        """Start once more to see what the last cut has left, and take a visit on it."""
        mounted = Mounted(self._image)
        try:
            with FastKiosk(self._folder, mounted.path, "--by-hand", environment=self._environment) as kiosk:
                if kiosk.opens():
                    assert kiosk.visit() == "thanks"
                else:
                    self.wrong.append(f"the spool cannot be opened: {kiosk.last_words()}")
        finally:
            mounted.close()
        self.wrong += self.ledger.tell(kiosk.reports)

    def check_file_system(self) -> None:
        """Note what the file system's checker says to what the last cut has left."""
        problem = is_clean(self._image)
        self.wrong += [f"the file system: {problem}"] if problem else []


def test_no_thanked_feedback_is_lost_by_a_power_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int.from_bytes(os.urandom(4))
    chance = random.Random(seed)
    cutter = Cutter(tmp_path)
    for number in range(CUTS):
        if number % NEW_DISK_EVERY == 0:
            if number:
                cutter.look()
            cutter.new_disk()
            cutter.ledger = Ledger(cutter.ledger.thanked, cutter.ledger.lost)
        cutter.live(chance.choice(list(Remains)), chance, early=number % EARLY_EVERY == EARLY_EVERY - 1)
        cutter.check_file_system()
        assert not cutter.wrong, f"seed {seed}, cut {number}: {cutter.wrong[:10]}"
    cutter.look()
    assert not cutter.wrong, f"seed {seed}: {cutter.wrong[:10]}"
    assert cutter.ledger.thanked >= CUTS
    with capsys.disabled():
        kinds = ", ".join(f"{count} leaving {remains.value}" for remains, count in cutter.remains.items())
        print(f"\nFULL: {CUTS} cuts ({kinds}), {cutter.ledger.thanked} thanked, {cutter.ledger.lost} lost")


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_weaker_commits_are_seen_to_lose(tmp_path: Path, synchronous: str, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(int.from_bytes(os.urandom(4)))
    cuts = thanked = lost = unopened = 0
    while cuts < WEAK_CUTS or (cuts < WEAK_CUTS_AT_MOST and lost + unopened == 0):
        cuts += 1
        cutter = Cutter(tmp_path, "--silent", synchronous=synchronous)
        cutter.new_disk()
        cutter.live(Remains.NOTHING, chance, thanks=20)
        assert cutter.weakened == {synchronous}
        cutter.look()
        thanked, lost = thanked + cutter.ledger.thanked, lost + cutter.ledger.lost
        unopened += any("cannot be opened" in wrong for wrong in cutter.wrong)
    with capsys.disabled():
        print(f"\n{synchronous}: {cuts} cuts, {thanked} thanked, {lost} lost, {unopened} spools that do not open")
    assert lost + unopened > 0


def keep_spool_on(store: Store, mounted: Mounted) -> None:
    settings = store.kiosk_config.read_text()
    state_dir = f'state_dir = "{mounted.path / "kiosk"}"'
    store.kiosk_config.write_text(re.sub("(?m)^state_dir = .*", state_dir, settings))


def cut_store(store: Store, mounted: Mounted, chance: random.Random) -> tuple[Image, float]:
    """Cut the power of a store's kiosk; return what is left, and when it was, in seconds since 1970."""
    assert store.kiosk is not None
    # It must not send anything after the cut that it would not have sent in a store without power.
    os.kill(store.kiosk.pid, signal.SIGSTOP)
    at = time.time()
    image = mounted.cut(chance.choice(list(Remains)), chance)
    store.kiosk.kill()
    return image, at


def thanked_until(store: Store, at: float, mark: int) -> set[str]:
    """Return who was thanked after the first ``mark`` happenings and until ``at``."""
    thanks = store.happenings.find("kiosk", "scene", scene="thanks", since=mark)
    return {one.fields["visit"] for one in thanks if one.at <= at}


@pytest.mark.skipif(STORE_CUTS == 0, reason="cuts the power of a whole kiosk for minutes; `make power-cuts` does it")
def test_no_visit_of_a_whole_store_is_lost_by_a_power_cut(
    make_store: MakeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int.from_bytes(os.urandom(4))
    chance = random.Random(seed)
    store = make_store(thanks_s=0.5)
    mounted = Mounted(fresh_image())
    try:
        keep_spool_on(store, mounted)
        store.start()
        thanked: set[str] = set()
        for _ in range(STORE_CUTS):
            mark = store.visit(SPEECH / "flowers.wav")
            time.sleep(chance.uniform(*STORE_MOMENTS_S))
            image, at = cut_store(store, mounted, chance)
            mounted.close()
            mounted = Mounted(image)
            keep_spool_on(store, mounted)
            store.start_kiosk()
            thanked |= thanked_until(store, at, mark)
        for visit in thanked:
            store.happenings.wait_for("receiver", "webhook", feedback=visit, verified=True, timeout_s=90)
        wait_until(lambda: not store.spooled(), 60)
        webhooks = store.happenings.find("receiver", "webhook", verified=True)
        once = {one.fields["webhook_id"]: one.fields["feedback"] for one in webhooks}
        assert len(once) == len(set(once.values())), f"seed {seed}"
        assert thanked, f"seed {seed}"
        with capsys.disabled():
            print(f"\nstore: {STORE_CUTS} cuts, {len(thanked)} thanked before them, 0 lost")
    finally:
        if store.kiosk is not None:
            store.kiosk.kill()
        mounted.close()
