"""The uplink against a broker that does whatever the test wants."""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.messages import MessageError, Receipt, encode_feedback
from device import courier as courier_module
from device import uplink as uplink_module
from device.backoff import Backoff
from device.connection import ConnectionHandler, Down, Received, Up
from device.delivery import Window
from device.spool import Outcome, Spool, SpoolError
from device.stats import UplinkStats
from device.uplink import Offline, Online, Settled, Uplink, UplinkEvent
from tests.device.clocks import SetClock
from tests.device.links import DEADLINE_S, FakeBroker, FakeLink, refused, stored
from tests.device.records import a_record


class Kiosk:
    def __init__(self, folder: Path, kind: type[Spool] = Spool) -> None:
        self.spool = kind(folder / "spool.sqlite3")
        self.broker = FakeBroker()
        self.events: list[UplinkEvent] = []
        self.changed = threading.Condition()
        self.uplink = Uplink(
            self.spool,
            SetClock(),
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


def quietly_wait(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def connected(kiosk: Kiosk) -> FakeLink:
    kiosk.uplink.start()
    link = kiosk.broker.next_link(1)
    link.says(Up())
    kiosk.wait_for_event(Online())
    return link


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
    quietly_wait(lambda: kiosk.broker.opened >= 10)
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


def test_more_damaged_records_than_the_window_holds_do_not_hold_up_the_one_behind_them(kiosk: Kiosk) -> None:
    count = Window().size + 3
    for number in range(1, count + 1):
        kiosk.says(number)
    kiosk.spool._db.execute("UPDATE records SET record = X'7b22' WHERE sequence < ?", (count,))
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(link.sent) == 1)
    assert link.sent[0].sequence == count


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


# ------------------------------------------------------------ batches


class CountedSpool(Spool):
    """Counts the transactions of the uplink, and fails when told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.transactions = 0
        self.broken = False

    def freeze_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self._count()
        super().freeze_all(messages)

    def settle(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        self._count()
        return super().settle(outcomes)

    def _count(self) -> None:
        if self.broken:
            raise SpoolError("the disk is full")
        self.transactions += 1


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kiosk]:
    monkeypatch.setattr(courier_module, "SPOOL_RETRY_S", 0.05)
    kiosk = Kiosk(tmp_path, CountedSpool)
    yield kiosk
    kiosk.uplink.stop()
    kiosk.spool.close()


def test_a_window_full_of_records_takes_one_transaction_to_send_and_few_to_settle(counted: Kiosk) -> None:
    spool = counted.spool
    assert isinstance(spool, CountedSpool)
    size = Window().size
    names = [counted.says(number) for number in range(1, 3 * size + 1)]
    link = connected(counted)
    for sent in (size, 2 * size, 3 * size):
        counted.broker.wait_for(lambda sent=sent: len(link.sent) >= sent)  # type: ignore[misc]
        for name in names[sent - size : sent]:
            link.says(stored(name))
    counted.wait_for_event(Settled(names[-1], stored=True, reason=None))
    assert link.ids() == names
    assert spool.transactions < len(names) / 3


def test_a_receipt_that_cannot_be_noted_is_noted_when_the_spool_works_again(
    counted: Kiosk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, courier_module.__name__)
    spool = counted.spool
    assert isinstance(spool, CountedSpool)
    name = counted.says(1)
    link = connected(counted)
    counted.broker.wait_for(lambda: len(link.sent) == 1)
    spool.broken = True
    link.says(stored(name))
    quietly_wait(lambda: "WARNING" in [line.levelname for line in caplog.records])
    for _ in range(50):
        counted.uplink.wake()
    assert [entry.id for entry in spool.entries()] == [name]
    spool.broken = False
    counted.wait_for_event(Settled(name, stored=True, reason=None))
    quietly_wait(lambda: [line.levelname for line in caplog.records] == ["WARNING", "INFO"])
    assert spool.entries() == []
    assert len(link.sent) == 1


def test_a_record_that_an_operator_put_back_is_sent_though_later_ones_went_before(kiosk: Kiosk) -> None:
    early, late = kiosk.says(1), kiosk.says(2)
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(link.sent) == 2)
    link.says(refused(early))
    link.says(stored(late))
    kiosk.wait_for_event(Settled(late, stored=True, reason=None))
    kiosk.spool._db.execute("UPDATE records SET state = 'waiting', reason = NULL WHERE id = ?", (early,))
    kiosk.uplink.wake()
    kiosk.broker.wait_for(lambda: len(link.sent) == 3)
    assert link.ids() == [early, late, early]


# ------------------------------------------------------------ receipts that were not asked for


def test_repeated_unknown_and_contradicting_receipts_change_nothing_and_are_counted(kiosk: Kiosk) -> None:
    first, second, third = kiosk.says(1), kiosk.says(2), kiosk.says(3)
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(link.sent) == 3)
    link.says(refused(third))
    link.says(stored(second))
    link.says(stored(second))
    kiosk.wait_for_event(Settled(second, stored=True, reason=None))
    for event in (stored("00000000-0000-4000-8000-999999999999"), refused(second), refused(third)):
        link.says(event)
    link.says(stored(first))
    kiosk.wait_for_event(Settled(first, stored=True, reason=None))
    (shelved,) = kiosk.spool.entries()
    assert (shelved.id, shelved.state) == (third, "refused")
    stats = kiosk.uplink.stats()
    assert (stats.stored, stats.refused, stats.stray_receipts) == (2, 1, 4)
    assert sum(isinstance(event, Settled) for event in kiosk.events) == 3


@pytest.mark.parametrize("at_once", [True, False])
def test_a_record_that_was_stored_is_gone_though_another_copy_of_it_was_refused(kiosk: Kiosk, at_once: bool) -> None:
    name = kiosk.says(1)
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(link.sent) == 1)
    link.says(refused(name))
    if not at_once:
        kiosk.wait_for_event(Settled(name, stored=False, reason="unknown kiosk"))
    link.says(stored(name))
    kiosk.wait_for_event(Settled(name, stored=True, reason=None))
    assert kiosk.spool.entries() == []


def test_a_receipt_that_comes_over_an_earlier_connection_counts(kiosk: Kiosk) -> None:
    name = kiosk.says(1)
    first = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(first.sent) == 1)
    first.says(Down("gone"))
    second = kiosk.broker.next_link(2)
    second.says(Up())
    kiosk.broker.wait_for(lambda: len(second.sent) == 1)
    first.says(stored(name))
    kiosk.wait_for_event(Settled(name, stored=True, reason=None))
    second.says(stored(name))
    quietly_wait(lambda: kiosk.uplink.stats().stray_receipts == 1)
    assert kiosk.spool.entries() == []


def test_receipts_in_another_order_settle_the_same_records(kiosk: Kiosk) -> None:
    names = [kiosk.says(number) for number in range(1, 16)]
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(link.sent) == 15)
    for name in reversed(names):
        link.says(stored(name))
    kiosk.wait_for_event(Settled(names[0], stored=True, reason=None))
    assert kiosk.spool.entries() == []
    assert kiosk.uplink.stats().stray_receipts == 0


def test_receipts_that_came_just_before_the_end_of_a_connection_are_not_lost(kiosk: Kiosk) -> None:
    name = kiosk.says(1)
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(link.sent) == 1)
    link.says(stored(name))
    link.says(Down("gone"))
    kiosk.wait_for_event(Settled(name, stored=True, reason=None))
    assert kiosk.spool.entries() == []


# ------------------------------------------------------------ poison


@pytest.mark.parametrize("error", [MessageError("too large"), ValueError("out of range"), TypeError("a defect")])
def test_a_record_that_cannot_be_made_a_message_goes_to_the_shelf_and_the_next_one_is_sent(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    count = Window().size + 5
    bad = [kiosk.says(number) for number in range(1, count)]
    good = kiosk.says(count)

    def encode(feedback: Any) -> bytes:
        if feedback.id in bad:
            raise error
        return encode_feedback(feedback)

    monkeypatch.setattr(courier_module, "encode_feedback", encode)
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: good in link.ids())
    assert link.ids() == [good]
    assert kiosk.spool.depth() == {"refused": len(bad), "waiting": 1}
    assert all("it cannot be sent" in str(entry.reason) for entry in kiosk.spool.entries() if entry.id in bad)


# ------------------------------------------------------------ health and stats


def test_a_health_message_is_sent_while_online_and_dropped_otherwise(kiosk: Kiosk) -> None:
    kiosk.uplink.send_health(b"before")
    link = connected(kiosk)
    kiosk.uplink.send_health(b"now")
    link.says(Down("gone"))
    kiosk.wait_for_event(Offline("gone"))
    kiosk.uplink.send_health(b"after")
    assert [each.health for each in kiosk.broker.links] == [[b"now"], *([] for _ in kiosk.broker.links[1:])]


def test_the_uplink_tells_how_it_is(kiosk: Kiosk) -> None:
    stats = kiosk.uplink.stats()
    assert (stats.online, stats.reason, stats.connections) == (False, "not connected yet", 0)
    first, second = kiosk.says(1), kiosk.says(2)
    link = connected(kiosk)
    kiosk.broker.wait_for(lambda: len(link.sent) == 2)
    quietly_wait(lambda: kiosk.uplink.stats().in_flight == 2)
    link.says(stored(first))
    link.says(Received(Receipt(id=second, outcome="refused", reason="no")))
    kiosk.wait_for_event(Settled(second, stored=False, reason="no"))
    stats = kiosk.uplink.stats()
    assert 0 <= stats.state_for_s < DEADLINE_S
    assert stats.last_receipt_s is not None
    assert 0 <= stats.last_receipt_s < DEADLINE_S
    assert dataclasses.asdict(_plain(stats)) == {
        "online": True,
        "reason": None,
        "session": 1_000_001,
        "connections": 1,
        "sent": 2,
        "stored": 1,
        "refused": 1,
        "stray_receipts": 0,
    }
    link.says(Down("gone"))
    kiosk.wait_for_event(Offline("gone"))
    stats = kiosk.uplink.stats()
    assert (stats.online, stats.reason, stats.in_flight) == (False, "gone", 0)


@dataclasses.dataclass
class _Plain:
    online: bool
    reason: str | None
    session: int
    connections: int
    sent: int
    stored: int
    refused: int
    stray_receipts: int


def _plain(stats: UplinkStats) -> _Plain:
    return _Plain(**{field.name: getattr(stats, field.name) for field in dataclasses.fields(_Plain)})


# ------------------------------------------------------------ outages


class Simulated:
    """Time that passes only in pauses."""

    def __init__(self, until_s: float) -> None:
        self.clock = SetClock()
        self.until_s = until_s
        self.now_s = 0.0
        self.over = threading.Event()

    def monotonic(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        if self.over.is_set():
            # What is to be counted has happened, and the test ends the uplink.
            time.sleep(0.01)
        self.now_s += seconds
        self.clock.pass_time(seconds)
        if self.now_s >= self.until_s:
            self.over.set()


def simulated_uplink(
    spool: Spool, time_: Simulated, make_link: Callable[[int, ConnectionHandler], Any], **more: Any
) -> Uplink:
    return Uplink(
        spool,
        time_.clock,
        kiosk="front-door",
        make_link=make_link,
        start_number=1,
        monotonic=time_.monotonic,
        pause=time_.pause,
        **{"on_event": lambda event: None, **more},
    )


WEEK_S = 7 * 86_400.0


def test_a_week_without_a_broker_costs_a_bounded_number_of_tries_and_nothing_grows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.add(a_record("00000000-0000-4000-8000-000000000001"))
    spool.release("00000000-0000-4000-8000-000000000001")
    time_ = Simulated(WEEK_S)
    events: list[UplinkEvent] = []
    opened: list[int] = []
    threads: set[int] = set()
    online: list[FakeLink] = []
    broker = FakeBroker()

    def make_link(session: int, on_event: ConnectionHandler) -> FakeLink:
        link = FakeLink(broker, session, on_event)
        opened.append(session)
        threads.add(threading.active_count())
        broker.refuse_with = None if time_.over.is_set() else ConnectionRefusedError("refused")
        if time_.over.is_set():
            online.append(link)
            link.says(Up())
        return link

    uplink = simulated_uplink(spool, time_, make_link, on_event=events.append)
    uplink.start()
    broker.wait_for(lambda: bool(online) and bool(online[0].sent))
    # With full jitter up to a minute, a try comes every 30 s in the mean.
    assert WEEK_S / 60 < len(opened) < WEEK_S / 25
    assert len(threads) == 1
    assert max(opened) == 1_000_001, "a try that reaches no broker uses up no session number"
    assert events[:2] == [Offline("ConnectionRefusedError: refused"), Online()]
    lines = [(line.levelname, line.message) for line in caplog.records if line.name == uplink_module.__name__]
    assert [level for level, _ in lines] == ["WARNING", "INFO"]
    assert int(lines[1][1].split()[-2]) >= WEEK_S
    uplink.stop()
    spool.close()


def test_a_kiosk_that_the_broker_does_not_know_asks_seldom_and_for_ever(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    time_ = Simulated(86_400.0)
    opened: list[int] = []
    broker = FakeBroker()

    def make_link(session: int, on_event: ConnectionHandler) -> FakeLink:
        link = FakeLink(broker, session, on_event)
        opened.append(session)
        link.says(Down("not authorised", refused=True))
        return link

    uplink = simulated_uplink(spool, time_, make_link)
    uplink.start()
    assert time_.over.wait(DEADLINE_S)
    uplink.stop()
    assert 86_400 / 300 < len(opened) < 86_400 / 100
    spool.close()


def test_a_broker_that_lets_the_kiosk_in_and_throws_it_out_is_not_stormed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    time_ = Simulated(86_400.0)
    opened: list[int] = []
    broker = FakeBroker()

    def make_link(session: int, on_event: ConnectionHandler) -> FakeLink:
        link = FakeLink(broker, session, on_event)
        opened.append(session)
        link.says(Up())
        link.says(Down("another kiosk has this name"))
        return link

    uplink = simulated_uplink(spool, time_, make_link)
    uplink.start()
    assert time_.over.wait(DEADLINE_S)
    uplink.stop()
    assert len(opened) < 86_400 / 25
    assert opened == sorted(set(opened))
    spool.close()
