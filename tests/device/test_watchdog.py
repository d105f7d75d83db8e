"""The watchdog is fed from the progress of the agent's loop and of the ear, and from nothing else."""

import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import protocol as ear_events
from audio.ear_process import EarProcess
from audio.ear_stats import EarProgress
from audio.protocol import EarEvent
from audio.settings import AudioSettings
from audio.vigil import EarLimits
from device.agent import Agent
from device.clock import SystemClock
from device.event_feed import EventFeed
from device.record import Record
from device.spool import Spool
from device.visit.limits import Limits
from device.watchdog import EAR_PATIENCE_S, FEED_SHARE, Watchdog, begin, look, stands
from firmware_bridge import Button, ButtonPressed, ButtonReleased, Scene
from tests.conftest import MakeStore
from tests.device.records import a_transcript
from tests.device.service_manager import ServiceManager
from tests.device.test_agent import Parts

PERIOD_S = 20.0
DEADLINE_S = 10.0
DAY_S = 86_400


def seen(turns: int, *, blocks: int = 0, is_ready: bool = False, starts: int = 1) -> EarProgress:
    return EarProgress(is_ready=is_ready, turns=turns, starts=starts, blocks=blocks)


class Bench:
    """A watchdog with a clock and an ear of its own."""

    def __init__(self, period_s: float | None = PERIOD_S) -> None:
        self.now_s = 1000.0
        self.ear = seen(0)
        self.told: list[str] = []
        self.watchdog = Watchdog(
            lambda: self.ear, period_s=period_s, tell=self.told.append, monotonic=lambda: self.now_s
        )

    def turn(self, after_s: float, ear: EarProgress | None = None) -> bool:
        """Let the loop come by; return whether the watchdog was fed."""
        self.now_s += after_s
        self.ear = ear or self.ear
        before = len(self.told)
        self.watchdog.turn()
        return "WATCHDOG=1" in self.told[before:]


def test_the_first_turn_says_that_the_service_is_ready_and_no_other_does() -> None:
    bench = Bench()
    assert bench.turn(0)
    assert bench.told == ["READY=1", "WATCHDOG=1"]
    for number in range(60):
        bench.turn(1, seen(number))
    assert bench.told.count("READY=1") == 1


def test_without_a_watchdog_the_service_still_says_that_it_is_ready() -> None:
    bench = Bench(period_s=None)
    for number in range(60):
        bench.turn(1, seen(number))
    assert bench.told == ["READY=1"]


@given(st.lists(st.floats(0.001, 1.0), min_size=300, max_size=400))
def test_it_is_fed_within_half_of_its_period_and_not_at_every_turn(pauses_s: list[float]) -> None:
    bench = Bench()
    fed_s = [bench.now_s for number, pause_s in enumerate(pauses_s) if bench.turn(pause_s, seen(number))]
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(fed_s)]
    assert all(FEED_SHARE * PERIOD_S - 1e-6 <= gap_s <= PERIOD_S / 2 for gap_s in gaps_s)


def test_a_model_that_loads_for_minutes_does_not_starve_it() -> None:
    bench = Bench()
    for number in range(120):
        bench.turn(1, seen(number * 10))
    assert bench.told.count("WATCHDOG=1") >= 120 / PERIOD_S * 2


