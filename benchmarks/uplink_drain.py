"""Thirty days of records drained from a spool, beside a bare paho loop: `python -m benchmarks.uplink_drain`.

The kiosk's uplink, in a process of its own, brings the records over TLS to a mosquitto with the gateway's
configuration, where a subscriber answers each with a receipt. Meanwhile visitors are thanked: new records are
committed to the same spool, and their commits are timed, as they are before. The bare loop, in a process of its own
too, publishes the same messages from memory, as many on their way at once, waits for the same receipts, and writes
nothing.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt

from benchmarks.private_broker import KIOSK_ID, PrivateBroker, ReceiptingGateway
from benchmarks.traffic import WAIT_S, WORDS, Counter, connect
from contract import credentials as broker_credentials
from contract import topics
from contract.messages import Receipt, decode, encode_feedback
from contract.topics import Channel
from device.clock import Stamp
from device.connection import Connection, ConnectionHandler
from device.delivery import WINDOW
from device.record import Record, feedback_of
from device.spool import Spool
from device.uplink import Uplink

BOOT = "a boot without time"
BOOTED_S = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
OFFLINE_S = 30 * 86_400.0
VISIT_EVERY_S = 0.02
"""While the spool drains: thousands of times as often as in a shop."""
VISITS_BEFORE = 150
SPOOL = "spool.sqlite3"
CREDENTIALS = "credentials.toml"


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """What the draining process measured of itself."""

    seconds: float
    settled: int
    added: int
    """New records, committed before and meanwhile."""
    commits_before_ms: list[float]
    commits_meanwhile_ms: list[float]
    early_rss_kib: int
    """Resident memory when a tenth was drained."""
    final_rss_kib: int
    stray_receipts: int
    connections: int

    def ratio(self, percent: int) -> float:
        """Return how much longer a commit takes meanwhile, at a percentile."""
        return percentile(self.commits_meanwhile_ms, percent) / percentile(self.commits_before_ms, percent)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of many values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


class ThirtyDaysLater:
    """A clock that was set thirty days after its boot."""

    def now(self) -> Stamp:
        """Return that moment."""
        return Stamp(boot_id=BOOT, since_boot_s=OFFLINE_S, wall_s=BOOTED_S + OFFLINE_S, synchronised=True)


def visited(since_boot_s: float) -> Record:
    """Return the record of a visit before the clock was set."""
    return Record(
        id=str(uuid.uuid4()),
        pressed=Stamp(boot_id=BOOT, since_boot_s=since_boot_s, wall_s=since_boot_s, synchronised=False),
        transcript=WORDS,
        language="en",
        confidence=0.9,
        words=(),
        speech_s=5.0,
        audio_s=6.0,
        model="benchmark",
        agent_version="0",
        consent_version=None,
    )


def fill(path: Path, count: int) -> list[str]:
    """Commit ``count`` visits of thirty days, as the agent does; return their ids."""
    spool = Spool(path)
    spool.begin()
    ids = []
    for number in range(count):
        record = visited(OFFLINE_S * number / count)
        spool.add(record)
        spool.release(record.id)
        ids.append(record.id)
    spool.close()
    return ids


def drain(folder: Path, count: int) -> Drained:
    """Be the kiosk: bring ``count`` records and those of new visits to the gateway."""
    credentials = broker_credentials.load(folder / CREDENTIALS)
    spool = Spool(folder / SPOOL)
    milestone = threading.Event()

    def link(session: int, on_event: ConnectionHandler) -> Connection:
        return Connection(credentials, session=session, agent_version="0", on_event=on_event)

    uplink = Uplink(
        spool,
        ThirtyDaysLater(),
        kiosk=KIOSK_ID,
        make_link=link,
        on_event=lambda _event: milestone.set(),
        start_number=spool.begin(),
    )

    def visit() -> float:
        record = visited(OFFLINE_S)
        began_s = time.perf_counter()
        spool.add(record)
        took_ms = (time.perf_counter() - began_s) * 1000
        spool.release(record.id)
        uplink.wake()
        time.sleep(VISIT_EVERY_S)
        return took_ms

    before = [visit() for _ in range(VISITS_BEFORE)]
    meanwhile = []
    early_rss_kib = 0
    began_s = time.perf_counter()
    uplink.start()
    while uplink.stats().stored < count:
        meanwhile.append(visit())
        if not early_rss_kib and uplink.stats().stored >= count / 10:
            early_rss_kib = resident_kib()
        if time.perf_counter() - began_s > WAIT_S:
            raise RuntimeError(f"after {WAIT_S:.0f} s: {uplink.stats()}")
    total = count + len(before) + len(meanwhile)
    while uplink.stats().stored < total:
        milestone.wait(1.0)
        milestone.clear()
        if time.perf_counter() - began_s > WAIT_S:
            raise RuntimeError(f"after {WAIT_S:.0f} s: {uplink.stats()}")
    seconds = time.perf_counter() - began_s
    stats = uplink.stats()
    final_rss_kib = resident_kib()
    uplink.stop()
    left = spool.depth()
    spool.close()
    if left:
        raise RuntimeError(f"the spool is not empty: {left}")
    return Drained(
        seconds=seconds,
        settled=stats.stored,
        added=len(before) + len(meanwhile),
        commits_before_ms=before,
        commits_meanwhile_ms=meanwhile,
        early_rss_kib=early_rss_kib,
        final_rss_kib=final_rss_kib,
        stray_receipts=stats.stray_receipts,
        connections=stats.connections,
    )


def send_at_once(_client: mqtt.Client, _data: object, sock: object) -> None:
    """Switch Nagle's algorithm off, as the uplink does; with it the bare loop is a tenth as fast."""
    assert isinstance(sock, socket.socket)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def bare(folder: Path, count: int) -> float:
    """Be the bare loop; return how many seconds it took."""
    now = ThirtyDaysLater().now()
    messages = [
        encode_feedback(
            feedback_of(
                visited(0.0), kiosk=KIOSK_ID, sequence=number, time=(datetime.fromtimestamp(now.wall_s, UTC), True)
            )
        )
        for number in range(1, count + 1)
    ]
    counter = Counter(count)
    room = threading.Semaphore(WINDOW)
    subscribed = threading.Event()

    def receipt(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        counter.add(decode(Receipt, bytes(message.payload)).id)
        room.release()

    def prepare(client: mqtt.Client) -> None:
        client.on_message = receipt
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_socket_open = send_at_once

    client = connect(broker_credentials.load(folder / CREDENTIALS), prepare)
    client.subscribe(topics.topic(KIOSK_ID, Channel.RECEIPT), qos=1)
    subscribed.wait(WAIT_S)
    began_s = time.perf_counter()
    for message in messages:
        room.acquire()
        client.publish(topics.topic(KIOSK_ID, Channel.FEEDBACK), message, qos=1)
    seconds = counter.wait() - began_s
    client.disconnect()
    client.loop_stop()
    return seconds


def resident_kib() -> int:
    """Return the resident memory of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def in_process(what: str, folder: Path, count: int) -> bytes:
    """Run one side in a process of its own; return what it printed."""
    command = [sys.executable, "-m", "benchmarks.uplink_drain", "--records", str(count), f"--{what}", str(folder)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=2 * WAIT_S).stdout


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uplink_drain", description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--drain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    count: int = arguments.records
    if arguments.drain:
        print(msgspec.json.encode(drain(arguments.drain, count)).decode())
        return 0
    if arguments.bare:
        print(bare(arguments.bare, count))
        return 0
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as name:
        folder = Path(name)
        fill(folder / SPOOL, count)
        with PrivateBroker(folder / "broker") as broker, ReceiptingGateway(broker):
            broker_credentials.write(folder / CREDENTIALS, broker.credentials())
            drained = msgspec.json.decode(in_process("drain", folder, count), type=Drained)
            bare_s = float(in_process("bare", folder, drained.settled))
    rate, bare_rate = drained.settled / drained.seconds, drained.settled / bare_s
    print(f"{count} records of thirty days and {drained.added} new ones over TLS, {WINDOW} on their way at once\n")
    print(f"uplink, sent, receipted and deleted  {rate:9.0f} a second, {drained.seconds:.1f} s")
    print(f"bare paho loop, sent and receipted   {bare_rate:9.0f} a second")
    print(f"ratio                                {rate / bare_rate:9.3f}")
    for percent in (50, 99):
        before = percentile(drained.commits_before_ms, percent)
        meanwhile = percentile(drained.commits_meanwhile_ms, percent)
        ratio = meanwhile / before
        print(
            f"commit of a visit, p{percent}           {before:9.2f} ms alone, {meanwhile:.2f} ms meanwhile: {ratio:.2f}"
        )
    print(f"memory at a tenth, and at the end    {drained.early_rss_kib:9} KiB, {drained.final_rss_kib} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
