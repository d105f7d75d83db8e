"""Many simulated kiosks: they keep what has no receipt and send it again, as the MQTT contract asks."""

import contextlib
import json
import random
import resource
import ssl
import subprocess
import sys
import threading
import time

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contract import messages, topics
from contract.messages import Receipt
from contract.topics import Channel
from tests.gateway.support import GatewayProcess, feedback_message

REPEAT_S = 15.0
WINDOW = 20
BACKOFF_FIRST_S = 0.5
BACKOFF_LAST_S = 8.0
FILES_EACH = 3
"""A connection, and the pair by which paho's threads call each other."""


def kiosk_id(number: int) -> str:
    return f"kiosk-{number}"


class Records:
    """What one kiosk still keeps: a window of it is on its way, and repeated until its receipt comes. Pure."""

    def __init__(self, kiosk: str) -> None:
        self.kiosk = kiosk
        self.made = 0
        self.outcomes: dict[str, str] = {}
        """Of the records that have a receipt."""
        self._kept: dict[str, bytes] = {}
        self._sent_s: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        return len(self._kept)

    def add(self) -> str:
        """Keep one more record; return its id."""
        self.made += 1
        message = feedback_message(kiosk=self.kiosk, sequence=self.made)
        self._kept[message.id] = messages.encode(message)
        return message.id

    def lost_connection(self) -> None:
        """Everything has to be sent again."""
        self._sent_s.clear()

    def to_send(self, now_s: float) -> list[bytes]:
        """Return what is to be sent now, in order, and note that it was."""
        window = list(self._kept)[:WINDOW]
        due = [key for key in window if now_s - self._sent_s.get(key, -REPEAT_S) >= REPEAT_S]
        self._sent_s.update(dict.fromkeys(due, now_s))
        return [self._kept[key] for key in due]

    def receipted(self, receipt: Receipt) -> None:
        """Drop what the gateway has."""
        self._kept.pop(receipt.id, None)
        self._sent_s.pop(receipt.id, None)
        self.outcomes[receipt.id] = receipt.outcome


class Kiosk:
    """One simulated kiosk with a connection that is driven from outside."""

    def __init__(self, number: int, password: str, gateway: tuple[str, int], context: ssl.SSLContext) -> None:
        self.records = Records(kiosk_id(number))
        self._host, self._port = gateway
        self._online = False
        self._next_try_s = 0.0
        self._backoff_s = BACKOFF_FIRST_S
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, kiosk_id(number), protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        client.username_pw_set(kiosk_id(number), password)
        client.tls_set_context(context)
        client.on_connect = lambda c, *_: c.subscribe(topics.topic(self.records.kiosk, Channel.RECEIPT), 1)
        client.on_subscribe = self._on_subscribe
        client.on_message = lambda _c, _u, m: self.records.receipted(msgspec.json.decode(m.payload, type=Receipt))
        client.on_disconnect = self._on_disconnect
        self.client = client

    @property
    def online(self) -> bool:
        return self._online

    def step(self, now_s: float) -> None:
        """Do what can be done without waiting."""
        connection = self.client.socket()
        if connection is None:
            self._try(now_s)
            return
        if self._online:
            for payload in self.records.to_send(now_s):
                self.client.publish(topics.topic(self.records.kiosk, Channel.FEEDBACK), payload, qos=1)
        # Not `loop`, which uses `select` and cannot have more than 1,024 files.
        self.client.loop_read()
        if self.client.want_write():
            self.client.loop_write()
        self.client.loop_misc()

    def _try(self, now_s: float) -> None:
        if now_s < self._next_try_s:
            return
        with contextlib.suppress(OSError):
            self.client.connect(self._host, self._port, 60, clean_start=True)
        # Full jitter: five hundred kiosks that lost one broker must not come back in one moment.
        self._next_try_s = now_s + random.uniform(0, self._backoff_s) + 0.2
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_LAST_S)

    def _on_subscribe(self, *_: object) -> None:
        self._online, self._backoff_s = True, BACKOFF_FIRST_S

    def _on_disconnect(self, *_: object) -> None:
        self._online = False
        self.records.lost_connection()


class Fleet:
    """Kiosks in a few threads. Use it as a context: leaving disconnects them all."""

    THREADS = 4

    def __init__(self, gateway: GatewayProcess, count: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES_EACH * count + 1_000), hard))
        command = [sys.executable, "-m", "tests.gateway.fleet_admission", str(gateway.config), str(count)]
        passwords = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        port = int((gateway.state / "broker" / "port").read_text())
        context = ssl.create_default_context(cafile=str(gateway.state / "tls" / "ca.pem"))
        self.kiosks = [
            Kiosk(number, passwords[kiosk_id(number)], ("127.0.0.1", port), context) for number in range(count)
        ]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._drive, args=(self.kiosks[number :: self.THREADS],))
            for number in range(self.THREADS)
        ]

    def __enter__(self) -> "Fleet":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _drive(self, kiosks: list[Kiosk]) -> None:
        while not self._stop.is_set():
            for kiosk in kiosks:
                kiosk.step(time.monotonic())
            self._stop.wait(0.005)
        for kiosk in kiosks:
            kiosk.client.disconnect()
            kiosk.client.loop_write()