def test_a_week_without_a_microphone_does_not_starve_it() -> None:
    bench = Bench()
    hungry_s = 0.0
    for number in range(7 * DAY_S // 5):
        # The ear is started, fails, and is started again, about every 3 s.
        fed = bench.turn(5, seen(number, starts=number))
        hungry_s = 0.0 if fed else hungry_s + 5
        assert hungry_s <= PERIOD_S / 2


def test_a_microphone_that_is_unplugged_and_plugged_in_again_does_not_starve_it() -> None:
    bench = Bench()
    turns = 0
    for starts in range(1, 50):
        for number in range(20):
            turns += 1
            is_ready = number > 10
            assert bench.turn(5, seen(turns, blocks=turns if is_ready else 0, is_ready=is_ready, starts=starts))


def test_a_watch_over_the_ear_that_stands_starves_it(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.turn(0, seen(7))
    with caplog.at_level(logging.ERROR):
        fed = [bench.turn(5) for _ in range(20)]
    assert fed == [True] * int(EAR_PATIENCE_S // 5) + [False] * (20 - int(EAR_PATIENCE_S // 5))
    assert len(caplog.records) == 1
    assert bench.turn(5, seen(8))


def test_a_ready_ear_without_sound_that_nobody_replaces_starves_it() -> None:
    bench = Bench()
    bench.turn(0, seen(1, is_ready=True, blocks=5))
    fed = [bench.turn(5, seen(10 + number, is_ready=True, blocks=5)) for number in range(20)]
    assert fed[0]
    assert not any(fed[-10:])
    assert bench.turn(5, seen(99, is_ready=True, blocks=6))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans(), st.floats(0.0, 20.0)), max_size=60))
def test_it_starves_exactly_when_something_has_stood_for_too_long(
    steps: list[tuple[int, int, bool, float]],
) -> None:
    now_s = turned_s = heard_s = 0.0
    turns = blocks = 0
    known = begin(seen(0), now_s)
    for more_turns, more_blocks, is_ready, pause_s in steps:
        now_s += pause_s
        turns += more_turns
        blocks += more_blocks
        known = look(known, seen(turns, blocks=blocks, is_ready=is_ready), now_s)
        turned_s = now_s if more_turns else turned_s
        heard_s = now_s if more_blocks or not is_ready else heard_s
        assert (stands(known, now_s) is not None) == (max(now_s - turned_s, now_s - heard_s) > EAR_PATIENCE_S)


# ------------------------------------------------------------ the real ear and the real agent


class RealEar:
    """An ear whose program ends at once, so that its watch starts one after the other."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.events: list[EarEvent] = []
        self.process = EarProcess(
            AudioSettings(),
            self.take,
            command=("false",),
            limits=EarLimits(retry_first_s=0.02, retry_max_s=0.05),
        )

    def take(self, event: EarEvent) -> None:
        self.events.append(event)
        self.may_go_on.wait()


@pytest.fixture
def real_ear() -> Iterator[RealEar]:
    ear = RealEar()
    yield ear
    ear.may_go_on.set()
    ear.process.stop()


def wait_for_turn(ear: EarProcess, turns: int) -> int:
    deadline_s = time.monotonic() + DEADLINE_S
    while ear.progress().turns == turns:
        assert time.monotonic() < deadline_s, "the watch over the ear does not come by"
        time.sleep(0.005)
    return ear.progress().turns


def test_an_ear_that_can_never_start_is_progress(real_ear: RealEar) -> None:
    bench = Bench()
    bench.watchdog = Watchdog(
        real_ear.process.progress, period_s=PERIOD_S, tell=bench.told.append, monotonic=lambda: bench.now_s
    )
    real_ear.process.start()
    turns = 0
    for _ in range(20):
        turns = wait_for_turn(real_ear.process, turns)
        assert bench.turn(EAR_PATIENCE_S)


def test_a_stuck_watch_over_the_ear_starves_the_watchdog(real_ear: RealEar) -> None:
    bench = Bench()
    bench.watchdog = Watchdog(
        real_ear.process.progress, period_s=PERIOD_S, tell=bench.told.append, monotonic=lambda: bench.now_s
    )
    real_ear.may_go_on.clear()
    real_ear.process.start()
    deadline_s = time.monotonic() + DEADLINE_S
    while not real_ear.events:
        assert time.monotonic() < deadline_s, "the ear was not lost"
        time.sleep(0.005)
    bench.turn(0)
    for _ in range(10):
        bench.turn(PERIOD_S / 4)
    assert not bench.turn(PERIOD_S / 4)
    real_ear.may_go_on.set()
    wait_for_turn(real_ear.process, real_ear.process.progress().turns)
    assert bench.turn(PERIOD_S / 4)


class SlowSpool(Spool):
    """A disk that can hang in a commit."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_go_on = threading.Event()
        self.is_stuck = threading.Event()

    def add(self, record: Record) -> None:
        self.is_stuck.set()
        self.may_go_on.wait()
        super().add(record)


