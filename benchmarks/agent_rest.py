"""What the kiosk takes while nobody speaks: `python -m benchmarks.agent_rest`.

The real `kiosk run` with everything connected: a simulated microphone in real time, a virtual panel, the gateway's own
broker over TLS, and one reader of its events. The agent and its helper processes are told apart; of the agent also each
thread. CPU is user and system time as the scheduler counts it, in percent of one core.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ear_visits import since
from benchmarks.processor_time import process_cpu_s, thread_cpu_s
from demo.happenings import Happenings
from demo.microphone import SimulatedMicrophone
from demo.store import Store

SETTLE_S = 10.0
CPU_LIMIT_PERCENT = 1.0
MEMORY_LIMIT_MB = 60.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process took."""

    name: str
    cpu_percent: float
    rss_mb: float
    pss_mb: float


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="agent_rest", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder:
        microphone = SimulatedMicrophone(Path(folder) / "microphone")
        with microphone, Store(Path(folder), Happenings(), microphone=microphone) as store:
            store.set_up()
            store.start()
            assert store.kiosk is not None
            time.sleep(SETTLE_S)
            usages, threads = measure(store.kiosk.pid, seconds)
    agent, *helpers = usages
    print(f"{seconds:.0f} s at rest; CPU in percent of one core, memory in MB\n")
    print(f"{'':32}{'CPU':>8}{'RSS':>8}{'PSS':>8}")
    for usage in (agent, *helpers):
        print(f"{usage.name:32}{usage.cpu_percent:8.2f}{usage.rss_mb:8.1f}{usage.pss_mb:8.1f}")
    print("\nthe agent's threads, CPU")
    for name, percent in sorted(threads.items(), key=lambda one: -one[1]):
        print(f"{name:32}{percent:8.3f}")
    print(f"\nlimits for the agent: {CPU_LIMIT_PERCENT:.0f} % and {MEMORY_LIMIT_MB:.0f} MB resident")
    return int(agent.cpu_percent >= CPU_LIMIT_PERCENT or agent.rss_mb > MEMORY_LIMIT_MB)


def measure(agent: int, seconds: float) -> tuple[list[Usage], dict[str, float]]:
    """Return what the agent and each of its descendants took, the agent first, and the CPU of the agent's threads."""
    pids = [agent, *descendants(agent)]
    before_s = {pid: process_cpu_s(pid) for pid in pids}
    threads_s = thread_cpu_s(agent)
    began_s = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    usages = [
        Usage(
            name="agent" if pid == agent else f"helper: {command_of(pid)}",
            cpu_percent=100 * (process_cpu_s(pid) - before_s[pid]) / took_s,
            rss_mb=memory_mb(pid, "Rss"),
            pss_mb=memory_mb(pid, "Pss"),
        )
        for pid in pids
    ]
    threads = {
        "main thread" if number == agent else f"thread {number - agent}": 100 * cpu_s / took_s
        for number, cpu_s in since(threads_s, thread_cpu_s(agent)).items()
    }
    return usages, threads


def descendants(pid: int) -> list[int]:
    """Return the processes below one, parents first."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text(encoding="ascii").split()):
            found += [child, *descendants(child)]
    return found


def command_of(pid: int) -> str:
    """Return a process's command without its interpreter and options."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    return " ".join(word for word in words[1:] if not word.startswith("-"))[:23] or str(pid)


def memory_mb(pid: int, field: str) -> float:
    """Return resident memory (``Rss``), or the share of it where pages are shared (``Pss``)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) * 1024 / 1e6
    raise ValueError(field)


if __name__ == "__main__":
    sys.exit(main())
