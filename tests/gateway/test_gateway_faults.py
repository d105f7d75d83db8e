"""A kill at each point between the broker and the outbox: what has a receipt is stored and delivered, once.

`VOISEBACK_FAULT_POINTS=all`, as `make gateway-faults` sets it, tries every point; by default one of each.
"""

import contextlib
import itertools
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import messages
from gateway.feedback.models import Feedback
from tests.gateway.external_broker import ExternalBroker
from tests.gateway.faulty_gateway import POINTS
from tests.gateway.postgresql import PostgresServer
from tests.gateway.support import GatewayProcess, KioskClient, Receiver, feedback_message, wait_until
from tests.gateway.test_gateway_roles import add_kiosk
from tests.gateway.test_gateway_servers import connected, rows

pytestmark = [pytest.mark.servers, pytest.mark.faults]

TABLE = Feedback._meta.db_table
COUNT = 12
CASES = (
    list(itertools.product(["sqlite", "postgresql"], POINTS, [1, 3]))
    if os.environ.get("VOISEBACK_FAULT_POINTS") == "all"
    else [("sqlite", "committed", 3), ("postgresql", "enqueued", 1)]
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ExternalBroker]:
    with ExternalBroker(tmp_path) as made:
        yield made


def send_missing(kiosk: KioskClient, waiting: dict[str, bytes]) -> None:
    """Send what has no receipt, wait a moment for it, and forget what has one, as a kiosk does."""
    for payload in waiting.values():
        kiosk.publish("voiseback/v1/kiosks/shop-1/feedback", payload)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: all(kiosk.receipts(key) for key in waiting), 1.0)
    for key in [key for key in waiting if kiosk.receipts(key)]:
        assert {receipt.outcome for receipt in kiosk.receipts(key)} == {"stored"}
        del waiting[key]


def stored(gateway: GatewayProcess, server: PostgresServer | None, name: str) -> list[str]:
    if server is not None:
        return [row[0].replace("-", "") for row in server.query(name, f"SELECT id FROM {TABLE}")]
    return [str(row[0]) for row in rows(gateway, f"SELECT id FROM {TABLE}")]


@pytest.mark.parametrize(("kind", "point", "times"), CASES)
def test_a_kill_at_any_point_loses_nothing_that_has_a_receipt_and_doubles_nothing(
    tmp_path: Path, broker: ExternalBroker, receiver: Receiver, request: pytest.FixtureRequest,
    kind: str, point: str, times: int,
) -> None:  # fmt: skip
    server: PostgresServer | None = request.getfixturevalue("postgres") if kind == "postgresql" else None
    name = f"faults_{point}_{times}"
    table = ""
    if server is not None:
        table = f'[database]\nurl = "{server.url(name)}"\npassword_file = "{server.password_file}"\n'
    gateway = GatewayProcess(tmp_path, extra=f"{table}{broker.settings}")
    access = add_kiosk(gateway, broker, "shop-1")
    gateway.cli("endpoint", "add", "hook", receiver.url)
    gateway.start(program=(sys.executable, "-m", "tests.gateway.faulty_gateway", point, str(times)))
    wait_until(lambda: gateway.logged("subscribed to the broker"))

    sent = [feedback_message(sequence=number + 1) for number in range(COUNT)]
    with connected(access) as kiosk:
        waiting = {message.id: messages.encode(message) for message in sent}
        while waiting and not gateway.is_dead():
            send_missing(kiosk, waiting)
        assert gateway.wait_for_death() == -9
        receipted = {message.id for message in sent} - set(waiting)
        assert {key.replace("-", "") for key in receipted} <= set(stored(gateway, server, name))
        gateway.start()
        wait_until(lambda: gateway.logged("subscribed to the broker"))
        while waiting:
            send_missing(kiosk, waiting)

    def all_delivered() -> bool:
        return {json.loads(body)["feedback"]["id"] for _, body in list(receiver.requests)} == {m.id for m in sent}

    # What the dead process had claimed on PostgreSQL is taken when the claim has run out.
    if server is not None:
        server.query(name, f"UPDATE {TABLE} SET claimed_until = NULL")
    wait_until(all_delivered, 30)
    assert sorted(stored(gateway, server, name)) == sorted(message.id.replace("-", "") for message in sent)
    ids: dict[str, set[str]] = defaultdict(set)
    for headers, body in receiver.requests:
        ids[json.loads(body)["feedback"]["id"]].add(headers["Webhook-Id"])
    assert all(len(found) == 1 for found in ids.values())
    assert gateway.stop() == 0
