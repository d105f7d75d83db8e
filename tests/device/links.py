"""A broker that does whatever a test wants, for the uplink's unit tests."""

import threading
from collections.abc import Callable

from contract.messages import Feedback, Receipt, decode
from device.connection import ConnectionEvent, ConnectionHandler, Received

DEADLINE_S = 10.0


class FakeBroker:
    """Makes links and lets the test play their other end."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.links: list[FakeLink] = []
        self.refuse_with: Exception | None = None
        self.opened = 0

    def make_link(self, session: int, on_event: ConnectionHandler) -> "FakeLink":
        link = FakeLink(self, session, on_event)
        with self.changed:
            self.links.append(link)
        return link

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S)

    @property
    def open_links(self) -> list["FakeLink"]:
        return [link for link in self.links if link.opened and not link.closed]

    def next_link(self, number: int) -> "FakeLink":
        self.wait_for(lambda: len(self.links) >= number and self.links[number - 1].opened)
        return self.links[number - 1]


class FakeLink:
    def __init__(self, broker: FakeBroker, session: int, on_event: ConnectionHandler) -> None:
        self.broker = broker
        self.session = session
        self.on_event = on_event
        self.sent: list[Feedback] = []
        self.raw: list[bytes] = []
        self.health: list[bytes] = []
        self.opened = False
        self.closed = False

    def open(self) -> None:
        self.broker.opened += 1
        if self.broker.refuse_with is not None:
            raise self.broker.refuse_with
        with self.broker.changed:
            self.opened = True
            self.broker.changed.notify_all()

    def send_feedback(self, message: bytes) -> None:
        with self.broker.changed:
            self.raw.append(message)
            self.sent.append(decode(Feedback, message))
            self.broker.changed.notify_all()

    def send_health(self, message: bytes) -> None:
        self.health.append(message)

    def close(self) -> None:
        self.closed = True

    def says(self, event: ConnectionEvent) -> None:
        self.on_event(self, event)

    def ids(self) -> list[str]:
        return [feedback.id for feedback in self.sent]


def stored(record_id: str) -> Received:
    return Received(Receipt(id=record_id, outcome="stored"))


def refused(record_id: str, reason: str | None = "unknown kiosk") -> Received:
    return Received(Receipt(id=record_id, outcome="refused", reason=reason))
