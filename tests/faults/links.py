"""How a fast kiosk reaches a gateway: one in its own process, or a real one over a connection that tells of itself."""

import heapq
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import MQTTMessageInfo

from contract import messages
from contract.credentials import BrokerCredentials
from contract.messages import Feedback, Receipt
from contract.topics import Channel
from device.connection import Connection, ConnectionEvent, ConnectionHandler, Received, Up
from device.uplink import Link
from tests.faults.reports import report, report_sent


class NearGateway:
    """A gateway in this process, as far as its receipts go: late, in another order, doubled, missing, refusing."""

    def __init__(self, chance: random.Random, *, is_silent: bool) -> None:
        self._chance = chance
        self._is_silent = is_silent
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[Receipt], None], Receipt]] = []
        self._count = 0
        threading.Thread(target=self._run, name="near gateway", daemon=True).start()

    def link(self, _session: int, on_event: ConnectionHandler) -> Link:
        """Make the uplink's connection."""
        return _NearLink(self, on_event)

    def answer(self, feedback: Feedback, say: Callable[[Receipt], None]) -> None:
        """Send receipts for a feedback, or not."""
        if self._is_silent:
            return
        draw = self._chance.random()
        refused = draw < 0.02
        receipt = Receipt(
            id=feedback.id, outcome="refused" if refused else "stored", reason="as a test" if refused else None
        )
        for _ in range(0 if draw > 0.97 else 2 if draw > 0.85 else 1):
            with self._changed:
                self._count += 1
                due_s = time.monotonic() + self._chance.random() * 0.1
                heapq.heappush(self._due, (due_s, self._count, say, receipt))
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                _, _, say, receipt = heapq.heappop(self._due)
            say(receipt)


class _NearLink:
    def __init__(self, gateway: NearGateway, on_event: ConnectionHandler) -> None:
        self._gateway = gateway
        self._on_event = on_event

    def open(self) -> None:
        self._on_event(self, Up())

    def send_feedback(self, message: bytes) -> None:
        report_sent(message)
        self._gateway.answer(messages.decode(Feedback, message), self._receipt)

    def send_health(self, message: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def _receipt(self, receipt: Receipt) -> None:
        report("receipt", visit=receipt.id, stored=receipt.outcome == "stored")
        self._on_event(self, Received(receipt))


class ToldConnection(Connection):
    """The product's connection to a real broker, which also says what passes over it."""

    def __init__(
        self, credentials: BrokerCredentials, *, session: int, on_event: ConnectionHandler, keepalive_s: int
    ) -> None:
        told = _told(on_event)
        super().__init__(credentials, session=session, agent_version="0", on_event=told, keepalive_s=keepalive_s)
        self._client.on_publish = lambda _client, _data, number, *_: report("puback", number=number)
        self._plain_publish = self._client.publish
        setattr(self._client, "publish", self._publish)  # noqa: B010

    def send_feedback(self, message: bytes) -> None:
        """Say what is sent, and send it."""
        report_sent(message)
        super().send_feedback(message)

    def _publish(self, topic: str, payload: bytes, **options: Any) -> MQTTMessageInfo:
        info = self._plain_publish(topic, payload, **options)
        if topic.endswith(f"/{Channel.FEEDBACK}"):
            report("handed", number=info.mid, visit=messages.decode(Feedback, payload).id)
        return info


def _told(on_event: ConnectionHandler) -> ConnectionHandler:
    def told(source: object, event: ConnectionEvent) -> None:
        if isinstance(event, Received):
            report("receipt", visit=event.receipt.id, stored=event.receipt.outcome == "stored")
        on_event(source, event)

    return told
