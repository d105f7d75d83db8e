"""Feedback stored and receipted a second, beside a bare paho subscriber: `python -m benchmarks.ingest`.

All get the same messages over TLS from the same publisher, at QoS 1, 100 in flight. The bare subscriber only counts;
the gateway decodes strictly, commits durably to SQLite or PostgreSQL, and sends each receipt, which the publisher
counts. Its analysis works in the same process meanwhile. The figures are medians of the rounds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from msgspec import structs

from benchmarks.traffic import KIOSK_ID, Counter, Gateway, bare_broker, connect, feedback_messages, publish_all
from contract import credentials as broker_credentials
from contract import topics
from contract.messages import Receipt, decode
from tests.gateway.postgresql import PostgresServer


def gateway_rate(gateway: Gateway, messages: list[bytes]) -> float:
    """Return stored and receipted feedback a second."""
    counter = Counter(len(messages))

    def prepare(client: mqtt.Client) -> None:
        client.on_message = lambda _client, _data, message: counter.add(decode(Receipt, bytes(message.payload)).id)

    client = connect(gateway.credentials, prepare)
    client.subscribe(topics.topic(KIOSK_ID, topics.Channel.RECEIPT), qos=1)
    began_s = time.perf_counter()
    publish_all(client, messages)
    rate = len(messages) / (counter.wait() - began_s)
    client.disconnect()
    client.loop_stop()
    return rate


def bare_rate(gateway: Gateway, messages: list[bytes]) -> float:
    """Return messages a second that a bare subscriber, in a process of its own, counts."""
    with bare_broker(gateway) as credentials:
        file = gateway.folder / "bare.toml"
        broker_credentials.write(file, structs.replace(credentials, kiosk_id="subscriber"))
        command = [
            sys.executable,
            "-m",
            "benchmarks.ingest",
            "--subscribe",
            str(file),
            "--messages",
            str(len(messages)),
        ]
        subscriber = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert subscriber.stdout is not None
        with subscriber.stdout as told:
            told.readline()
            client = connect(credentials, lambda _client: None)
            began_s = time.perf_counter()
            publish_all(client, messages)
            told.readline()
            rate = len(messages) / (time.perf_counter() - began_s)
        subscriber.wait()
        client.disconnect()
        client.loop_stop()
    return rate


def subscribe(file: Path, count: int) -> None:
    """Be the bare subscriber: say when ready, and when all have come."""
    counter = Counter(count)

    def prepare(client: mqtt.Client) -> None:
        client.on_message = lambda _client, _data, message: counter.add(message.payload)
        client.on_subscribe = lambda *_: print("ready", flush=True)

    client = connect(broker_credentials.load(file), prepare)
    client.subscribe(topics.every_kiosk(topics.Channel.FEEDBACK), qos=1)
    counter.wait()
    print("done", flush=True)
    client.disconnect()
    client.loop_stop()


def one_round(folder: Path, server: PostgresServer, count: int, rates: dict[str, list[float]]) -> None:
    """Measure each once, and add the rates."""
    folder.mkdir()
    url = server.url(f"ingest_{folder.name}")
    table = f'[database]\nurl = "{url}"\npassword_file = "{server.password_file}"\n'
    for name, extra in (("sqlite", ""), ("postgresql", table)):
        with Gateway(folder / name, extra=extra) as gateway:
            gateway.start()
            gateway_rate(gateway, feedback_messages(50))
            rates[name].append(gateway_rate(gateway, feedback_messages(count)))
            if name == "sqlite":
                rates["bare"].append(bare_rate(gateway, feedback_messages(count)))


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--subscribe", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.subscribe:
        subscribe(arguments.subscribe, arguments.messages)
        return 0
    rates: dict[str, list[float]] = {"sqlite": [], "postgresql": [], "bare": []}
    with (
        tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder,
        PostgresServer(durable=True) as server,
    ):
        for number in range(arguments.rounds):
            one_round(Path(folder) / str(number), server, arguments.messages, rates)
    sqlite, postgresql, bare = (statistics.median(rates[name]) for name in ("sqlite", "postgresql", "bare"))
    print(f"{arguments.messages} messages over TLS at QoS 1, medians of {arguments.rounds} rounds\n")
    print(f"gateway on SQLite, stored and receipted     {sqlite:9.0f} a second, ratio {sqlite / bare:.3f}")
    print(f"gateway on PostgreSQL, stored and receipted {postgresql:9.0f} a second, ratio {postgresql / bare:.3f}")
    print(f"bare paho subscriber                        {bare:9.0f} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
