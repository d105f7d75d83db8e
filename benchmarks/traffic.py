"""What the ingest and delivery benchmarks share: a gateway, a kiosk's credential, and messages to publish."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contract import credentials as broker_credentials
from contract import topics
from contract.credentials import BrokerCredentials
from contract.messages import Feedback, encode
from demo.process import BIN, Process, run_to_end

KIOSK_ID = "benchmark"
INFLIGHT = 100
WAIT_S = 300.0
WORDS = "the bread was fresh but the woman at the counter did not know where the gluten free cookies are"


def feedback_messages(count: int) -> list[bytes]:
    """Return encoded feedback messages, each with an id of its own."""
    return [
        encode(
            Feedback(
                id=str(uuid.uuid4()),
                kiosk=KIOSK_ID,
                created_at=datetime.now(UTC),
                clock="synchronised",
                transcript=WORDS,
                language="en",
                confidence=0.9,
                words=(),
                speech_s=5.0,
                audio_s=6.0,
                model="benchmark",
                agent_version="0",
                sequence=number,
                consent_version=None,
            )
        )
        for number in range(1, count + 1)
    ]


class Gateway:
    """A gateway in a folder, with one kiosk; `start` and leaving the context frame its run."""

    def __init__(self, folder: Path, *, extra: str = "") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'state_dir = "{folder / "gateway"}"\n'
            '[broker]\nhosts = ["localhost"]\nlisten = "127.0.0.1"\nport = 0\n'
            "[monitoring]\nport = 0\n"
            "[ingest]\nrate_per_s = 100000\nburst = 1000000\n"
            f'[webhooks]\nallowed_networks = ["127.0.0.0/8"]\n{extra}'
        )
        self.command("kiosk", "add", KIOSK_ID, "--credentials", folder / "credentials.toml")
        self.credentials = broker_credentials.load(folder / "credentials.toml")
        self._ready = threading.Event()
        self._process: Process | None = None

    def command(self, *arguments: str | Path) -> str:
        """Run one of the gateway's commands."""
        return run_to_end([BIN / "kiosk-gateway", *arguments, "--config", self.config])

    def start(self) -> None:
        """Start it and wait until it works."""
        self._process = Process(
            [BIN / "kiosk-gateway", "run", "--config", self.config, "--log-format", "json"],
            log=self.folder / "gateway.log",
            watch="stderr",
            on_line=self._line,
        )
        if not self._ready.wait(WAIT_S):
            raise RuntimeError(self._process.last_words())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.stop()

    def _line(self, line: str) -> None:
        if '"gateway ready"' in line:
            self._ready.set()


def connect(credentials: BrokerCredentials, prepare: Callable[[mqtt.Client], None]) -> mqtt.Client:
    """Return a client that is connected over TLS and runs in a thread of its own."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, credentials.kiosk_id, protocol=mqtt.MQTTv5)
    client.username_pw_set(credentials.username, credentials.password)
    client.tls_set_context(ssl.create_default_context(cadata=credentials.ca_certificate))
    client.max_inflight_messages_set(INFLIGHT)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    prepare(client)
    client.connect(credentials.host, credentials.port)
    client.loop_start()
    if not connected.wait(WAIT_S):
        raise RuntimeError("the broker does not answer")
    return client


def publish_all(client: mqtt.Client, messages: list[bytes]) -> None:
    """Hand all messages to paho, at QoS 1."""
    target = topics.topic(KIOSK_ID, topics.Channel.FEEDBACK)
    for message in messages:
        client.publish(target, message, qos=1)


class Counter:
    """Counts from another thread; `wait` returns when the count is reached, with the time of the last."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._seen: set[Any] = set()
        self._done = threading.Event()
        self.last_s = 0.0

    def add(self, key: object) -> None:
        """Count ``key`` once."""
        self._seen.add(key)
        if len(self._seen) == self._target:
            self.last_s = time.perf_counter()
            self._done.set()

    def wait(self) -> float:
        """Return when the last one came, by `time.perf_counter`."""
        if not self._done.wait(WAIT_S):
            raise RuntimeError(f"only {len(self._seen)} of {self._target} came")
        return self.last_s


@contextmanager
def bare_broker(gateway: Gateway) -> Iterator[BrokerCredentials]:
    """Run a mosquitto of its own with the gateway's certificate and no access rules."""
    folder = gateway.folder / "bare"
    folder.mkdir()
    for name in ("server.pem", "server.key"):
        (source,) = (gateway.folder / "gateway").rglob(name)
        shutil.copy(source, folder / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\ncertfile server.pem\nkeyfile server.key\n"
        "max_queued_messages 0\nmax_inflight_messages 100\nset_tcp_nodelay true\nuser root\n"
    )
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise RuntimeError("mosquitto is not installed: apt-get install mosquitto")
    process = subprocess.Popen([program, "-c", "mosquitto.conf"], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + WAIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline_s:
                    raise
        yield BrokerCredentials(
            kiosk_id=KIOSK_ID,
            host="localhost",
            port=port,
            username=KIOSK_ID,
            password="x" * 16,
            ca_certificate=gateway.credentials.ca_certificate,
        )
    finally:
        process.terminate()
        process.wait()
