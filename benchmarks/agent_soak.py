"""A day of visits in seconds: does the agent grow? `python -m benchmarks.agent_soak`.

The real agent, spool, uplink, health and watchdog in one process, with simulated time: an ear and a panel that answer
at once, and a broker that gives a receipt for everything. Fifty visits an hour of four kinds (thanked, taken back,
nothing heard, failed), the level of the sound between them as often as a real ear tells it, and each hour an ear, a
panel and a broker that are lost and come back. What must not grow is looked at twenty times: blocks of memory that
Python has in use, resident memory, open files, threads, and the spool's files.
"""

import argparse
import gc
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from audio import protocol as ear_events
from audio.ear_stats import EarProgress, EarStats
from audio.protocol import EarEvent
from contract.messages import Feedback, Receipt, decode
from contract.topics import is_kiosk_id
from device.agent import Agent
from device.backoff import Backoff
from device.clock import ClockWatch, Stamp
from device.connection import ConnectionHandler, Down, Received, Up
from device.event_feed import EventFeed
from device.health import NO_PANEL, HealthMaker, Sources
from device.health_reporter import HealthReporter
from device.machine import Machine
from device.spool import Spool
from device.uplink import Settled, Uplink, UplinkEvent
from device.visit.limits import Limits
from device.watchdog import Watchdog
from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, Scene

KIOSK = "soak"
VISITS = 1200
"""A day of fifty an hour."""
VISITS_AN_HOUR = 50
SPEECH_S = 6.0
WAIT_S = 20.0
LOOKS = 20
SETTLED_SHARE = 0.4
"""What is filled once (caches, buffers, the memory of the interpreter) is filled after this share of the visits."""
REST_LEVELS_PER_S = 3
SPEECH_LEVELS_PER_S = 11

BLOCKS_PER_VISIT = 3.0
"""A kept object with a value takes so many. What the interpreter fills in the first hundreds of visits is less."""
MEMORY_MB = 2.0


class Look(msgspec.Struct, frozen=True):
    """What is in use at one moment."""

    visits: int
    blocks: int
    rss_mb: float
    files: int
    threads: int
    spool_bytes: int


class SimulatedTime:
    """A clock that also goes forward at a word."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead_s

    def pass_s(self, seconds: float) -> None:
        self._ahead_s += seconds

    def now(self) -> Stamp:
        """The kiosk's clock."""
        since_boot_s = self.monotonic()
        return Stamp(boot_id="soak", since_boot_s=since_boot_s, wall_s=1.8e9 + since_boot_s, synchronised=True)


class Parts:
    """The ear and the panel: answer at once, and know what the visitor was shown."""

    def __init__(self) -> None:
        self.post: Callable[[EarEvent | PanelEvent], None] = lambda _: None
        self.says: str | None = "the staff was very kind and the shop is clean"
        self.fails = False
        self._changed = threading.Condition()
        self._scenes: list[Scene] = []
        self.blocks = self.transcripts = 0

    def begin(self, visit: str) -> None:
        self.post(ear_events.SpeechStarted(visit=visit, at_s=0.4))

    def finish(self, visit: str) -> None:
        if self.fails:
            self.post(ear_events.Failed(visit=visit, reason="the recogniser failed"))
            return
        self.transcripts += 1
        said = (self.says or "").split()
        self.post(
            ear_events.Transcript(
                visit=visit,
                text=self.says,
                language="en",
                model="m",
                confidence=0.9 if said else None,
                words=tuple(ear_events.Word(word, 0.1 * n, 0.1 * n + 0.1, 0.9) for n, word in enumerate(said)),
                audio_s=SPEECH_S,
                speech_s=SPEECH_S - 1,
                finalise_ms=5.0,
                too_quiet=False,
                too_loud=False,
            )
        )

    def discard(self, _visit: str) -> None: ...

    def restart(self) -> None: ...

    def use_language(self, _language: str) -> None: ...

    def level(self, _value: int) -> None: ...
    def answer(self) -> None: ...

    def show(self, scene: Scene) -> None:
        with self._changed:
            self._scenes.append(scene)
            self._changed.notify_all()

    def wait_for(self, *scenes: Scene) -> None:
        """Wait until one of these scenes is shown, and forget all before it."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(scene in scenes for scene in self._scenes), WAIT_S):
                raise RuntimeError(f"none of {scenes} was shown, but {self._scenes}")
            self._scenes.clear()

    def stats(self) -> EarStats:
        return EarStats(
            is_ready=True,
            reason=None,
            ready=READY,
            problems=(),
            pid=None,
            starts=1,
            losses=0,
            blocks=self.blocks,
            overflows=0,
            backlog_s=0.0,
            transcripts=self.transcripts,
            failures=0,
            interruptions=0,
            waiting=0,
            kept_bytes=0,
            language="en",
            languages=(),
            last_words=(),
        )

    def progress(self) -> EarProgress:
        self.blocks += 1
        return EarProgress(is_ready=True, turns=self.blocks, starts=1, blocks=self.blocks)


READY = ear_events.Ready(
    device="mic", rate_hz=16000, channels=1, model="m", model_is_demonstration=False, language="en"
)


class Broker:
    """Takes what a connection sends, and answers that it is stored."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.health = 0

    def connect(self, _session: int, on_event: ConnectionHandler) -> "Link":
        self.link = Link(self, on_event)
        return self.link


