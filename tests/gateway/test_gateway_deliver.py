"""The outbox and the sender together, against a real receiver."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from django.db import connections

from gateway.kiosks.models import Kiosk
from gateway.loop import Loop
from gateway.webhooks import endpoints
from gateway.webhooks.deliver import Deliverer
from gateway.webhooks.models import Attempt, Delivery, Endpoint
from gateway.webhooks.secrets import SecretBox
from gateway.webhooks.sender import Sender
from tests.gateway.support import NOW, Receiver, make_kiosk, raw_server, wait_until
from tests.gateway.test_gateway_outbox import enqueue, enqueue_reply

pytestmark = pytest.mark.django_db(transaction=True)

LOOPBACK = [ipaddress.ip_network("127.0.0.1/32")]
DEADLINE_S = 5.0


@pytest.fixture
def shop(transactional_db: None) -> Kiosk:
    return make_kiosk("shop-1")


@pytest.fixture
def hook(shop: Kiosk, box: SecretBox, receiver: Receiver) -> Endpoint:
    endpoints.add(endpoints.NewEndpoint("hook", receiver.url, None), box, now=NOW)
    return Endpoint.objects.get()


@pytest.fixture
def deliverer(box: SecretBox, shop: Kiosk) -> Iterator[Deliverer]:
    made = Deliverer(
        Sender(deadline_s=DEADLINE_S, allowed=LOOPBACK), box, delays_s=[0, 0, 3_600], deadline_s=DEADLINE_S
    )

    def at_end() -> None:
        made.drain()
        connections.close_all()

    loop = Loop("deliver", made.turn, at_end=at_end)
    loop.start()
    yield made
    loop.ask_to_stop()
    made.wake()
    assert loop.join(10)


def states() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))


def test_what_is_due_is_delivered_at_once(hook: Endpoint, receiver: Receiver, deliverer: Deliverer) -> None:
    begin = time.monotonic()
    enqueue()
    deliverer.wake()
    wait_until(lambda: states() == ["delivered"])
    assert time.monotonic() - begin < 0.9
    assert len(receiver.requests) == 1


def test_a_failure_is_tried_again_under_the_same_id_until_it_succeeds(
    hook: Endpoint, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answers = [(500, {}), (503, {})]
    enqueue()
    deliverer.wake()
    wait_until(lambda: states() == ["delivered"])
    assert len({headers["Webhook-Id"] for headers, _ in receiver.requests}) == 1
    assert len({body for _, body in receiver.requests}) == 1
    assert list(Attempt.objects.values_list("number", "status")) == [(1, 500), (2, 503), (3, 200)]


def test_a_retry_after_is_honoured(hook: Endpoint, receiver: Receiver, deliverer: Deliverer) -> None:
    receiver.answers = [(429, {"Retry-After": "600"})]
    enqueue()
    deliverer.wake()
    wait_until(lambda: Attempt.objects.count() == 1)
    row = Delivery.objects.get()
    assert row.next_due_at is not None
    assert 590 < (row.next_due_at - Attempt.objects.get().started_at).total_seconds() < 700


def test_the_two_events_of_a_feedback_come_in_order_even_if_the_first_needs_a_retry(
    hook: Endpoint, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answers = [(500, {})]
    enqueue_reply(enqueue())
    deliverer.wake()
    wait_until(lambda: states() == ["delivered", "delivered"])
    assert receiver.events() == ["feedback.new", "feedback.new", "feedback.wants_reply"]


def test_a_receiver_that_hangs_does_not_hold_the_others(
    hook: Endpoint, receiver: Receiver, box: SecretBox, deliverer: Deliverer
) -> None:
    hang = threading.Event()
    with raw_server(lambda _connection: hang.wait(10)) as port:
        endpoints.add(endpoints.NewEndpoint("slow", f"http://127.0.0.1:{port}/", None), box, now=NOW)
        for _ in range(12):
            enqueue()
        deliverer.wake()
        wait_until(lambda: len(receiver.requests) == 12)
        assert Delivery.objects.filter(endpoint__name="slow", state="pending").count() == 12
        hang.set()


def test_a_410_disables_the_endpoint(hook: Endpoint, receiver: Receiver, deliverer: Deliverer) -> None:
    receiver.default = (410, {})
    enqueue()
    deliverer.wake()
    wait_until(lambda: not Endpoint.objects.get().enabled)
    assert states() == ["exhausted"]


def test_the_log_tells_the_way_of_a_webhook(
    hook: Endpoint, receiver: Receiver, deliverer: Deliverer, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [(500, {})]
    with caplog.at_level("INFO"):
        row = enqueue()
        deliverer.wake()
        wait_until(lambda: "webhook delivered" in caplog.text)
    lines = {record.getMessage(): vars(record) for record in caplog.records}
    webhook_id = Delivery.objects.get().webhook_id
    common = {"feedback": str(row.pk), "event": "feedback.new", "endpoint": "hook", "webhook_id": webhook_id}
    failed = {**common, "status": 500, "attempt": 1, "reason": "the receiver answered 500", "next_attempt_s": 0}
    assert failed.items() <= lines["webhook attempt failed"].items()
    assert {**common, "status": 200, "attempt": 2}.items() <= lines["webhook delivered"].items()
    assert receiver.url not in caplog.text


def test_what_ended_in_the_last_turn_is_written_down_at_the_end(
    hook: Endpoint, receiver: Receiver, box: SecretBox
) -> None:
    enqueue()
    deliverer = Deliverer(Sender(deadline_s=DEADLINE_S, allowed=LOOPBACK), box, delays_s=[], deadline_s=DEADLINE_S)
    deliverer.turn(threading.Event())
    assert len(receiver.requests) == 1
    deliverer.drain()
    assert states() == ["delivered"]


def test_what_was_claimed_and_not_sent_is_given_back_at_the_end(hook: Endpoint, box: SecretBox) -> None:
    release = threading.Event()

    def talk(connection: socket.socket) -> None:
        release.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with raw_server(talk) as port:
        Endpoint.objects.update(url=f"http://127.0.0.1:{port}/")
        for _ in range(20):
            enqueue()
        deliverer = Deliverer(Sender(deadline_s=DEADLINE_S, allowed=LOOPBACK), box, delays_s=[], deadline_s=DEADLINE_S)
        # As if it had answered quickly before, so that each slot holds several.
        deliverer._seconds[hook.pk] = 0.05
        deliverer.turn(threading.Event())
        assert Delivery.objects.filter(lease_until__isnull=False).count() == 20
        threading.Timer(0.2, release.set).start()
        deliverer.drain()
    assert sorted(states()) == ["delivered"] * 4 + ["pending"] * 16
    assert not Delivery.objects.filter(lease_until__isnull=False).exists()
