"""Erasing by request and by age: everywhere, and nothing else."""

import json
import threading
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.core import serializers

from contract import messages, topics
from contract.topics import Channel
from gateway import erasure
from gateway.analysis.engine import Analysis
from gateway.analysis.models import FeedbackAnalysis
from gateway.analysis.worker import Analyst
from gateway.configuration import RetentionSettings
from gateway.feedback import store
from gateway.feedback.ingest import Arrival
from gateway.feedback.models import Erasure, Feedback, Quarantine, Reply
from gateway.kiosks.models import Kiosk
from gateway.retention import Retention
from gateway.webhooks.models import Attempt, Delivery, Endpoint
from tests.gateway.support import (
    NOW,
    GatewayProcess,
    Receiver,
    Shell,
    feedback_message,
    make_kiosk,
    reply_message,
    wait_until,
)
from tests.gateway.test_gateway_servers import connected

WORDS = "unmistakable words"
ADDRESS = "Un.Mistakable@example.org"


class Engine:
    name = "stub"

    def analyse(self, text: str) -> Analysis:
        return Analysis(summary=text)


def put(message: messages.Message, channel: Channel = Channel.FEEDBACK, kiosk: str = "shop-1") -> str | None:
    (answer,) = store.commit([Arrival(topics.topic(kiosk, channel), messages.encode(message), NOW)])
    return None if answer is None else answer.receipt.outcome


def analyse() -> None:
    analyst = Analyst(Engine(), page_url=lambda _kiosk: "https://gw/", enqueued=lambda: None)
    while analyst.work(threading.Event()):
        pass


def end(delivery: Delivery, *, days_ago: float = 0) -> None:
    at = NOW - timedelta(days=days_ago)
    values = {"started_at": at, "duration_ms": 1, "status": 200, "answer": WORDS}
    Attempt.objects.update_or_create(delivery=delivery, number=1, defaults=values)
    Delivery.objects.filter(pk=delivery.pk).update(
        state="delivered", attempts=1, next_due_at=None, finished_at=at, created_at=at
    )


def everything() -> str:
    """Return all rows of all tables as text, with bytes as what they say."""
    rows = [row for model in apps.get_models() for row in model.objects.all()]  # type: ignore[attr-defined]
    raw = [bytes(row.raw) for row in rows if isinstance(row, Quarantine)]
    raw += [bytes(row.body) for row in rows if isinstance(row, Delivery)]
    return str(serializers.serialize("json", rows)) + " ".join(each.decode("utf-8", "replace") for each in raw)


@pytest.fixture
def visit(each_database: str, shop: Kiosk) -> messages.Feedback:
    """A feedback that was analysed, delivered, replied to, and partly refused; with another one beside it."""
    Endpoint.objects.create(name="hook", url="https://example.org/", created_at=NOW)
    message, other = feedback_message(transcript=WORDS), feedback_message(transcript="other", sequence=2)
    put(message)
    put(other)
    put(reply_message(message.id, user_email=ADDRESS), Channel.REPLY)
    put(reply_message(message.id, user_email=ADDRESS), Channel.REPLY)
    put(feedback_message(id=message.id, transcript=f"{WORDS} again"))
    analyse()
    end(Delivery.objects.filter(feedback_id=message.id).earliest("pk"))
    assert (Quarantine.objects.count(), Delivery.objects.count(), Attempt.objects.count()) == (2, 3, 1)
    return message


def other_is_whole() -> bool:
    return (Feedback.objects.get().transcript, FeedbackAnalysis.objects.count(), Delivery.objects.count()) == (
        "other",
        1,
        1,
    )


def test_a_feedback_is_erased_from_every_table_and_only_its_id_is_written_down(visit: messages.Feedback) -> None:
    key = UUID(visit.id)
    report = erasure.erase_feedback([key], now=NOW)
    assert (report.feedback, report.replies, report.deliveries, report.quarantined) == (1, 1, 2, 2)
    assert [(copy.endpoint, copy.feedback) for copy in report.copies] == [("hook", key)]
    assert "unmistakable" not in everything().lower()
    assert other_is_whole()
    assert key in set(Erasure.objects.values_list("pk", flat=True))


def test_an_address_is_erased_with_the_feedback_that_it_was_left_for(visit: messages.Feedback) -> None:
    report = erasure.erase_address(ADDRESS.upper(), now=NOW)
    assert (report.feedback, report.replies, report.deliveries, report.quarantined) == (1, 1, 2, 2)
    assert "unmistakable" not in everything().lower()
    assert other_is_whole()
    assert erasure.erase_address(ADDRESS, now=NOW).is_empty


@pytest.mark.parametrize("text", ["un.mistakable@example.org", r"un.mistakable\u0040example.org"])
def test_an_address_is_found_in_the_quarantine_however_it_is_written(
    each_database: str, shop: Kiosk, text: str
) -> None:
    payload = f'{{"nonsense": "{text}"}}'.encode()
    store.commit([Arrival(topics.topic("shop-1", Channel.REPLY), payload, NOW)])
    store.commit([Arrival(topics.topic("shop-1", Channel.REPLY), b'{"nonsense": "somebody@example.org"}', NOW)])
    assert erasure.erase_address(ADDRESS, now=NOW).quarantined == 1
    assert Quarantine.objects.count() == 1


def test_what_was_erased_and_comes_again_is_receipted_and_not_stored(visit: messages.Feedback) -> None:
    reply = Reply.objects.get()
    erasure.erase_feedback([UUID(visit.id)], now=NOW)
    assert put(visit) == "stored"
    assert put(reply_message(visit.id, id=str(reply.pk)), Channel.REPLY) == "stored"
    assert put(reply_message(visit.id, user_email="late@example.org"), Channel.REPLY) == "stored"
    assert other_is_whole()
    assert Reply.objects.count() == 0


