"""A process that works on the outbox of a state directory: `python -m tests.gateway.worker_process ACT STATE ...`.

fill STATE URL COUNT     makes an endpoint and so many due deliveries
deliver STATE POINT N    delivers all; kills itself where it comes to the point for the Nth time (`-` 0: never)
race STATE               claims and records as fast as it can; prints each delivery that it would have sent
"""

import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

DEADLINE_S = 5.0


def open_gateway(folder: str) -> None:
    import django

    from gateway import configuration, state

    settings = configuration.GatewaySettings(state_dir=folder)
    state.prepare(settings.state_path)
    configuration.activate(settings)
    os.environ["DJANGO_SETTINGS_MODULE"] = "gateway.settings"
    django.setup()


def fill(url: str, count: int) -> None:
    from gateway import database
    from gateway.feedback.models import Feedback
    from gateway.kiosks.models import Kiosk
    from gateway.webhooks.models import Delivery, Endpoint

    database.bring_up_to_date()
    now = datetime.now(UTC)
    Kiosk.objects.create(id="shop-1", credential="", credential_changed_at=now, created_at=now)
    hook = Endpoint.objects.create(name="hook", url=url, created_at=now)
    rows = [
        Feedback(
            id=uuid4(),
            kiosk_id="shop-1",
            created_at=now,
            created_at_source="kiosk",
            kiosk_created_at=now,
            clock="synchronised",
            received_at=now,
            speech_s=1,
            audio_s=1,
            sequence=number,
        )
        for number in range(count)
    ]
    Feedback.objects.bulk_create(rows, batch_size=500)
    deliveries = (
        Delivery(
            webhook_id=str(uuid4()),
            event="feedback.new",
            endpoint=hook,
            feedback=row,
            body=f'{{"event":"feedback.new","feedback":{{"id":"{row.pk}"}}}}'.encode(),
            created_at=now,
            next_due_at=now,
        )
        for row in rows
    )
    Delivery.objects.bulk_create(deliveries, batch_size=500)


def deliver(at: Callable[[str], None]) -> None:
    from gateway import configuration
    from gateway.webhooks import outbox
    from gateway.webhooks.deliver import Deliverer
    from gateway.webhooks.models import Delivery
    from gateway.webhooks.secrets import open_box
    from gateway.webhooks.sender import Sender

    settings = configuration.active()
    assert settings is not None
    outbox.forget_leases()
    sender = Sender(deadline_s=DEADLINE_S, allowed=[ipaddress.ip_network("127.0.0.1/32")])
    deliverer = Deliverer(sender, open_box(settings.state_path), delays_s=[0], deadline_s=DEADLINE_S, at=at)
    stop = threading.Event()
    while Delivery.objects.filter(state="pending").exists():
        deliverer.turn(stop)
    deliverer.drain()


def killing_at(point: str, number: int) -> Callable[[str], None]:
    """Return a hook that kills this process where it comes to ``point`` for the ``number``th time."""
    lock = threading.Lock()
    seen = 0

    def at(now: str) -> None:
        nonlocal seen
        with lock:
            seen += now == point
            if now == point and seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    return at


def race() -> None:
    from gateway import configuration
    from gateway.webhooks import outbox
    from gateway.webhooks.attempt import Outcome
    from gateway.webhooks.models import Delivery
    from gateway.webhooks.results import Result, record
    from gateway.webhooks.retry import Accepted
    from gateway.webhooks.secrets import open_box

    settings = configuration.active()
    assert settings is not None
    box = open_box(settings.state_path)
    rules = outbox.Rules(per_endpoint=8)
    print("ready", flush=True)
    sys.stdin.readline()
    claimed: list[int] = []
    while True:
        now = datetime.now(UTC)
        claims = outbox.claim(4, box, now=now, lease_s=60, rules=rules, rows=lambda _endpoint: 2)
        claimed.extend(each.delivery for each in claims)
        results = [Result(each, Outcome(now, 1, 200, None, ""), Accepted()) for each in claims]
        assert all(record(results, now=now, rules=rules).counted)
        if not claims and not Delivery.objects.filter(state="pending").exists():
            break
    # Only now: a pipe that nobody reads yet would hold what is claimed.
    print(*claimed, sep="\n")


def main(act: str, folder: str, *rest: str) -> None:
    open_gateway(folder)
    if act == "fill":
        fill(rest[0], int(rest[1]))
    elif act == "deliver":
        deliver(killing_at(rest[0], int(rest[1])))
    elif act == "race":
        race()


if __name__ == "__main__":
    main(*sys.argv[1:])