def test_a_loop_that_hangs_in_a_commit_feeds_nothing(tmp_path: Path) -> None:
    parts, told = Parts(), ServiceManagerOf()
    spool = SlowSpool(tmp_path / "spool.sqlite3")
    turns = iter(range(10**9))
    watchdog = Watchdog(lambda: seen(next(turns)), period_s=0.4, tell=told.tell)
    agent = Agent(
        spool=spool,
        feed=EventFeed(tmp_path / "run"),
        clock=SystemClock(),
        limits=Limits(thanks_s=0.2, notice_s=0.2),
        agent_version="test",
        consent_version=None,
        on_turn=watchdog.turn,
    )
    thread = threading.Thread(target=agent.run, args=(parts, parts, lambda: None))
    thread.start()
    try:
        agent.post(
            ear_events.Ready(
                device="mic", rate_hz=16000, channels=1, model="m", model_is_demonstration=True, language="en"
            )
        )
        parts.wait_for("show", Scene.IDLE)
        for event in (ButtonPressed(Button.RECORD), ButtonReleased(Button.RECORD), ButtonPressed(Button.RECORD)):
            agent.post(event)
        visit = str(parts.wait_for("finish")[1])
        told.wait_for_more()
        agent.post(a_transcript(visit))
        assert spool.is_stuck.wait(DEADLINE_S)
        assert told.is_silent_for(1.5)  # an idle loop comes by at least once a second
        spool.may_go_on.set()
        told.wait_for_more()
    finally:
        spool.may_go_on.set()
        agent.stop()
        thread.join(DEADLINE_S)
        spool.close()


class ServiceManagerOf:
    """Counts beats as they are told within this process."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.beats: list[float] = []

    def tell(self, text: str) -> None:
        with self.changed:
            if text == "WATCHDOG=1":
                self.beats.append(time.monotonic())
            self.changed.notify_all()

    def is_silent_for(self, span_s: float) -> bool:
        with self.changed:
            count = len(self.beats)
            return not self.changed.wait_for(lambda: len(self.beats) > count, span_s)

    def wait_for_more(self) -> None:
        with self.changed:
            count = len(self.beats)
            assert self.changed.wait_for(lambda: len(self.beats) > count, DEADLINE_S)


# ------------------------------------------------------------ the real kiosk


@pytest.mark.servers
def test_a_kiosk_without_broker_panel_and_microphone_is_ready_lives_and_falls_silent_when_it_is_frozen(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    assert store.microphone is not None
    with ServiceManager(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        began_s = time.monotonic()
        store.start_kiosk(wait_for_ear=False)
        assert store.kiosk is not None
        manager.wait_for("READY=1")
        assert time.monotonic() - began_s < 10
        manager.wait_for("WATCHDOG=1", 3)
        manager.wait_until(
            lambda: any("panel failed" in told for _, told in manager.told if told.startswith("STATUS=")), 20
        )
        store.happenings.wait_for("kiosk", "scene", scene="idle", timeout_s=20)
        mark = len(store.happenings)
        store.microphone.unplug()
        store.happenings.wait_for("kiosk", "ear_lost", since=mark, timeout_s=20)
        manager.wait_for("WATCHDOG=1", 3, since=len(manager.told))

        pid = store.kiosk.pid
        os.kill(pid, signal.SIGSTOP)
        manager.wait_until(lambda: is_stopped(pid), 5)
        count = len(manager.told)
        assert manager.is_silent_for(2.5)  # longer than the watchdog's period
        os.kill(pid, signal.SIGCONT)
        manager.wait_for("WATCHDOG=1", 2, since=count)
        assert manager.count("READY=1") == 1

        assert store.kiosk.stop() == 0
        manager.wait_for("STOPPING=1")


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
