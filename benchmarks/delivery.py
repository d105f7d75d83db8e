"""Webhooks delivered a second, beside a bare `requests` loop: `python -m benchmarks.delivery`.

Both post the same kind of signed body to the same receiver, a process of its own that answers at once. The bare loop
keeps one `requests.Session`, signs and posts from memory. The gateway's sender process claims each delivery under a
lease, checks the address, signs, posts, and commits the attempt; nothing else runs in it. Bare loop and sender take
turns, and the ratio is that of the medians. In the last rows the same deliveries are made while a second endpoint,
which takes every request and never answers, has as many due.
"""

import argparse
import ipaddress
import os
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from contract import signature
from contract.webhook import CONTENT_TYPE

SECRET = "a benchmark's secret, of no use elsewhere"
WORDS = "the bread was fresh but the woman at the counter did not know where the gluten free cookies are"
WAIT_S = 300.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()).strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            self.rfile.read(length)
            self.wfile.write(OK)


class Silence(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(65_536):
            pass


def serve(handler: type[socketserver.BaseRequestHandler]) -> None:
    """Serve at a free port, and print it."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


HANDLERS: dict[str, type[socketserver.BaseRequestHandler]] = {"answering": Handler, "silent": Silence}


@contextmanager
def receiver(kind: str) -> Iterator[str]:
    """Run a receiver in a process of its own; give its URL."""
    command = [sys.executable, "-m", "benchmarks.delivery", "--serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.terminate()


def bare_loop(url: str, body: bytes, count: int) -> float:
    """Sign and post ``count`` bodies, as short as it can be written; return how many a second."""
    begin_s = time.perf_counter()
    with requests.Session() as session:
        for number in range(count):
            now_s = int(time.time())
            headers = {
                "Content-Type": CONTENT_TYPE,
                signature.ID_HEADER: str(number),
                signature.TIMESTAMP_HEADER: str(now_s),
                signature.SIGNATURE_HEADER: signature.sign(body, now_s, [SECRET]),
            }
            session.post(url, data=body, headers=headers, timeout=10).raise_for_status()
    return count / (time.perf_counter() - begin_s)


def open_gateway(folder: Path) -> None:
    """Set Django up on a state directory."""
    import django

    from gateway import configuration, state

    settings = configuration.GatewaySettings(state_dir=str(folder))
    state.prepare(settings.state_path)
    configuration.activate(settings)
    os.environ["DJANGO_SETTINGS_MODULE"] = "gateway.settings"
    django.setup()


def fill(url: str, count: int, endpoints: int, silent_url: str) -> bytes:
    """Put ``count`` due deliveries into a new database, shared among endpoints; return one body.

    With a ``silent_url`` as many are due to another endpoint there.
    """
    from datetime import UTC, datetime
    from uuid import uuid4

    from contract.webhook import FeedbackNew, serialise
    from gateway import configuration, database
    from gateway.feedback.models import Feedback
    from gateway.kiosks.models import Kiosk
    from gateway.webhooks.models import Delivery, Endpoint
    from gateway.webhooks.secrets import open_box

    active = configuration.active()
    assert active is not None
    database.bring_up_to_date()
    now = datetime.now(UTC)
    Kiosk.objects.create(id="shop", credential="", credential_changed_at=now, created_at=now)
    sealed = open_box(active.state_path).seal(SECRET)
    made = [
        Endpoint.objects.create(name=f"hook-{number}", url=url, secret=sealed, created_at=now)
        for number in range(endpoints)
    ]
    rows = [
        Feedback(
            id=uuid4(),
            kiosk_id="shop",
            created_at=now,
            created_at_source="kiosk",
            kiosk_created_at=now,
            clock="synchronised",
            received_at=now,
            transcript=WORDS,
            speech_s=1,
            audio_s=1,
            sequence=number,
        )
        for number in range(count)
    ]
    Feedback.objects.bulk_create(rows, batch_size=500)
    bodies = [
        serialise(
            FeedbackNew(
                id=str(row.pk),
                transcript=WORDS,
                sentiment="mixed",
                category="question",
                summary=WORDS,
                emotion="curious",
                intensity="mild",
                is_testimonial_candidate=False,
                page_url="https://shop.example/k/shop",
                created_at="2026-03-01T12:00:00Z",
            )
        )
        for row in rows
    ]
    groups = [made]
    if silent_url:
        groups.append([Endpoint.objects.create(name="silent", url=silent_url, secret=sealed, created_at=now)])
    deliveries = (
        Delivery(
            webhook_id=str(uuid4()),
            event="feedback.new",
            endpoint=group[number % len(group)],
            feedback=row,
            body=body,
            created_at=now,
            next_due_at=now,
        )
        for group in groups
        for number, (row, body) in enumerate(zip(rows, bodies, strict=True))
    )
    Delivery.objects.bulk_create(deliveries, batch_size=500)
    return bodies[0]


def deliver(folder: Path) -> None:
    """Be one sender process: deliver until nothing is pending; print ready, then when it began and ended."""
    open_gateway(folder)
    from gateway import configuration, logs
    from gateway.webhooks.deliver import Deliverer
    from gateway.webhooks.models import Delivery
    from gateway.webhooks.secrets import open_box
    from gateway.webhooks.sender import Sender

    active = configuration.active()
    assert active is not None
    logs.set_up("INFO", "json")
    sender = Sender(deadline_s=15, allowed=[ipaddress.ip_network("127.0.0.0/8")])
    deliverer = Deliverer(sender, open_box(active.state_path), delays_s=[], deadline_s=15)
    print("ready", flush=True)
    sys.stdin.readline()
    begin_s = time.time()
    stop = threading.Event()
    pending = Delivery.objects.filter(state="pending").exclude(endpoint__name="silent")
    while pending.exists():
        deliverer.turn(stop)
    print(begin_s, time.time(), flush=True)
    deliverer.drain()


def sender_rate(url: str, count: int, processes: int, endpoints: int, silent_url: str = "") -> tuple[float, bytes]:
    """Return how many a second so many sender processes deliver, and one of the bodies."""
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as name:
        folder = Path(name) / "state"
        filling = [sys.executable, "-m", "benchmarks.delivery", "--fill", str(folder)]
        body = subprocess.run(
            [
                *filling,
                "--url",
                url,
                "--silent-url",
                silent_url,
                "--webhooks",
                str(count),
                "--endpoints",
                str(endpoints),
            ],
            check=True,
            capture_output=True,
        ).stdout
        with (Path(name) / "log").open("wb") as log:
            senders = [
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.delivery", "--deliver", str(folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
                for _ in range(processes)
            ]
            for each in senders:
                assert each.stdout is not None
                each.stdout.readline()
            for each in senders:
                assert each.stdin is not None
                each.stdin.write("\n")
                each.stdin.flush()
            times = []
            for each in senders:
                assert each.stdout is not None
                times.append([float(word) for word in each.stdout.readline().split()])
                each.communicate(timeout=WAIT_S)
    return count / (max(end for _, end in times) - min(begin for begin, _ in times)), body


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument("--webhooks", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--endpoints", type=int, default=1)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--silent-url", default="", help=argparse.SUPPRESS)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--deliver", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=HANDLERS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve(HANDLERS[args.serve])
    elif args.fill is not None:
        open_gateway(args.fill)
        sys.stdout.buffer.write(fill(args.url, args.webhooks, args.endpoints, args.silent_url))
    elif args.deliver is not None:
        deliver(args.deliver)
    else:
        measure(args.webhooks, args.rounds, args.processes, args.endpoints)
    return 0


def measure(count: int, rounds: int, processes: list[int], endpoints: int) -> None:
    """Measure in turns and print."""
    bare: list[float] = []
    beside: list[float] = []
    ours: dict[int, list[float]] = {number: [] for number in processes}
    with receiver("answering") as url, receiver("silent") as silent_url:
        for _ in range(rounds):
            for number in processes:
                rate, body = sender_rate(url, count, number, endpoints)
                ours[number].append(rate)
            beside.append(sender_rate(url, count, 1, endpoints, silent_url)[0])
            bare.append(bare_loop(url, body, count))
    middle = statistics.median(bare)
    print(f"{count} webhooks to loopback, {endpoints} endpoints, medians of {rounds} rounds\n")
    print(f"bare requests loop    {middle:9.0f} a second   {min(bare):.0f} to {max(bare):.0f}")
    for number, rates in ours.items():
        found = statistics.median(rates)
        print(
            f"{number} sender processes    {found:9.0f} a second   {min(rates):.0f} to {max(rates):.0f}   "
            f"ratio {found / middle:.2f}"
        )
    found = statistics.median(beside)
    print(f"1, beside a silent one {found:8.0f} a second   {min(beside):.0f} to {max(beside):.0f}")
    if 1 in ours:
        print(f"beside the same alone  {found / statistics.median(ours[1]):8.2f}")


if __name__ == "__main__":
    sys.exit(main())
