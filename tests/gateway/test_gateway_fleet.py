"""Many kiosks, a broker that restarts, and a gateway that is away for an hour: everything arrives, once.

`VOISEBACK_KIOSKS` says how many; `make fleet` sets it to 500.
"""

import os
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract import topics
from contract.topics import Channel
from gateway.feedback import store
from gateway.feedback.ingest import Arrival
from gateway.feedback.limits import RateLimit
from gateway.feedback.models import Feedback, Quarantine
from tests.gateway import fleet as fleet_module
from tests.gateway.fleet import Fleet, Records, kiosk_id
from tests.gateway.support import GatewayProcess, kill, make_kiosk, wait_until
from tests.gateway.test_gateway_servers import rows

KIOSKS = int(os.environ.get("VOISEBACK_KIOSKS", "20"))
RECORDS = 6
SETTLED_S = 60 + KIOSKS * 0.5

HOUR_S = 3_600
LOST = 0.05
DOUBLED = 0.03


# paho leaves a socket open whose handshake failed, as it does while the broker comes back.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.servers
@pytest.mark.timeout(4 * SETTLED_S)
def test_when_the_broker_restarts_under_all_kiosks_every_record_arrives_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a new broker takes before the gateway is back at it is lost, and repeated by the clock.
    monkeypatch.setattr(fleet_module, "REPEAT_S", 3.0 if KIOSKS < 100 else 15.0)
    gateway = GatewayProcess(tmp_path)
    fleet = Fleet(gateway, KIOSKS)
    gateway.start()
    with fleet:
        wait_until(lambda: all(kiosk.online for kiosk in fleet.kiosks), SETTLED_S)
        for kiosk in fleet.kiosks:
            for _ in range(RECORDS // 2):
                kiosk.records.add()
        # In the middle of it: some have receipts, some are on their way.
        wait_until(lambda: any(kiosk.records.outcomes for kiosk in fleet.kiosks), SETTLED_S)
        broker = gateway.broker_pid
        kill(broker)
        for kiosk in fleet.kiosks:
            for _ in range(RECORDS - RECORDS // 2):
                kiosk.records.add()
        wait_until(lambda: not any(kiosk.records.waiting for kiosk in fleet.kiosks), SETTLED_S)
    made = {key for kiosk in fleet.kiosks for key in kiosk.records.outcomes}
    assert len(made) == KIOSKS * RECORDS
    assert {outcome for kiosk in fleet.kiosks for outcome in kiosk.records.outcomes.values()} == {"stored"}
    stored = [str(row[0]) for row in rows(gateway, "SELECT id FROM feedback_feedback")]
    assert sorted(stored) == sorted(key.replace("-", "") for key in made)
    assert rows(gateway, "SELECT count(*) FROM feedback_quarantine") == [(0,)]
    assert gateway.broker_pid != broker
    assert gateway.stop() == 0


class World:
    """Kiosks, a network that loses and doubles, and a gateway that is there or not; on a clock of its own."""

    def __init__(self, seed: int, count: int) -> None:
        self.kiosks = [Records(kiosk_id(number)) for number in range(count)]
        self.gateway_is_there = True
        self.committed = 0
        self._chance = random.Random(seed)
        self._limit = RateLimit(50.0, 1_000)
        self._begin = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

    def run(self, from_s: int, until_s: int, *, visits_each_s: float = 0.0) -> None:
        for second in range(from_s, until_s):
            for kiosk in self.kiosks:
                if self._chance.random() < visits_each_s:
                    kiosk.add()
            self._exchange(float(second))

    def _exchange(self, now_s: float) -> None:
        sent = [
            (kiosk, payload) for kiosk in self.kiosks for payload in self._through_the_network(kiosk.to_send(now_s))
        ]
        # A broker that nobody has subscribed to acknowledges and drops.
        if not self.gateway_is_there:
            return
        self._chance.shuffle(sent)
        at = self._begin + timedelta(seconds=now_s)
        taken = [(kiosk, payload) for kiosk, payload in sent if self._limit.allow(kiosk.kiosk, now_s)]
        arrivals = [Arrival(topics.topic(kiosk.kiosk, Channel.FEEDBACK), payload, at) for kiosk, payload in taken]
        for begin in range(0, len(arrivals), 64):
            answers = store.commit(arrivals[begin : begin + 64])
            self.committed += len(answers)
            for (kiosk, _), answer in zip(taken[begin : begin + 64], answers, strict=True):
                assert answer is not None
                if self._chance.random() >= LOST:
                    kiosk.receipted(answer.receipt)

    def _through_the_network(self, payloads: Iterable[bytes]) -> Iterable[bytes]:
        for payload in payloads:
            if self._chance.random() >= LOST:
                yield payload
            if self._chance.random() < DOUBLED:
                yield payload


@pytest.mark.timeout(60 + 10 * KIOSKS)
def test_after_an_hour_without_a_gateway_everything_arrives_once(each_database: str, db: None) -> None:
    seed = int.from_bytes(os.urandom(4))
    world = World(seed, KIOSKS)
    for kiosk in world.kiosks:
        make_kiosk(kiosk.kiosk)
    visits = 1 / 90
    world.run(0, HOUR_S // 4, visits_each_s=visits)
    world.gateway_is_there = False
    world.run(HOUR_S // 4, HOUR_S // 4 + HOUR_S, visits_each_s=visits)
    backlog = sum(kiosk.waiting for kiosk in world.kiosks)
    assert backlog > KIOSKS * 25, f"seed {seed}"
    world.gateway_is_there = True
    world.run(HOUR_S // 4 + HOUR_S, HOUR_S // 2 + HOUR_S)
    assert [kiosk.waiting for kiosk in world.kiosks] == [0] * KIOSKS, f"seed {seed}"
    made = Counter({kiosk.kiosk: kiosk.made for kiosk in world.kiosks})
    assert Counter(Feedback.objects.values_list("kiosk_id", flat=True)) == made, f"seed {seed}"
    for kiosk in world.kiosks:
        numbers = Feedback.objects.filter(kiosk_id=kiosk.kiosk).values_list("sequence", flat=True)
        assert sorted(numbers) == list(range(1, kiosk.made + 1)), f"seed {seed}"
    assert world.committed > sum(made.values()), "nothing came twice, so nothing was shown"
    assert Quarantine.objects.count() == 0, f"seed {seed}"