class Link:
    """One connection."""

    def __init__(self, broker: Broker, on_event: ConnectionHandler) -> None:
        self._broker = broker
        self._on_event = on_event

    def open(self) -> None:
        self._on_event(self, Up())

    def send_feedback(self, message: bytes) -> None:
        self._on_event(self, Received(Receipt(id=decode(Feedback, message).id, outcome="stored")))

    def send_health(self, _message: bytes) -> None:
        self._broker.health += 1

    def close(self) -> None: ...

    def drop(self) -> None:
        self._on_event(self, Down("the broker went away"))


class Soak:
    """A kiosk whose day passes as fast as it can."""

    def __init__(self, folder: Path) -> None:
        assert is_kiosk_id(KIOSK)
        self._time = SimulatedTime()
        self.parts = Parts()
        self.leak: list[object] | None = None
        """Where to keep what should be forgotten, to see that growth is seen."""
        self._settled = 0
        self._thanked = 0
        self._changed = threading.Condition()
        self._spool = Spool(folder / "spool.sqlite3")
        self._spool_file = folder / "spool.sqlite3"
        self._feed = EventFeed(folder / "run")
        self._broker = Broker()
        clock = ClockWatch(self._time)
        told: Callable[[str], None] = lambda _: None  # noqa: E731
        watchdog = Watchdog(self.parts.progress, period_s=20.0, tell=told, monotonic=self._time.monotonic)
        self._agent = Agent(
            spool=self._spool,
            feed=self._feed,
            clock=clock,
            limits=Limits(),
            agent_version="soak",
            consent_version=None,
            on_turn=watchdog.turn,
            monotonic=self._time.monotonic,
        )
        self.parts.post = self._agent.post
        self._uplink = Uplink(
            self._spool,
            clock,
            kiosk=KIOSK,
            make_link=self._broker.connect,
            on_event=self._uplink_event,
            start_number=self._spool.begin(),
            backoff=Backoff(first_s=0.01, ceiling_s=0.02, floor_s=0.01),
            monotonic=self._time.monotonic,
        )
        sources = Sources(
            agent=self._agent.stats,
            ear=self.parts.stats,
            panel=lambda: NO_PANEL,
            identity=lambda: None,
            uplink=self._uplink.stats,
            spool=self._spool.stats,
            clock=clock.stats,
            machine=Machine(folder).stats,
        )
        self._reporter = HealthReporter(
            HealthMaker(sources, kiosk=KIOSK, agent_version="soak"),
            folder / "run",
            self._uplink.send_health,
            interval_s=60.0,
            tell=told,
            monotonic=self._time.monotonic,
        )
        self._thread = threading.Thread(
            target=self._agent.run, args=(self.parts, self.parts, self._uplink.wake), name="agent"
        )

    def run(self, visits: int) -> list[Look]:
        """Let the visits happen; return what was in use meanwhile."""
        self._feed.start()
        self._reporter.start()
        self._uplink.start()
        self._thread.start()
        try:
            self._agent.post(READY)
            self.parts.wait_for(Scene.IDLE)
            looks = []
            for number in range(visits):
                self._visit(number)
                if number % VISITS_AN_HOUR == VISITS_AN_HOUR - 1:
                    self._mishap()
                if (number + 1) * LOOKS // visits > number * LOOKS // visits:
                    looks.append(self._look(number + 1))
            return looks
        finally:
            self._agent.stop()
            self._thread.join(WAIT_S)
            self._uplink.stop()
            self._reporter.stop()
            self._feed.stop()
            self._spool.close()

    @property
    def health_messages(self) -> int:
        """How many the gateway got."""
        return self._broker.health

    def _visit(self, number: int) -> None:
        kind = number % 10
        self.parts.says = None if kind == 7 else "the staff was very kind and the shop is clean"
        self.parts.fails = kind == 8
        self._tap(Button.RECORD)
        self.parts.wait_for(Scene.RECORDING)
        self._levels(SPEECH_S, SPEECH_LEVELS_PER_S)
        self._tap(Button.RECORD)
        self.parts.wait_for(Scene.THANKS, Scene.NOTHING_HEARD, Scene.SORRY)
        if kind == 9:
            self._tap(Button.CANCEL)
            self.parts.wait_for(Scene.DISCARDED)
        elif kind < 7:
            self._thanked += 1
        self._levels(3600 / VISITS_AN_HOUR - SPEECH_S, REST_LEVELS_PER_S)
        self.parts.wait_for(Scene.IDLE)
        self._reporter.news()
        with self._changed:
            if not self._changed.wait_for(lambda: self._settled == self._thanked, WAIT_S):
                raise RuntimeError(f"{self._settled} receipts came of {self._thanked}")

    def _mishap(self) -> None:
        """An ear, a panel and a broker go and come back."""
        self._agent.post(ear_events.EarLost(reason="unplugged"))
        self._agent.post(PanelOffline("unplugged", frozenset()))
        self.parts.wait_for(Scene.OUT_OF_SERVICE)
        self._agent.post(READY)
        self.parts.wait_for(Scene.IDLE)
        link = self._broker.link
        assert link is not None
        link.drop()
        deadline_s = time.monotonic() + WAIT_S
        while self._broker.link is link or not self._uplink.stats().online:
            if time.monotonic() > deadline_s:
                raise RuntimeError("the uplink does not come back")
            time.sleep(0.002)

    def _tap(self, button: Button) -> None:
        self._agent.post(ButtonPressed(button))
        self._agent.post(ButtonReleased(button))

    def _levels(self, seconds: float, per_s: int) -> None:
        for _ in range(round(seconds * per_s)):
            self._time.pass_s(1 / per_s)
            self._agent.post(ear_events.Level(dbfs=-50.0, peak=0.01))

    def _uplink_event(self, event: UplinkEvent) -> None:
        self._agent.post(event)
        if isinstance(event, Settled):
            with self._changed:
                self._settled += 1
                self._changed.notify_all()
            if self.leak is not None:
                self.leak.append([object() for _ in range(10)])

    def _look(self, visits: int) -> Look:
        gc.collect()
        machine = Machine(self._spool_file.parent).stats()
        assert machine.agent_memory_bytes is not None
        assert machine.agent_files is not None
        return Look(
            visits=visits,
            blocks=sys.getallocatedblocks(),
            rss_mb=machine.agent_memory_bytes / 1e6,
            files=machine.agent_files,
            threads=threading.active_count(),
            spool_bytes=self._spool.stats().size_bytes,
        )


