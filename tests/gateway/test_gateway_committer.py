"""Between the broker and the database: order, limits, and what happens when storing fails."""

import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from contract import topics
from contract.messages import Receipt
from contract.topics import Channel
from gateway.feedback import store
from gateway.feedback.committer import Committer
from gateway.feedback.ingest import Arrival
from gateway.feedback.limits import CALM_S, MAX_KIOSKS, DiskRoom, RateLimit
from gateway.feedback.store import Answer
from tests.gateway.support import NOW, feedback_message

STOP = threading.Event()


@dataclass
class StubSubscriber:
    """Gives what it was given and notes, in one list, everything that is done with it."""

    waiting: list[Arrival]
    done: list[str] = field(default_factory=list)

    def take(self, most: int, _timeout_s: float) -> list[object]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return [
            SimpleNamespace(arrival=arrival, acknowledge=lambda a=arrival: self.done.append(f"ack {a.payload[:9]!r}"))
            for arrival in taken
        ]

    def answer(self, _kiosk: str, receipt: Receipt) -> None:
        self.done.append(f"receipt {receipt.outcome}")


class StubRoom:
    def __init__(self, *, enough: bool = True) -> None:
        self.enough = enough

    def is_enough(self, _now_s: float) -> bool:
        return self.enough


def arrivals(count: int, kiosk: str = "shop-1") -> list[Arrival]:
    return [Arrival(topics.topic(kiosk, Channel.FEEDBACK), f"message {n}".encode(), NOW) for n in range(count)]


def make(subscriber: StubSubscriber, *, burst: int = 1_000, room: StubRoom | None = None) -> Committer:
    return Committer(
        subscriber,  # type: ignore[arg-type]
        rate=RateLimit(0.001, burst),
        room=room or StubRoom(),  # type: ignore[arg-type]
        stored=lambda: subscriber.done.append("told"),
    )


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """What was committed, batch by batch; every message is receipted."""
    batches: list[list[bytes]] = []

    def commit(batch: Sequence[Arrival]) -> list[Answer | None]:
        batches.append([arrival.payload for arrival in batch])
        return [Answer("shop-1", Receipt(id=feedback_message().id, outcome="stored")) for _ in batch]

    monkeypatch.setattr(store, "commit", commit)
    return batches


def test_a_batch_is_committed_then_receipted_then_acknowledged(committed: list[list[bytes]]) -> None:
    subscriber = StubSubscriber(arrivals(2))
    make(subscriber).turn(STOP)
    assert committed == [[b"message 0", b"message 1"]]
    assert subscriber.done == ["receipt stored"] * 2 + ["ack b'message 0'", "ack b'message 1'"] + ["told"]


def test_what_cannot_be_stored_now_is_kept_and_neither_receipted_nor_acknowledged(
    monkeypatch: pytest.MonkeyPatch, committed: list[list[bytes]]
) -> None:
    subscriber = StubSubscriber(arrivals(2))
    committer = make(subscriber)
    with monkeypatch.context() as broken:

        def fail(_batch: object) -> None:
            raise OperationalError("database or disk is full")

        broken.setattr(store, "commit", fail)
        for _ in range(3):
            with pytest.raises(OperationalError):
                committer.turn(STOP)
    assert subscriber.done == []
    committer.turn(STOP)
    assert committed == [[b"message 0", b"message 1"]]
    assert subscriber.done.count("receipt stored") == 2


def test_a_kiosk_that_floods_is_held_back_and_the_others_are_not(committed: list[list[bytes]]) -> None:
    subscriber = StubSubscriber([*arrivals(10, "loud"), *arrivals(2, "quiet")])
    committer = make(subscriber, burst=3)
    committer.turn(STOP)
    assert [len(batch) for batch in committed] == [5]
    assert sum(done.startswith("ack") for done in subscriber.done) == 12
    assert committer.counts == {"stored": 5, "too_fast": 7}


def test_without_room_on_the_disk_nothing_is_stored_and_everything_has_to_come_again(
    committed: list[list[bytes]],
) -> None:
    room = StubRoom(enough=False)
    subscriber = StubSubscriber(arrivals(3))
    committer = make(subscriber, room=room)
    committer.turn(STOP)
    assert committed == []
    assert [done.split()[0] for done in subscriber.done] == ["ack"] * 3
    room.enough = True
    subscriber.waiting = arrivals(1)
    committer.turn(STOP)
    assert committed == [[b"message 0"]]


def test_the_room_is_looked_at_once_a_second_and_comes_back_only_with_some_to_spare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free_mb = iter([201, 199, 249, 250])
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=next(free_mb) * 1_000_000))
    room = DiskRoom(tmp_path, 200)
    with caplog.at_level("INFO"):
        assert [room.is_enough(s) for s in (0.0, 0.5, 1.0, 1.9, 2.0, 3.0)] == [True, True, False, False, False, True]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_flood_is_told_of_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    limit = RateLimit(1.0, 2)
    with caplog.at_level("INFO"):
        assert [limit.allow("a", 0.0) for _ in range(4)] == [True, True, False, False]
        assert limit.allow("a", 1.0)
        assert limit.allow("a", CALM_S + 1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_the_memory_for_rates_is_bounded() -> None:
    limit = RateLimit(1.0, 1)
    for number in range(MAX_KIOSKS + 10):
        limit.allow(str(number), 0.0)
    assert len(limit._buckets) == MAX_KIOSKS


@given(steps=st.lists(st.floats(0, 5), max_size=60), rate=st.floats(0.1, 20), burst=st.integers(1, 30))
def test_no_more_than_burst_and_rate_come_through_whatever_the_times(
    steps: list[float], rate: float, burst: int
) -> None:
    limit = RateLimit(rate, burst)
    now_s, passed = 0.0, 0
    for step in steps:
        now_s += step
        passed += limit.allow("a", now_s)
    assert passed <= burst + rate * now_s + 1e-6
