"""A broker of one's own, configured as the gateway configures it, and a gateway of which only the receipts are real."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contract import messages, topics
from contract.credentials import BrokerCredentials
from contract.messages import Feedback, Receipt
from contract.topics import Channel
from gateway.broker import certificates, files, passwords
from gateway.broker.certificates import TlsFiles

KIOSK_ID = "front-door"
START_S = 15.0
_SEARCH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


class PrivateBroker:
    """mosquitto with TLS, passwords and the gateway's access rules, for one kiosk; ends with its context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / files.DATA).mkdir(parents=True)
        (folder / "state").mkdir()
        tls = TlsFiles.below(folder / "state", folder)
        certificates.ensure(tls, ["localhost", "127.0.0.1"], now=datetime.now(UTC))
        self._authority = tls.authority.read_text(encoding="ascii")
        self._passwords = {name: passwords.make_password() for name in (files.GATEWAY_USER, KIOSK_ID)}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._write()
        self._process: subprocess.Popen[bytes] | None = None

    def credentials(self, *, port: int | None = None, host: str = "localhost") -> BrokerCredentials:
        """Return the kiosk's credentials, for another port if something stands between."""
        return BrokerCredentials(
            kiosk_id=KIOSK_ID,
            host=host,
            port=port or self.port,
            username=KIOSK_ID,
            password=self._passwords[KIOSK_ID],
            ca_certificate=self._authority,
        )

    def gateway_client(self) -> mqtt.Client:
        """Return an unconnected client with the gateway's rights."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.username_pw_set(files.GATEWAY_USER, self._passwords[files.GATEWAY_USER])
        client.tls_set_context(ssl.create_default_context(cadata=self._authority))
        client.max_inflight_messages_set(0)
        return client

    def start(self) -> Self:
        """Start it, again if it was stopped, and wait until it answers."""
        program = shutil.which("mosquitto", path=_SEARCH)
        if program is None:
            raise RuntimeError("mosquitto is not installed: apt-get install mosquitto")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", files.CONFIGURATION], cwd=self.folder, stderr=log)
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline_s or self._process.poll() is not None:
                    raise
                time.sleep(0.01)
            else:
                return self

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def refuse_kiosk(self, *, refused: bool) -> None:
        """Give the kiosk another password in the broker's file, or the right one again; takes a restart."""
        hashes = {name: passwords.make_hash(word) for name, word in self._passwords.items()}
        if refused:
            hashes[KIOSK_ID] = passwords.make_hash(passwords.make_password())
        text = files.passwords(hashes[files.GATEWAY_USER], {KIOSK_ID: hashes[KIOSK_ID]})
        (self.folder / files.PASSWORDS).write_text(text, encoding="ascii")

    def _write(self) -> None:
        text = files.configuration(listen="127.0.0.1", port=self.port, user="root")
        (self.folder / files.CONFIGURATION).write_text(text, encoding="ascii")
        (self.folder / files.RULES).write_text(files.rules(), encoding="ascii")
        self.refuse_kiosk(refused=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


Answer = Callable[[Feedback], list[Receipt]]
"""Which receipts a feedback gets."""


def store_it(feedback: Feedback) -> list[Receipt]:
    """Answer as a gateway that stores everything."""
    return [Receipt(id=feedback.id, outcome="stored")]


class ReceiptingGateway:
    """Subscribes as the gateway does, keeps every feedback in the order of its coming, and answers."""

    def __init__(self, broker: PrivateBroker, answer: Answer = store_it) -> None:
        self.answer = answer
        self.came: list[Feedback] = []
        """Everything that came, repetitions included."""
        self.others: list[tuple[str, bytes]] = []
        """Topic and payload of what was no feedback."""
        self.changed = threading.Condition()
        self._ready = threading.Event()
        self._receipts = topics.topic(KIOSK_ID, Channel.RECEIPT)
        self._broker = broker
        self._client = broker.gateway_client()
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topics.ROOT}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._message
        self._client.reconnect_delay_set(1, 1)

    def ids(self) -> list[str]:
        """Return the ids that came, each once, in the order in which they came first."""
        return list(dict.fromkeys(feedback.id for feedback in self.came))

    def say(self, *receipts: Receipt) -> None:
        """Send receipts of one's own accord."""
        for receipt in receipts:
            self._client.publish(self._receipts, messages.encode(receipt), qos=1)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until something that came makes ``condition`` true."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout_s):
                raise AssertionError(f"did not come within {timeout_s} s; {len(self.came)} messages came")

    def _message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == self._receipts:
            return
        with self.changed:
            if topics.parse(message.topic).channel is Channel.FEEDBACK:
                feedback = messages.decode(Feedback, bytes(message.payload))
                self.came.append(feedback)
                self.say(*self.answer(feedback))
            else:
                self.others.append((message.topic, bytes(message.payload)))
            self.changed.notify_all()

    def __enter__(self) -> Self:
        self._client.connect("localhost", self._broker.port)
        self._client.loop_start()
        if not self._ready.wait(START_S):
            raise RuntimeError("the broker does not let the gateway in")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
