"""What stands in the store's back room: a real gateway, its database, and its broker run apart from it."""

import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contract import messages, topics
from contract.credentials import BrokerCredentials
from contract.messages import Feedback, Receipt
from contract.topics import Channel
from gateway.broker import files, passwords
from tests.gateway.support import GatewayProcess, wait_until

_SEARCH = os.defpath + ":/usr/sbin:/usr/local/sbin:/usr/local/bin"


def rows(gateway: GatewayProcess) -> list[str]:
    """Return the ids of the feedback that the gateway has stored, as often as it has."""
    with closing(sqlite3.connect(f"file:{gateway.state / 'gateway.sqlite3'}?mode=ro", uri=True)) as database:
        return [str(uuid.UUID(row[0])) for row in database.execute("SELECT id FROM feedback_feedback")]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Let a process do nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class LoneBroker:
    """The broker of a gateway that does not run, with the gateway's own files. As a context it is killed at the end."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._folder = gateway.state / "broker"
        self._address = ("127.0.0.1", int((self._folder / "port").read_text()))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "LoneBroker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        mosquitto = shutil.which("mosquitto", path=_SEARCH)
        assert mosquitto is not None
        with (self._folder.parent / "lone broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [mosquitto, "-c", files.CONFIGURATION], cwd=self._folder, stdout=log, stderr=log
            )
        wait_until(self._answers)

    def kill(self) -> None:
        """End it as a crash does: what it had in memory is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def set_gateway_password(self, password: str) -> None:
        """Let a test connect as the gateway; for the next start."""
        path = self._folder / files.PASSWORDS
        lines = path.read_text().splitlines()
        mine = [f"{files.GATEWAY_USER}:{passwords.make_hash(password)}"]
        path.write_text("\n".join(mine + [line for line in lines if not line.startswith(files.GATEWAY_USER)]) + "\n")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the broker ended at once"
        with suppress(OSError), socket.create_connection(self._address, 1.0):
            return True
        return False


class GatewayDouble:
    """Sits at the broker as the gateway, keeps what kiosks send, and sends the receipts that a test wants."""

    def __init__(self, access: BrokerCredentials, password: str) -> None:
        self._changed = threading.Condition()
        self._arrived: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        client.username_pw_set(files.GATEWAY_USER, password)
        client.tls_set_context(ssl.create_default_context(cadata=access.ca_certificate))
        client.on_connect = self._connected
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._message
        self._client = client
        client.connect(access.host, access.port)
        client.loop_start()
        assert self._subscribed.wait(15.0)

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()

    def copies(self, visit: str) -> list[bytes]:
        """Return every message that has come with a feedback."""
        with self._changed:
            return [payload for found, payload in self._arrived if found == visit]

    def wait_for(self, visit: str, copies: int = 1, timeout_s: float = 30.0) -> None:
        """Wait until a feedback has come so often."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: sum(found == visit for found, _ in self._arrived) >= copies, timeout_s
            )
        assert came, f"{visit} did not come {copies} times"

    def send(self, kiosk: str, visit: str, outcome: str = "stored") -> None:
        """Send a receipt to a kiosk."""
        reason = None if outcome == "stored" else "as a test"
        receipt = Receipt(id=visit, outcome=outcome, reason=reason)  # type: ignore[arg-type]
        self.send_bytes(kiosk, messages.encode(receipt))

    def send_bytes(self, kiosk: str, payload: bytes) -> None:
        """Send anything in the place of a receipt."""
        self._client.publish(topics.topic(kiosk, Channel.RECEIPT), payload, qos=1)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(topics.every_kiosk(Channel.FEEDBACK), qos=1)

    def _message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        with self._changed:
            self._arrived.append((messages.decode(Feedback, payload).id, payload))
            self._changed.notify_all()
