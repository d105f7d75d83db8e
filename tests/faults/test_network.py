"""A network that misbehaves between kiosk and gateway: visitors are thanked all the time, all arrives, and once.

`VOISEBACK_WEATHERS` says how often the network changes at random; `make bad-network` sets it to 100.
"""

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract import credentials as broker_credentials
from device import connection
from device.connection import noticed_within_s
from tests.faults.lives import FastKiosk
from tests.faults.network import FAIR, Network, Weather
from tests.faults.store_room import rows
from tests.gateway.support import GatewayProcess, wait_until

WEATHERS = int(os.environ.get("VOISEBACK_WEATHERS", "4"))
WEATHER_S = 1.5
SETTLED_S = 60.0
KEEPALIVE_S = 1
HALF_OPEN_S = 30.0
"""A connection that has gone silent is replaced within this, with the keep-alive that is shipped."""
SLACK_S = 1.5
"""Of the machine that runs the test."""
FEW_BYTES = 4_000
"""Enough to connect and to send two records or three."""
SLOW = 4_000.0
"""Bytes a second."""

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(10 * WEATHERS + 120)]


@dataclass(frozen=True)
class Place:
    """A gateway, a network in front of it, and a kiosk that knows only that."""

    gateway: GatewayProcess
    network: Network
    kiosk: FastKiosk
    rows_before: set[str]
    """What the gateway has of the tests before."""

    def check_stored_once(self, visits: list[str]) -> None:
        """Wait until the gateway has answered for all of them, and count them there."""
        for visit in visits:
            self.kiosk.wait_for("settled", visit=visit, stored=True, timeout_s=SETTLED_S)
        assert sorted(set(rows(self.gateway)) - self.rows_before) == sorted(visits)
        assert len(rows(self.gateway)) == len(self.rows_before) + len(visits)

    def visits(self, count: int) -> list[str]:
        """Let visitors come; each must be thanked."""
        mark = len(self.kiosk.reports)
        assert [self.kiosk.visit(timeout_s=2.0) for _ in range(count)] == ["thanks"] * count
        return [one["visit"] for one in self.kiosk.find("scene", since=mark, scene="thanks")]

    def settled_visits(self, count: int) -> list[str]:
        """Let visitors come, and wait until the gateway has what they said."""
        visits = self.visits(count)
        for visit in visits:
            self.kiosk.wait_for("settled", visit=visit, stored=True)
        return visits


@pytest.fixture
def place(tmp_path: Path, gateway: GatewayProcess) -> Iterator[Place]:
    credentials = gateway.folder / "shop-1.toml"
    network = Network(broker_credentials.load(credentials).port)
    options = ("--by-hand", "--credentials", credentials, "--port", str(network.port))
    keepalive = ("--keepalive-s", str(KEEPALIVE_S))
    try:
        with FastKiosk(tmp_path / "kiosk", tmp_path / "spool", *options, *keepalive) as kiosk:
            kiosk.wait_for("online")
            yield Place(gateway, network, kiosk, set(rows(gateway)))
    finally:
        network.close()


def test_the_keepalive_that_is_shipped_lets_a_half_open_connection_be_noticed_in_time() -> None:
    assert noticed_within_s(connection.KEEPALIVE_S) <= HALF_OPEN_S


def test_everything_arrives_once_over_a_network_that_misbehaves(place: Place) -> None:
    network, kiosk = place.network, place.kiosk
    visits = place.settled_visits(2)
    network.weather = Weather(delay_s=0.2)
    visits += place.settled_visits(2)
    network.weather = Weather(bytes_per_s=SLOW)
    visits += place.settled_visits(2)
    network.weather = Weather(closes_after_bytes=FEW_BYTES)
    network.reset()
    before = network.connections
    visits += place.visits(4)
    wait_until(lambda: network.connections >= before + 2)
    network.weather = Weather(refuses=True)
    network.reset()
    visits += place.visits(2)
    kiosk.wait_for("offline")
    network.weather = FAIR
    place.check_stored_once(visits)
    assert sorted(one["visit"] for one in kiosk.find("settled")) == sorted(visits)


def test_a_half_open_connection_is_noticed_and_replaced(place: Place) -> None:
    network, kiosk = place.network, place.kiosk
    mark = len(kiosk.reports)
    began_s = time.monotonic()
    network.weather = Weather(is_black_hole=True)
    visits = place.visits(3)
    kiosk.wait_for("offline", since=mark)
    assert time.monotonic() - began_s < noticed_within_s(KEEPALIVE_S) + SLACK_S
    visits += place.visits(1)
    network.weather = FAIR
    place.check_stored_once(visits)


def draw(chance: random.Random) -> Weather:
    """Return some bad weather."""
    return chance.choice(
        [
            Weather(delay_s=chance.random()),
            Weather(bytes_per_s=chance.uniform(500, 5_000)),
            Weather(closes_after_bytes=chance.randrange(10_000)),
            Weather(is_black_hole=True),
            Weather(refuses=True),
            FAIR,
        ]
    )


def test_everything_arrives_once_whatever_the_network_does(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(int.from_bytes(os.urandom(4)))
    visits: list[str] = []
    for _ in range(WEATHERS):
        place.network.weather = draw(chance)
        if chance.random() < 0.5:
            place.network.reset()
        visits += place.visits(chance.randrange(1, 4))
        time.sleep(chance.random() * WEATHER_S)
    place.network.weather = FAIR
    place.check_stored_once(visits)
    with capsys.disabled():
        made = place.network.connections
        print(f"\nnetwork: {WEATHERS} weathers, {made} connections, {len(visits)} thanked and stored once")
