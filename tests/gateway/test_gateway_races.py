"""Several workers on one database: what one does, no other does again or undoes."""

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connections

from contract import messages, topics
from contract.topics import Channel
from gateway import database
from gateway.analysis.engine import Analysis
from gateway.analysis.worker import Analyst
from gateway.feedback import store
from gateway.feedback.ingest import Arrival
from gateway.feedback.models import Feedback, Quarantine
from gateway.kiosks.models import Kiosk
from gateway.webhooks.models import Delivery, Endpoint
from tests.gateway.support import NOW, feedback_message, make_kiosk, reply_message, status_message

pytestmark = pytest.mark.usefixtures("each_database", "transactional_db")

ROUNDS = 15
WORKERS = 3


def at_once(*acts: Callable[[], object]) -> None:
    """Run each in a thread of its own, begun together; whatever one raises is raised here."""
    barrier = threading.Barrier(len(acts))
    raised: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            barrier.wait(10)
            act()
        except BaseException as error:  # noqa: BLE001 (told by the test's own thread)
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def arrival(message: messages.Message, channel: Channel = Channel.FEEDBACK, kiosk: str = "shop-1") -> Arrival:
    return Arrival(topics.topic(kiosk, channel), messages.encode(message), NOW)


def test_a_record_that_comes_to_several_workers_at_once_is_stored_once_and_receipted_by_each() -> None:
    make_kiosk("shop-1")
    outcomes: Counter[str] = Counter()

    def commit(batch: list[Arrival]) -> None:
        outcomes.update(answer.receipt.outcome for answer in store.commit(batch) if answer is not None)

    for _ in range(ROUNDS):
        sent = [feedback_message(sequence=number) for number in range(1, 6)]
        batch = [arrival(message) for message in sent]
        batch.append(arrival(reply_message(sent[0].id), Channel.REPLY))
        at_once(partial(commit, batch), partial(commit, batch[::-1]), partial(commit, batch[:1]))
    assert outcomes == {"stored": ROUNDS * 13}
    assert Feedback.objects.count() == ROUNDS * 5
    assert Quarantine.objects.count() == 0


def test_the_same_rubbish_at_several_workers_at_once_is_one_row() -> None:
    make_kiosk("shop-1")
    for number in range(ROUNDS):
        rubbish = Arrival(topics.topic("shop-1", Channel.FEEDBACK), f"no. {number}".encode(), NOW)
        at_once(*[partial(store.commit, [rubbish])] * WORKERS)
    assert Quarantine.objects.count() == ROUNDS
    assert set(Quarantine.objects.values_list("times", flat=True)) == {WORKERS}


def test_the_status_of_many_kiosks_at_several_workers_at_once_neither_blocks_nor_is_lost() -> None:
    kiosks = [make_kiosk(f"shop-{number}").pk for number in range(12)]
    for session in range(1, ROUNDS):
        batch = [arrival(status_message(kiosk=k, session=session), Channel.STATUS, k) for k in kiosks]
        at_once(partial(store.commit, batch), partial(store.commit, batch[::-1]))
    assert set(Kiosk.objects.values_list("session", "online")) == {(ROUNDS - 1, True)}


class CountingEngine:
    name = "counting"

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def analyse(self, text: str) -> Analysis:
        self.seen[text] += 1
        return Analysis(sentiment="neutral")


def test_every_feedback_is_analysed_once_and_gives_one_delivery_however_many_analyse() -> None:
    make_kiosk("shop-1")
    Endpoint.objects.create(name="hook", url="https://example.org/", created_at=NOW)
    sent = [feedback_message(sequence=number, transcript=f"words {number}") for number in range(1, 81)]
    for begin in range(0, len(sent), 40):
        store.commit([arrival(message) for message in sent[begin : begin + 40]])
    engine = CountingEngine()

    def analyse() -> None:
        analyst = Analyst(engine, page_url=lambda _kiosk: "https://gw/", enqueued=lambda: None)
        while analyst.work(threading.Event()):
            pass

    at_once(*[analyse] * WORKERS)
    assert Delivery.objects.count() == len(sent)
    assert Feedback.objects.filter(state="analysed").count() == len(sent)
    if database.is_postgresql():
        assert set(engine.seen.values()) == {1}
