"""A microphone that fails in every way, at rest and in the middle of a visit: `python -m benchmarks.ear_faults`.

The real ear and PortAudio hear the simulated USB microphone. Measured are how soon a visitor gets to know, how soon the
ear hears again after the microphone's return, and what it costs meanwhile and afterwards: PortAudio's thread can spin
after an unplugging. Exit status 1 where a limit is broken.
"""

import argparse
import logging
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from audio.ear_process import EarProcess
from audio.level import FLOOR_DBFS
from audio.protocol import (
    EarEvent,
    EarLost,
    Failed,
    FirstSound,
    Interrupted,
    Level,
    MicrophoneHealth,
    Ready,
    SpeechStarted,
    Transcript,
)
from audio.settings import AudioSettings
from audio.vigil import EarLimits
from demo.microphone import DEVICE_NAME, SimulatedMicrophone

E = TypeVar("E", bound=EarEvent)

SPEECH: Final = Path(__file__).parent.parent / "demo" / "speech" / "flowers.wav"
RATES_HZ: Final = (16000, 48000)
PATIENCE_S: Final = 30.0
UNPLUGGED_S: Final = 0.3
REST_S: Final = 2.0
TOLD_LIMIT_S: Final = 3.0
BACK_LIMIT_S: Final = 5.0
REST_CPU_LIMIT: Final = 0.15


class Fault(StrEnum):
    """What happens to the microphone."""

    UNPLUG = "unplugged"
    UNPLUG_AS_OVERRUN = "unplugged, seen as overrun"
    STALL = "stalled"
    DEAD = "dead: zeros alone"
    OVERRUN = "overrun"
    REPLUG = "out and in at once"
    OTHER_RATE = "back at another rate"


class Moment(StrEnum):
    """When it happens."""

    REST = "at rest"
    VISIT = "in a visit"


@dataclass(frozen=True, slots=True)
class Measure:
    """What was measured of one fault. Times in seconds, CPU in shares of a core."""

    told_s: float
    """From the fault to what is told of it: of the visit, if there is one, else of the ear."""
    back_s: float
    """From the microphone's return until the ear is ready and hears."""
    ending: tuple[str, ...]
    """The events that ended the visit."""
    faulty_cpu: float
    """Of the ear, all ears that were started meanwhile, and the thread that watches them, while the fault lasted."""
    rest_cpu: float
    """The same afterwards."""


class Inbox:
    """Keeps events with their times, and waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[tuple[EarEvent, float]] = []

    def __call__(self, event: EarEvent) -> None:
        with self._changed:
            self._events.append((event, time.monotonic()))
            self._changed.notify_all()

    def forget(self) -> None:
        """Look at later events only."""
        with self._changed:
            self._events.clear()

    def of(self, *kinds: type[E]) -> list[tuple[E, float]]:
        """The events of some kinds, and when they came."""
        with self._changed:
            return [(event, at_s) for event, at_s in self._events if isinstance(event, kinds)]

    def wait(
        self, *kinds: type[E], after_s: float = 0.0, fits: Callable[[E], bool] = lambda _: True
    ) -> tuple[E, float]:
        """The first event of some kinds that fits and came after a moment. Raises `TimeoutError`."""

        def found() -> list[tuple[E, float]]:
            return [one for one in self.of(*kinds) if one[1] >= after_s and fits(one[0])]

        with self._changed:
            if not self._changed.wait_for(found, PATIENCE_S):
                names = ", ".join(kind.__name__ for kind in kinds)
                raise TimeoutError(f"no {names} within {PATIENCE_S:g} s")
            return found()[0]


class FaultyEar:
    """A real ear on a simulated microphone, and its faults; a context manager."""

    def __init__(self, folder: Path, build_dir: Path | None = None) -> None:
        self._stack = ExitStack()
        self.microphone = SimulatedMicrophone(folder, rate_hz=RATES_HZ[0], build_dir=build_dir)
        self.inbox = Inbox()
        # Each fault is to be met as the first one in a long time, and not with the long pauses of a loose contact.
        limits = EarLimits(steady_s=0.1)
        environment = self.microphone.environment()
        self.ear = EarProcess(AudioSettings(device=DEVICE_NAME), self.inbox, environment=environment, limits=limits)
        self._visits = 0

    def __enter__(self) -> Self:
        self._stack.enter_context(self.microphone)
        self._stack.enter_context(self.ear)
        self.inbox.wait(Ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def cpu_s(self) -> float:
        """Processor time of all ears so far and of the thread that watches them."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        pid = self.ear.stats().pid
        watch = next(thread for thread in threading.enumerate() if thread.name == "ear")
        living = (f"/proc/{pid}/stat" if pid else None, f"/proc/self/task/{watch.native_id}/stat")
        return ended.ru_utime + ended.ru_stime + sum(_cpu_s(path) for path in living if path)

    def suffer(self, fault: Fault, moment: Moment, *, hold_s: float = 0.5, rest_s: float = REST_S) -> Measure:
        """Let a fault happen, last for `hold_s` after it was told of, and end; then rest for `rest_s`, both above 0.

        Raises `TimeoutError` when something does not come at all.
        """
        self.inbox.forget()
        visit = self._begin_visit() if moment is Moment.VISIT else None
        began_s, cpu_s = time.monotonic(), self.cpu_s()
        self._happen(fault)
        told_s = self._wait_told(fault, visit)
        time.sleep(hold_s)
        faulty_cpu = (self.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        returned_s = self._mend(fault, began_s)
        back_s = self._wait_hearing(fault, max(told_s, returned_s))
        ending: list[tuple[EarEvent, float]] = []
        if visit is not None:
            self.inbox.wait(Transcript, Failed)
            ending = [*self.inbox.of(Interrupted), *self.inbox.of(Transcript, Failed)]
        rested_s, cpu_s = time.monotonic(), self.cpu_s()
        time.sleep(rest_s)
        rest_cpu = (self.cpu_s() - cpu_s) / (time.monotonic() - rested_s)
        names = tuple(type(event).__name__ for event, _ in ending)
        return Measure(told_s - began_s, back_s - returned_s, names, faulty_cpu, rest_cpu)

    def _begin_visit(self) -> str:
        self._visits += 1
        visit = f"visit-{self._visits}"
        self.ear.begin(visit)
        self.inbox.wait(FirstSound)
        self.microphone.say(SPEECH)
        self.inbox.wait(SpeechStarted)
        return visit

    def _happen(self, fault: Fault) -> None:
        match fault:
            case Fault.UNPLUG | Fault.OTHER_RATE:
                self.microphone.unplug()
            case Fault.UNPLUG_AS_OVERRUN:
                self.microphone.unplug_as_overrun()
            case Fault.STALL:
                self.microphone.stall()
            case Fault.DEAD:
                self.microphone.mute()
            case Fault.OVERRUN:
                self.microphone.overrun()
            case Fault.REPLUG:
                self.microphone.unplug()
                time.sleep(UNPLUGGED_S)
                self.microphone.replug()

    def _wait_told(self, fault: Fault, visit: str | None) -> float:
        """When what happened was told of."""
        if fault is Fault.OVERRUN:
            self._wait_until(lambda: self.microphone.overrun_done)
            if visit is None:
                return self.inbox.wait(Level, after_s=time.monotonic())[1]
            self.ear.finish(visit)  # it goes on, and ends like any other
        if visit is not None:
            return self.inbox.wait(Interrupted, Failed, Transcript)[1]
        if fault is Fault.DEAD:
            return self.inbox.wait(MicrophoneHealth, fits=lambda one: one.is_present)[1]
        return self.inbox.wait(EarLost)[1]

    def _mend(self, fault: Fault, began_s: float) -> float:
        """End the fault; when the microphone was there again."""
        if fault is Fault.REPLUG:
            return began_s + UNPLUGGED_S
        other_hz = next(rate_hz for rate_hz in RATES_HZ if rate_hz != self.microphone.rate_hz)
        self.microphone.replug(other_hz if fault is Fault.OTHER_RATE else None)
        return time.monotonic()

    def _wait_hearing(self, fault: Fault, since_s: float) -> float:
        """When, from then on, the ear was ready and heard."""
        if fault is Fault.DEAD:
            _, since_s = self.inbox.wait(MicrophoneHealth, after_s=since_s, fits=lambda one: not one.is_present)
        self._wait_until(lambda: self.ear.stats().is_ready)
        if lost := self.inbox.of(EarLost):
            since_s = max(since_s, self.inbox.wait(Ready, after_s=lost[-1][1])[1])
        return self.inbox.wait(Level, after_s=since_s, fits=lambda level: level.dbfs > FLOOR_DBFS)[1]

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"a condition did not come true within {PATIENCE_S:g} s")
            time.sleep(0.005)


