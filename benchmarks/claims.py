"""Claims from a small and from a large outbox: `python -m benchmarks.claims`.

For each number of due deliveries: how long a claim of 64 and the recording of their results take, and, for a new
process, how long from its start to its first request, and how much memory it has then.
"""

import argparse
import ipaddress
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.delivery import fill, open_gateway, receiver

ROUNDS = 15


def claim_times(folder: Path) -> tuple[float, float]:
    """Return the medians of claiming and of recording 64 deliveries, in milliseconds."""
    from datetime import UTC, datetime

    from gateway.webhooks import outbox
    from gateway.webhooks.attempt import Outcome
    from gateway.webhooks.results import Result, record
    from gateway.webhooks.retry import Accepted
    from gateway.webhooks.secrets import open_box

    box = open_box(folder)
    claiming, recording = [], []
    for _ in range(ROUNDS):
        now = datetime.now(UTC)
        begin_s = time.perf_counter()
        claims = outbox.claim(32, box, now=now, lease_s=50, rows=lambda _endpoint: 16)
        claimed_s = time.perf_counter()
        record([Result(each, Outcome(now, 1, 200, None, ""), Accepted()) for each in claims], now=now)
        claiming.append((claimed_s - begin_s) * 1_000)
        recording.append((time.perf_counter() - claimed_s) * 1_000)
    return statistics.median(claiming), statistics.median(recording)


def first_post(folder: Path) -> None:
    """Be a new process; print how long it took to the first request, in seconds, and its memory in MB."""
    begin_s = time.perf_counter()
    open_gateway(folder)
    from gateway.webhooks.deliver import Deliverer, Point
    from gateway.webhooks.secrets import open_box
    from gateway.webhooks.sender import Sender

    posted = threading.Event()

    def at(point: str) -> None:
        if point == Point.POSTING:
            posted.set()

    sender = Sender(deadline_s=15, allowed=[ipaddress.ip_network("127.0.0.0/8")])
    deliverer = Deliverer(sender, open_box(folder), delays_s=[], deadline_s=15, at=at)
    deliverer.turn(threading.Event())
    assert posted.wait(60)
    took_s = time.perf_counter() - begin_s
    deliverer.drain()
    # The peak of this program alone: that of `resource` includes the process that has started it.
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    print(took_s, int(peak.split()[1]) / 1_024)


def measure(folder: Path, count: int, url: str) -> None:
    """Fill a new outbox, measure, print one row."""
    open_gateway(folder)
    fill(url, count, 1, "")
    command = [sys.executable, "-m", "benchmarks.claims", "--first-post", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    took_s, memory_mb = map(float, done.stdout.split())
    claim_ms, record_ms = claim_times(folder)
    print(f"{count:9,}   {claim_ms:6.1f} ms   {record_ms:6.1f} ms   {took_s:6.2f} s   {memory_mb:6.0f} MB", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--due", type=int, nargs="*", default=[2_000, 20_000, 100_000])
    parser.add_argument("--first-post", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.first_post is not None:
        first_post(args.first_post)
    elif args.one is not None:
        measure(Path(args.one[0]), int(args.one[1]), args.one[2])
    else:
        print("      due    claim 64   record 64   first post     memory")
        with receiver("answering") as url:
            for count in args.due:
                with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder:
                    # In a process of its own: Django is set up for one database.
                    command = [sys.executable, "-m", "benchmarks.claims", "--one", f"{folder}/state", str(count), url]
                    subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