def growth(looks: list[Look]) -> list[str]:
    """Return what has grown after it had settled; empty where nothing has."""
    settled = [look for look in looks if look.visits >= SETTLED_SHARE * looks[-1].visits]
    middle = len(settled) // 2
    early, late = settled[:middle], settled[middle:]
    visits = late[0].visits - early[0].visits
    found = []
    # The least of each half, for what is in use for a moment is not in use at every look.
    blocks = min(look.blocks for look in late) - min(look.blocks for look in early)
    if blocks > BLOCKS_PER_VISIT * visits:
        found.append(f"{blocks} blocks of memory in {visits} visits")
    rss_mb = min(look.rss_mb for look in late) - min(look.rss_mb for look in early)
    if rss_mb > MEMORY_MB:
        found.append(f"{rss_mb:.1f} MB of memory in {visits} visits")
    for name in ("files", "threads", "spool_bytes"):
        before, after = (min(getattr(look, name) for look in half) for half in (early, late))
        if after > before:
            found.append(f"{name} from {before} to {after}")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="agent_soak", description=__doc__)
    parser.add_argument("--visits", type=int, default=VISITS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--leak", action="store_true", help="leak on purpose, to see that it is found")
    arguments = parser.parse_args(argv)
    logging.disable(logging.WARNING)  # the mishaps are told as they should be, and are not what is looked at
    with tempfile.TemporaryDirectory(prefix="voiseback-soak-") as folder:
        soak = Soak(Path(folder))
        soak.leak = [] if arguments.leak else None
        began_s = time.monotonic()
        looks = soak.run(arguments.visits)
        took_s = time.monotonic() - began_s
    grown = growth(looks)
    if arguments.json:
        print(json.dumps({"grown": grown, "looks": msgspec.to_builtins(looks), "health": soak.health_messages}))
        return bool(grown)
    print(f"{arguments.visits} visits, {arguments.visits / VISITS_AN_HOUR:g} simulated hours in {took_s:.0f} s")
    print(f"{soak.health_messages} health messages\n")
    print("".join(f"{name:>12}" for name in Look.__struct_fields__))
    for look in looks:
        print("".join(f"{round(value, 1):>12}" for value in msgspec.structs.astuple(look)))
    print("\nnothing has grown" if not grown else "\nGROWN: " + "; ".join(grown))
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main())