def memory_kib() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def open_files() -> int:
    """Descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no need for paths


def _cpu_s(stat: str) -> float:
    """User and system time of a process or thread; 0 when it has just ended."""
    try:
        fields = Path(stat).read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _table(measures: dict[tuple[Fault, Moment], list[Measure]]) -> bool:
    """Print the figures; return whether all limits were kept."""
    print(f"{'':28}{'':12}{'told, s':>14}{'hears again, s':>18}{'CPU of a core, %':>20}")
    print(f"{'':40}{'p50':>8}{'max':>6}{'p50':>12}{'max':>6}{'faulty':>12}{'after':>8}")
    kept = True
    for (fault, moment), rows in measures.items():
        told, back = [row.told_s for row in rows], [row.back_s for row in rows]
        faulty, rest = (max(getattr(row, name) for row in rows) for name in ("faulty_cpu", "rest_cpu"))
        print(
            f"{fault:28}{moment:12}{statistics.median(told):8.2f}{max(told):6.2f}{statistics.median(back):12.2f}"
            f"{max(back):6.2f}{100 * faulty:12.1f}{100 * rest:8.1f}  {'|'.join(sorted({_ending(row) for row in rows}))}"
        )
        kept = kept and max(told) <= TOLD_LIMIT_S and max(back) <= BACK_LIMIT_S and rest <= REST_CPU_LIMIT
    return kept


def _ending(measure: Measure) -> str:
    return ", ".join(measure.ending)


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ear_faults", description=__doc__)
    parser.add_argument("--cycles", type=int, default=2, help="how often each fault happens (default %(default)s)")
    parser.add_argument(
        "--hold", type=float, default=2.0, metavar="S", help="how long it lasts (default %(default)g s)"
    )
    arguments = parser.parse_args(argv)
    logging.getLogger("audio").setLevel(logging.ERROR)  # it would warn of every fault
    measures: dict[tuple[Fault, Moment], list[Measure]] = {(fault, moment): [] for fault in Fault for moment in Moment}
    memory: list[int] = []
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder, FaultyEar(Path(folder)) as faulty:
        for _ in range(arguments.cycles):
            for (fault, moment), rows in measures.items():
                rows.append(faulty.suffer(fault, moment, hold_s=arguments.hold))
                memory.append(memory_kib())
    kept = _table(measures)
    print(f"\nmemory of the watching process: {memory[0]} KiB after the first fault, {memory[-1]} after {len(memory)}")
    print(f"limits: told {TOLD_LIMIT_S:g} s, hears again {BACK_LIMIT_S:g} s, CPU afterwards {100 * REST_CPU_LIMIT:g} %")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
