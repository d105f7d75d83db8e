"""`kill -9` at a random moment of the way: whoever was thanked is delivered, once.

`VOISEBACK_KILLS` says how often each process is killed; `make faults` sets it to 20.
"""

import os
import random
import signal
import sqlite3
import time
from collections import defaultdict

import pytest

from demo.happenings import TimedOutError
from demo.sentences import SPEECH
from demo.store import Store
from tests.conftest import MakeStore

KILLS = int(os.environ.get("VOISEBACK_KILLS", "2"))
ROUND_S = 40.0
WAY_S = 7.5
"""From the press to the verified webhook, as `make demo` shows it, and a little more."""

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(60 * KILLS + 120)]


def kill_kiosk(store: Store) -> None:
    assert store.kiosk is not None
    store.kiosk.kill()
    store.start_kiosk()


def kill_gateway(store: Store) -> None:
    assert store.gateway is not None
    store.gateway.kill()
    store.start_gateway()


def kill_broker(store: Store) -> None:
    assert store.gateway is not None
    (broker,) = store.gateway.children("mosquitto")
    os.kill(broker, signal.SIGKILL)


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
    assert store.microphone is not None
    wait_until_idle(store)
    mark = len(store.happenings)
    began_s = time.monotonic()
    store.press()
    store.happenings.wait_for("panel", "scene", scene="recording", since=mark, timeout_s=ROUND_S)
    store.microphone.say(SPEECH / "flowers.wav")
    remaining_s = began_s + after_s - time.monotonic()
    if remaining_s > 0:
        time.sleep(remaining_s)
    VICTIMS[victim](store)


def gateway_rows(store: Store) -> list[str]:
    with sqlite3.connect(f"file:{store.folder}/gateway/gateway.sqlite3?mode=ro", uri=True) as database:
        rows = [str(row[0]) for row in database.execute("SELECT feedback_id FROM feedback_feedback")]
    database.close()
    return rows


@pytest.mark.parametrize("victim", sorted(VICTIMS))
def test_whoever_was_thanked_is_delivered_once(make_store: MakeStore, victim: str) -> None:
    seed = int.from_bytes(os.urandom(4))
    moments = random.Random(seed)
    store = make_store(thanks_s=0.5)
    store.start()
    for _ in range(KILLS):
        one_round(store, victim, moments.uniform(0, WAY_S))
    wait_until_idle(store)

    committed = [one.fields["visit"] for one in store.happenings.find("kiosk", "committed")]
    thanked = len(store.happenings.find("panel", "scene", scene="thanks"))
    try:
        for visit in committed:
            store.happenings.wait_for("receiver", "webhook", feedback=visit, verified=True, timeout_s=90)
            store.happenings.wait_for("gateway", "webhook delivered", feedback=visit, timeout_s=ROUND_S)
    except TimedOutError as error:
        pytest.fail(f"seed {seed}: {error}")

    ids = defaultdict(set)
    for one in store.happenings.find("receiver", "webhook"):
        ids[one.fields["feedback"]].add(one.fields["webhook_id"])
    assert len(ids) >= thanked, f"seed {seed}"
    assert all(len(webhook_ids) == 1 for webhook_ids in ids.values()), f"seed {seed}: {ids}"
    rows = gateway_rows(store)
    assert sorted(rows) == sorted(set(ids)), f"seed {seed}"
    deadline_s = time.monotonic() + ROUND_S
    while store.spooled():
        assert time.monotonic() < deadline_s, f"seed {seed}: the spool is not empty"
        time.sleep(0.2)
