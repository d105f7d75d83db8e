"""`kill -9` at a random moment of the way: whoever was thanked is delivered, once.

`VOISEBACK_KILLS` says how often each process of a whole store is killed, `VOISEBACK_FAST_KILLS` how often a fast kiosk
is; `make faults` sets them to 20 and 100.
"""

import os
import random
import signal
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from demo.sentences import SPEECH
from demo.store import Store
from tests.conftest import MakeStore
from tests.faults.ledger import Ledger
from tests.faults.lives import FastKiosk
from tests.faults.store_room import rows
from tests.gateway.support import GatewayProcess

KILLS = int(os.environ.get("VOISEBACK_KILLS", "2"))
FAST_KILLS = int(os.environ.get("VOISEBACK_FAST_KILLS", "4"))
ROUND_S = 40.0
SETTLED_S = 120.0
FAST_LIFE_S = 0.6
WAY_S = 7.5
"""From the press to the verified webhook, as `make demo` shows it, and a little more."""

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(60 * KILLS + 10 * FAST_KILLS + 120)]


def kill_kiosk(store: Store) -> None:
    assert store.kiosk is not None
    store.kiosk.kill()
    store.start_kiosk()


def kill_gateway(store: Store) -> None:
    assert store.gateway is not None
    store.gateway.kill()
    store.start_gateway()


def kill_broker(store: Store) -> None:
    gateway = store.gateway
    assert gateway is not None
    # After the kill before this one it may still be on its way back.
    wait_until(lambda: bool(gateway.children("mosquitto")), "the gateway does not start its broker again")
    os.kill(gateway.children("mosquitto")[0], signal.SIGKILL)


VICTIMS = {"kiosk": kill_kiosk, "gateway": kill_gateway, "broker": kill_broker}


def wait_until_idle(store: Store) -> None:
    """Wait until the kiosk would take the next visitor."""
    deadline_s = time.monotonic() + ROUND_S
    while True:
        scenes = store.happenings.find("panel", "scene")
        if scenes and scenes[-1].fields["scene"] == "idle":
            return
        assert time.monotonic() < deadline_s, f"the panel still shows {scenes[-1].fields}"
        time.sleep(0.05)


def one_round(store: Store, victim: str, after_s: float) -> None:
    """Begin a visit and kill ``victim`` that long after the press."""
    wait_until_idle(store)
    began_s = time.monotonic()
    store.visit(SPEECH / "flowers.wav")
    remaining_s = began_s + after_s - time.monotonic()
    if remaining_s > 0:
        time.sleep(remaining_s)
    VICTIMS[victim](store)


def gateway_rows(store: Store) -> list[str]:
    with closing(sqlite3.connect(f"file:{store.folder}/gateway/gateway.sqlite3?mode=ro", uri=True)) as database:
        return [str(uuid.UUID(row[0])) for row in database.execute("SELECT id FROM feedback_feedback")]


def webhook_ids(store: Store) -> dict[str, set[str]]:
    """Return the ``Webhook-Id`` values that were received and verified, for each feedback."""
    ids: dict[str, set[str]] = defaultdict(set)
    for one in store.happenings.find("receiver", "webhook", verified=True):
        ids[one.fields["feedback"]].add(one.fields["webhook_id"])
    return ids


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline_s = time.monotonic() + SETTLED_S
    while not condition():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.2)


@pytest.mark.parametrize("victim", sorted(VICTIMS))
def test_whoever_was_thanked_is_delivered_once(make_store: MakeStore, victim: str) -> None:
    seed = int.from_bytes(os.urandom(4))
    moments = random.Random(seed)
    store = make_store(thanks_s=0.5)
    store.start()
    for _ in range(KILLS):
        one_round(store, victim, moments.uniform(0, WAY_S))
    wait_until_idle(store)

    thanked = len(store.happenings.find("panel", "scene", scene="thanks"))
    committed = {one.fields["visit"] for one in store.happenings.find("kiosk", "committed")}
    wait_until(lambda: not store.spooled(), f"seed {seed}: the spool is not empty")
    wait_until(
        lambda: set(gateway_rows(store)) == set(webhook_ids(store)), f"seed {seed}: not every feedback is delivered"
    )
    delivered = webhook_ids(store)
    assert committed <= set(delivered), f"seed {seed}"
    assert len(delivered) >= thanked, f"seed {seed}"
    assert all(len(ids) == 1 for ids in delivered.values()), f"seed {seed}: {delivered}"
    rows = gateway_rows(store)
    assert len(rows) == len(set(rows)), f"seed {seed}"


def test_whoever_was_thanked_by_a_fast_kiosk_is_delivered_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int.from_bytes(os.urandom(4))
    moments = random.Random(seed)
    gateway, ledger, wrong = GatewayProcess(tmp_path), Ledger(), []
    gateway.add_kiosk("shop-1")
    gateway.start()
    options = ("--credentials", tmp_path / "shop-1.toml", "--seed")
    try:
        for number in range(FAST_KILLS):
            with FastKiosk(tmp_path / "kiosk", tmp_path / "spool", *options, str(moments.random())) as kiosk:
                # Of four lives one may end before its spool is open, and two have thanked somebody.
                if number % 4:
                    kiosk.wait_for("opened")
                if number % 4 > 1:
                    kiosk.wait_for("scene", scene="thanks")
                time.sleep(moments.uniform(0.0, FAST_LIFE_S))
            wrong += ledger.tell(kiosk.reports)
        with FastKiosk(tmp_path / "kiosk", tmp_path / "spool", "--by-hand", *options, "0") as last:
            for entry in last.wait_for("opened")["entries"]:
                last.wait_for("settled", visit=entry["visit"], stored=True)
        wrong += ledger.tell(last.reports)
        delivered = rows(gateway)
    finally:
        gateway.stop()
    assert not wrong, f"seed {seed}: {wrong[:10]}"
    assert ledger.promised <= set(delivered), f"seed {seed}"
    assert not ledger.taken_back & set(delivered), f"seed {seed}"
    assert len(delivered) == len(set(delivered)), f"seed {seed}"
    assert ledger.thanked >= FAST_KILLS // 2
    with capsys.disabled():
        print(f"\nkiosk: {FAST_KILLS} kills, {ledger.thanked} thanked, {len(ledger.taken_back)} taken back, 0 lost")
