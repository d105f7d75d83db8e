"""Whatever comes from outside, nothing dies, and each thing is one clear message."""

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from audio.model import DEMONSTRATION
from contract import credentials as broker_credentials
from contract import topics
from contract.messages import MAX_MESSAGE_BYTES, Receipt, decode
from demo.sentences import SPEECH
from demo.store import Store
from tests.conftest import MakeStore

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

WAIT_S = 40.0
ID = "00000000-0000-4000-8000-000000000001"

UNDECODABLE = {
    "random bytes": os.urandom(300),
    "not JSON": b"hello gateway",
    "another type": b"[1,2,3]",
    "an unknown key": f'{{"id":"{ID}","audio":"UklGRg=="}}'.encode(),
    "nested without end": b"[" * 50_000,
    "nothing": b"",
}


class Intruder:
    """A kiosk with a valid credential that does not keep to the contract."""

    def __init__(self, credentials: Path) -> None:
        self.credentials = broker_credentials.load(credentials)
        self.receipts: list[Receipt] = []
        self.changed = threading.Condition()
        self.subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, self.credentials.kiosk_id, protocol=mqtt.MQTTv5)
        self.client.username_pw_set(self.credentials.username, self.credentials.password)
        self.client.tls_set_context(ssl.create_default_context(cadata=self.credentials.ca_certificate))
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._message

    def topic(self, channel: topics.Channel) -> str:
        return topics.topic(self.credentials.kiosk_id, channel)

    def publish(self, payload: bytes) -> None:
        self.client.publish(self.topic(topics.Channel.FEEDBACK), payload, qos=1)

    def _connected(self, *_: Any) -> None:
        self.client.subscribe(self.topic(topics.Channel.RECEIPT), qos=1)

    def _message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self.changed:
            self.receipts.append(decode(Receipt, bytes(message.payload)))
            self.changed.notify_all()

    @contextmanager
    def connected(self) -> Iterator[None]:
        self.client.connect(self.credentials.host, self.credentials.port)
        self.client.loop_start()
        try:
            assert self.subscribed.wait(WAIT_S)
            yield
        finally:
            self.client.disconnect()
            self.client.loop_stop()


def one_visit(store: Store) -> None:
    """Show that everything still works: a whole visit, to the verified webhook."""
    mark = store.visit(SPEECH / "flowers.wav")
    store.happenings.wait_for("receiver", "webhook", since=mark, verified=True, timeout_s=WAIT_S)


def test_random_bytes_on_the_serial_line_change_nothing(make_store: MakeStore) -> None:
    store = make_store()
    store.start()
    assert store.panel is not None
    for _ in range(20):
        store.panel.write("rubbish 500")
    one_visit(store)
    assert store.kiosk is not None
    assert "Traceback" not in store.kiosk.last_words(1_000)


def test_undecodable_messages_are_quarantined_and_the_next_visit_is_delivered(make_store: MakeStore) -> None:
    store = make_store()
    store.start()
    store.gateway_command("kiosk", "add", "back-door", "--credentials", store.folder / "back-door.toml")
    store.happenings.wait_for("gateway", "broker told of changed kiosks", timeout_s=WAIT_S)
    intruder = Intruder(store.folder / "back-door.toml")
    with intruder.connected():
        for number, payload in enumerate(UNDECODABLE.values(), start=1):
            intruder.publish(payload)
            store.happenings.wait_for("gateway", "message quarantined", timeout_s=WAIT_S)
            assert len(store.happenings.find("gateway", "message quarantined")) <= number
        with intruder.changed:
            assert intruder.changed.wait_for(lambda: bool(intruder.receipts), WAIT_S)
        one_visit(store)
    quarantined = store.happenings.find("gateway", "message quarantined")
    assert len(quarantined) == len(UNDECODABLE)
    assert all(one.fields["kiosk"] == "back-door" and one.fields["reason"] for one in quarantined)
    (receipt,) = intruder.receipts
    assert (receipt.id, receipt.outcome) == (ID, "refused")
    assert store.gateway is not None
    assert "Traceback" not in store.gateway.last_words(1_000)


def test_a_message_of_128_kib_and_one_byte_costs_only_its_sender(make_store: MakeStore) -> None:
    store = make_store()
    store.start()
    store.gateway_command("kiosk", "add", "back-door", "--credentials", store.folder / "back-door.toml")
    store.happenings.wait_for("gateway", "broker told of changed kiosks", timeout_s=WAIT_S)
    intruder = Intruder(store.folder / "back-door.toml")
    with intruder.connected():
        intruder.publish(b"x" * (MAX_MESSAGE_BYTES + 1))
        one_visit(store)
    assert not [one for one in store.happenings.find("kiosk", "offline") if one.fields.get("reason")]
    assert store.gateway is not None
    assert "Traceback" not in store.gateway.last_words(1_000)


def test_a_missing_model_puts_the_kiosk_out_of_service_with_one_sentence_and_heals(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    model = tmp_path / "model"
    store.kiosk_config.write_text(store.kiosk_config.read_text().replace("[audio]\n", f'[audio]\nmodel = "{model}"\n'))
    store.start_panel()
    store.start_kiosk(wait_for_ear=False)
    lost = store.happenings.wait_for("kiosk", "ear_lost", timeout_s=WAIT_S)
    while str(model) not in lost.fields["reason"]:
        lost = store.happenings.wait_for("kiosk", "ear_lost", since=len(store.happenings), timeout_s=WAIT_S)
    assert store.happenings.find("panel", "scene")[-1].fields["scene"] == "out_of_service"
    model.symlink_to(DEMONSTRATION)
    store.happenings.wait_for("panel", "scene", scene="idle", timeout_s=90)
    assert store.kiosk is not None
    assert store.kiosk.last_words(1_000).count("WARNING audio") == 1
