"""Receipts as no gateway should send them, over a real broker: doubled, out of order, late, for others, for nobody."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.faults.lives import FastKiosk
from tests.faults.store_room import GatewayDouble, LoneBroker
from tests.gateway.support import GatewayProcess

PASSWORD = "known to the test"
KIOSKS = ("shop-1", "shop-2")

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@dataclass(frozen=True)
class Place:
    """A broker without its gateway, and a double in the gateway's place."""

    folder: Path
    double: GatewayDouble

    def kiosk(self, name: str) -> FastKiosk:
        """Start one of the two kiosks, on the spool that it has had."""
        credentials = self.folder / f"{name}.toml"
        return FastKiosk(
            self.folder / "run" / name, self.folder / "spool" / name, "--by-hand", "--credentials", credentials
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    gateway = GatewayProcess(tmp_path)
    accesses = [gateway.add_kiosk(name) for name in KIOSKS]
    gateway.start()
    assert gateway.stop() == 0
    broker = LoneBroker(gateway)
    broker.set_gateway_password(PASSWORD)
    with broker:
        double = GatewayDouble(accesses[0], PASSWORD)
        yield Place(tmp_path, double)
        double.close()


def thanked_visit(kiosk: FastKiosk) -> str:
    mark = len(kiosk.reports)
    assert kiosk.visit() == "thanks"
    visit: str = kiosk.wait_for("scene", since=mark, scene="thanks")["visit"]
    return visit


def settled(kiosk: FastKiosk) -> list[tuple[str, bool]]:
    return [(one["visit"], one["stored"]) for one in kiosk.find("settled")]


def test_no_receipt_deletes_what_it_does_not_name_and_none_is_needed_twice(place: Place) -> None:
    double = place.double
    with place.kiosk("shop-1") as kiosk, place.kiosk("shop-2") as neighbour:
        first, second, third = (thanked_visit(kiosk) for _ in range(3))
        theirs = thanked_visit(neighbour)
        for visit in (first, second, third, theirs):
            double.wait_for(visit)
        double.send("shop-1", str(uuid4()))
        double.send("shop-1", str(uuid4()), "refused")
        double.send("shop-1", theirs)
        double.send("shop-2", second)
        for rubbish in (b"", b"{", b'{"id":"x","outcome":"stored","reason":null}', b'{"id":1}', b"\xff" * 2_000):
            double.send_bytes("shop-1", rubbish)
        for _ in range(3):
            double.send("shop-1", third)
        double.send("shop-1", first)
        double.send("shop-1", first, "refused")
        double.send("shop-1", third)
        fourth = thanked_visit(kiosk)
        double.wait_for(fourth)
        double.send("shop-1", fourth, "refused")
        double.send("shop-1", fourth, "refused")
        # What comes over one connection is taken in order: when this is settled, so is everything before it.
        last = thanked_visit(kiosk)
        double.wait_for(last)
        double.send("shop-1", last)
        kiosk.wait_for("settled", visit=last)
        assert settled(kiosk) == [(third, True), (first, True), (fourth, False), (last, True)]
        assert settled(neighbour) == []
        assert neighbour.find("receipt", visit=second)
        assert [kiosk.alive, neighbour.alive] == [True, True]
    with place.kiosk("shop-1") as again, place.kiosk("shop-2") as neighbour:
        kept = {entry["visit"]: entry["state"] for entry in again.wait_for("opened")["entries"]}
        assert kept == {second: "waiting", fourth: "refused"}
        assert [entry["visit"] for entry in neighbour.wait_for("opened")["entries"]] == [theirs]
        for visit in (second, theirs):
            double.wait_for(visit, copies=2)
        double.send("shop-1", second)
        double.send("shop-2", theirs)
        again.wait_for("settled", visit=second, stored=True)
        neighbour.wait_for("settled", visit=theirs, stored=True)
    for visit in (first, third, fourth, last):
        assert len(double.copies(visit)) == 1
    for visit in (second, theirs):
        assert len(set(double.copies(visit))) == 1, "a repetition with other bytes would be a conflict"
