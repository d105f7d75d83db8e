"""The uplink against a broker that does whatever the test wants."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.messages import Feedback, Receipt, decode
from device import uplink as uplink_module
from device.backoff import Backoff
from device.clock import Stamp
from device.connection import ConnectionEvent, ConnectionHandler, Down, Received, Up
from device.delivery import Window
from device.spool import Spool
from device.uplink import Offline, Online, Settled, Uplink, UplinkEvent
from tests.device.records import a_record

DEADLINE_S = 10.0


class FixedClock:
    def now(self) -> Stamp:
        return Stamp(boot_id="boot", since_boot_s=100.0, wall_s=1_700_000_100.0, synchronised=True)


class Broker:
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
    def __init__(self, broker: Broker, session: int, on_event: ConnectionHandler) -> None:
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
        with self.broker.changed:
            self.health.append(message)
            self.broker.changed.notify_all()

    def close(self) -> None:
        self.closed = True

    def says(self, event: ConnectionEvent) -> None:
        self.on_event(self, event)

    def ids(self) -> list[str]:
        return [feedback.id for feedback in self.sent]


class Kiosk:
    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder / "spool.sqlite3")
        self.broker = Broker()
        self.events: list[UplinkEvent] = []
        self.changed = threading.Condition()
        self.uplink = Uplink(
            self.spool,
            FixedClock(),
            kiosk="front-door",
            make_link=self.broker.make_link,
            on_event=self.note,
            start_number=self.spool.begin(),
            backoff=Backoff(first_s=0.01, ceiling_s=0.05, floor_s=0.01),
        )

    def note(self, event: UplinkEvent) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait_for_event(self, event: UplinkEvent) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: event in self.events, DEADLINE_S), self.events

    def says(self, number: int) -> str:
        name = f"00000000-0000-4000-8000-{number:012d}"
        self.spool.add(a_record(name))
        self.spool.release(name)
        self.uplink.wake()
        return name


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    kiosk = Kiosk(tmp_path)
    yield kiosk
    kiosk.uplink.stop()
    kiosk.spool.close()


def stored(record_id: str) -> Received:
    return Received(Receipt(id=record_id, outcome="stored"))


def test_nothing_is_sent_before_receipts_can_come(kiosk: Kiosk) -> None:
    kiosk.says(1)
    kiosk.uplink.start()
    link = kiosk.broker.next_link(1)
    kiosk.uplink.wake()
    assert link.sent == []
    link.says(Up())
    kiosk.broker.wait_for(lambda: len(link.sent) == 1)
    kiosk.wait_for_event(Online())


def test_records_of_an_outage_are_delivered_after_it_in_order(kiosk: Kiosk) -> None:
    kiosk.broker.refuse_with = ConnectionRefusedError("refused")
    kiosk.uplink.start()
    names = [kiosk.says(number) for number in range(1, 6)]
    kiosk.wait_for_event(Offline("ConnectionRefusedError: refused"))
    kiosk.broker.refuse_with = None
    kiosk.broker.wait_for(lambda: bool(kiosk.broker.open_links))
    link = kiosk.broker.open_links[0]
    link.says(Up())
    kiosk.broker.wait_for(lambda: len(link.sent) == 5)
    assert link.ids() == names
    assert [feedback.sequence for feedback in link.sent] == [1, 2, 3, 4, 5]


def test_a_record_stays_until_its_receipt(kiosk: Kiosk) -> None:
    name = kiosk.says(1)
    kiosk.uplink.start()
    link = kiosk.broker.next_link(1)
    link.says(Up())
    kiosk.broker.wait_for(lambda: len(link.sent) == 1)
    assert [entry.id for entry in kiosk.spool.entries()] == [name]
    link.says(stored(name))
    kiosk.wait_for_event(Settled(name, stored=True, reason=None))
    assert kiosk.spool.entries() == []


def test_a_record_without_receipt_is_sent_again_by_the_next_connection_with_the_same_bytes(kiosk: Kiosk) -> None:
    kiosk.says(1)
    kiosk.uplink.start()
    first = kiosk.broker.next_link(1)
    first.says(Up())
    kiosk.broker.wait_for(lambda: len(first.sent) == 1)
    first.says(Down("the broker was killed"))
    second = kiosk.broker.next_link(2)
    second.says(Up())
    kiosk.broker.wait_for(lambda: len(second.sent) == 1)
    assert second.raw == first.raw
    assert second.session > first.session
    assert first.closed


def test_a_refused_record_goes_to_the_shelf_and_does_not_block_the_others(kiosk: Kiosk) -> None:
    bad, good = kiosk.says(1), kiosk.says(2)
    kiosk.uplink.start()
    link = kiosk.broker.next_link(1)
    link.says(Up())
    kiosk.broker.wait_for(lambda: len(link.sent) == 2)
    link.says(Received(Receipt(id=bad, outcome="refused", reason="unknown kiosk")))
    link.says(stored(good))
    kiosk.wait_for_event(Settled(good, stored=True, reason=None))
    (entry,) = kiosk.spool.entries()
    assert (entry.id, entry.state, entry.reason) == (bad, "refused", "unknown kiosk")


def test_a_lost_receipt_makes_the_record_go_again_on_the_same_connection(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "Window", lambda: Window(timeout_s=0.05))
    name = kiosk.says(1)
    kiosk.uplink.start()
    link = kiosk.broker.next_link(1)
    link.says(Up())
    kiosk.broker.wait_for(lambda: len(link.sent) >= 3)
    assert set(link.ids()) == {name}
    link.says(stored(name))
    kiosk.wait_for_event(Settled(name, stored=True, reason=None))


def test_many_records_are_drained_through_a_small_window(kiosk: Kiosk) -> None:
    names = [kiosk.says(number) for number in range(1, 61)]
    kiosk.uplink.start()
    link = kiosk.broker.next_link(1)
    link.says(Up())
    for number, name in enumerate(names):
        kiosk.broker.wait_for(lambda at=number: len(link.sent) > at)  # type: ignore[misc]
        assert len(link.sent) <= number + Window().size
        link.says(stored(name))
    kiosk.wait_for_event(Settled(names[-1], stored=True, reason=None))
    assert link.ids() == names
    assert kiosk.spool.entries() == []


def test_events_of_a_connection_that_has_ended_are_ignored(kiosk: Kiosk) -> None:
    kiosk.uplink.start()
    first = kiosk.broker.next_link(1)
    first.says(Down("gone"))
    second = kiosk.broker.next_link(2)
    first.says(Down("gone again"))
    second.says(Up())
    kiosk.wait_for_event(Online())
    assert len(kiosk.broker.links) == 2


def test_an_outage_is_told_once_however_long_it_is(kiosk: Kiosk) -> None:
    kiosk.broker.refuse_with = TimeoutError("timed out")
    kiosk.uplink.start()
    deadline_s = time.monotonic() + DEADLINE_S
    while kiosk.broker.opened < 10:
        assert time.monotonic() < deadline_s
        kiosk.uplink.wake()
        time.sleep(0.005)
    assert kiosk.events == [Offline("TimeoutError: timed out")]


def test_a_damaged_record_goes_to_the_shelf_and_does_not_block_the_others(kiosk: Kiosk) -> None:
    bad, good = kiosk.says(1), kiosk.says(2)
    kiosk.spool._db.execute("UPDATE records SET record = X'7b22' WHERE id = ?", (bad,))
    kiosk.uplink.start()
    link = kiosk.broker.next_link(1)
    link.says(Up())
    kiosk.broker.wait_for(lambda: good in link.ids())
    assert link.ids() == [good]
    assert kiosk.spool.depth() == {"refused": 1, "waiting": 1}


def test_a_defect_costs_one_connection_and_not_the_uplink(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    kiosk.says(1)
    kiosk.broker.refuse_with = RuntimeError("a defect")
    kiosk.uplink.start()
    kiosk.wait_for_event(Offline("a defect of the uplink: a defect"))
    kiosk.broker.refuse_with = None
    kiosk.broker.wait_for(lambda: bool(kiosk.broker.open_links))
    link = kiosk.broker.open_links[0]
    link.says(Up())
    kiosk.broker.wait_for(lambda: len(link.sent) == 1)