def test_what_is_erased_before_it_has_come_is_never_stored(each_database: str, shop: Kiosk) -> None:
    message = feedback_message()
    assert erasure.erase_feedback([UUID(message.id)], now=NOW).is_empty
    assert put(message) == "stored"
    assert Feedback.objects.count() == 0


def retention(**days: int) -> dict[str, int]:
    none = {"feedback_days": 0, "address_days": 0, "delivery_days": 0, "quarantine_days": 0}
    settings = RetentionSettings(**{**none, **days})
    return Retention(settings, clock=lambda: NOW).work(threading.Event())


def age(days: float) -> None:
    at = NOW - timedelta(days=days)
    Feedback.objects.update(received_at=at)
    Reply.objects.update(received_at=at)
    Quarantine.objects.update(last_received_at=at)


def test_nothing_is_erased_before_its_time_nor_where_no_time_is_set(visit: messages.Feedback) -> None:
    age(9)
    retention(feedback_days=10, address_days=10, delivery_days=10, quarantine_days=10)
    retention()
    assert (Feedback.objects.count(), Reply.objects.count(), Quarantine.objects.count()) == (2, 1, 2)


def test_feedback_past_its_time_goes_when_nothing_of_it_is_to_be_delivered_any_more(visit: messages.Feedback) -> None:
    age(11)
    assert retention(feedback_days=10) == {"feedback": 0}
    for delivery in Delivery.objects.filter(feedback_id=visit.id, state="pending"):
        end(delivery)
    assert retention(feedback_days=10) == {"feedback": 1}
    assert other_is_whole()
    assert set(Erasure.objects.values_list("cause", flat=True)) == {"retention"}
    assert put(visit) == "stored"
    assert other_is_whole()


def test_an_address_past_its_time_goes_and_the_feedback_stays(visit: messages.Feedback) -> None:
    age(11)
    for delivery in Delivery.objects.filter(state="pending"):
        end(delivery)
    Quarantine.objects.all().delete()
    assert retention(address_days=10) == {"addresses": 1}
    assert "mistakable@" not in everything().lower()
    assert Feedback.objects.filter(transcript=WORDS).exists()
    assert set(Delivery.objects.values_list("event", flat=True)) == {"feedback.new"}


def test_deliveries_past_their_time_go_and_those_that_wait_stay(visit: messages.Feedback) -> None:
    first, second, _ = Delivery.objects.order_by("pk")
    end(first, days_ago=11)
    end(second, days_ago=9)
    assert retention(delivery_days=10) == {"deliveries": 1}
    assert not Delivery.objects.filter(pk=first.pk).exists()
    assert Delivery.objects.count() == 2


def test_the_quarantine_past_its_time_is_emptied(visit: messages.Feedback) -> None:
    age(11)
    assert retention(quarantine_days=10) == {"quarantined": 2}


@pytest.mark.django_db(transaction=True)
def test_the_command_says_what_was_erased_and_who_may_have_a_copy(shell: Shell) -> None:
    make_kiosk("shop-1")
    Endpoint.objects.create(name="hook", url="https://example.org/", created_at=NOW)
    message = feedback_message()
    put(message)
    analyse()
    delivery = Delivery.objects.get()
    end(delivery)
    _, out, _ = shell("erase", "--feedback", message.id)
    assert "erased: 1 feedback, 0 replies, 1 deliveries" in out
    assert f"hook may have a copy: feedback {message.id}, Webhook-Id {delivery.webhook_id}" in out
    assert "nothing was found" in shell("erase", "--email", "nobody@example.org")[1]
    assert "no feedback id" in shell.fails("erase", "--feedback", "17", status=2)
    assert "no e-mail address" in shell.fails("erase", "--email", "nobody", status=2)
    assert "nothing was found" in shell("erase", "--feedback", str(uuid4()))[1]


@pytest.mark.servers
def test_while_the_gateway_runs_no_byte_of_what_is_erased_stays_in_its_files(
    tmp_path: Path, receiver: Receiver
) -> None:
    gateway = GatewayProcess(tmp_path)
    access = gateway.add_kiosk("shop-1")
    gateway.cli("endpoint", "add", "hook", receiver.url)
    gateway.start()
    message = feedback_message(transcript=f"{WORDS} " * 300)
    with connected(access) as kiosk:
        kiosk.send(message)
        kiosk.send(reply_message(message.id, user_email=ADDRESS), Channel.REPLY)
        kiosk.publish(topics.topic("shop-1", Channel.FEEDBACK), f'{{"id": "{message.id}", "x": "{WORDS}"}}'.encode())
        wait_until(lambda: len(receiver.requests) == 2)
        wait_until(lambda: len(gateway.logged("webhook delivered")) == 2)

    def files() -> bytes:
        return b"".join(path.read_bytes() for path in gateway.state.rglob("*") if path.is_file())

    assert b"unmistakable" in files()
    said = gateway.cli("erase", "--email", ADDRESS).stdout
    assert "1 feedback, 1 replies, 2 deliveries with their attempts, 1 quarantined" in said
    assert said.count("hook may have a copy") == 2
    assert b"unmistakable" not in files().lower()
    assert b"un.mistakable" not in files().lower()
    assert json.loads(receiver.requests[0][1])["feedback"]["id"] == message.id
    assert gateway.stop() == 0
