"""The broker has acknowledged a feedback and is killed before the gateway has it: it comes again, and counts once."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.lives import FastKiosk
from tests.faults.store_room import LoneBroker, frozen, rows
from tests.gateway.support import GatewayProcess, kill, wait_until

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@pytest.fixture
def kiosk(tmp_path: Path, gateway: GatewayProcess) -> Iterator[FastKiosk]:
    options = ("--by-hand", "--credentials", gateway.folder / "shop-1.toml")
    with FastKiosk(tmp_path / "kiosk", tmp_path / "spool", *options) as kiosk:
        yield kiosk


def visit_until_acknowledged(kiosk: FastKiosk) -> str:
    """Let a visitor be thanked, wait for the broker's acknowledgement, and return the visit."""
    mark = len(kiosk.reports)
    assert kiosk.visit() == "thanks"
    visit: str = kiosk.wait_for("scene", since=mark, scene="thanks")["visit"]
    number = kiosk.wait_for("handed", visit=visit)["number"]
    kiosk.wait_for("puback", since=mark, number=number)
    return visit


def check_delivered_once(gateway: GatewayProcess, kiosk: FastKiosk, visits: list[str]) -> None:
    for visit in visits:
        kiosk.wait_for("settled", visit=visit, stored=True)
    delivered = rows(gateway)
    assert [delivered.count(visit) for visit in visits] == [1] * len(visits)
    assert [one["visit"] for one in kiosk.find("settled")] == visits


def test_nothing_is_lost_with_a_broker_whose_gateway_was_not_there(gateway: GatewayProcess, kiosk: FastKiosk) -> None:
    assert gateway.stop() == 0
    kiosk.wait_for("offline")
    try:
        with LoneBroker(gateway):
            visits = [visit_until_acknowledged(kiosk) for _ in range(3)]
    finally:
        gateway.start()
    check_delivered_once(gateway, kiosk, visits)


def test_nothing_is_lost_with_a_broker_whose_gateway_did_not_take_it(gateway: GatewayProcess, kiosk: FastKiosk) -> None:
    kiosk.wait_for("online")
    assert gateway._process is not None
    broker = gateway.broker_pid
    with frozen(gateway._process.pid):
        visits = [visit_until_acknowledged(kiosk) for _ in range(3)]
        # Else it might send to the new broker before the gateway listens there, and wait for the receipt.
        os.kill(kiosk.pid, signal.SIGSTOP)
        kill(broker)
    wait_until(lambda: gateway.logged("connected to the broker again"))
    os.kill(kiosk.pid, signal.SIGCONT)
    check_delivered_once(gateway, kiosk, visits)
