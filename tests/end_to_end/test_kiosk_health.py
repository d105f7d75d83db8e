"""What a kiosk says of itself, at the kiosk and at its gateway."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from demo.process import BIN
from demo.sentences import SPEECH
from demo.store import KIOSK_ID, Store
from tests.conftest import MakeStore

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

TOLD_S = 20.0
"""A change is told within 5 s after the last message, and stored within 5 s more."""
WAIT_S = 40.0


def at_the_kiosk(store: Store) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [BIN / "kiosk", "status", "--json", "--config", store.kiosk_config],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def at_the_gateway(store: Store) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(store.gateway_command("kiosk", "show", KIOSK_ID, "--json"))
    return shown


def wait_until(store: Store, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline_s = time.monotonic() + TOLD_S
    while not is_so(shown := at_the_gateway(store)):
        assert time.monotonic() < deadline_s, shown
        time.sleep(0.2)
    return shown


def test_a_visit_and_a_lost_panel_are_told_at_the_kiosk_and_at_the_gateway(make_store: MakeStore) -> None:
    store = make_store()
    store.start()
    status, health = at_the_kiosk(store)
    assert status == 1
    assert {name: part["state"] for name, part in health.items() if isinstance(part, dict) and "state" in part} == {
        "agent": "ok",
        "ear": "degraded",  # it has the demonstration model
        "panel": "ok",
        "uplink": "ok",
        "spool": "ok",
        "clock": health["clock"]["state"],
        "machine": health["machine"]["state"],
    }
    shown = wait_until(store, lambda shown: shown["health"] is not None and shown["health"]["uplink"]["online"])
    assert (shown["online"], shown["state"]) == (True, "degraded")

    mark = store.visit(SPEECH / "flowers.wav")
    visit = store.happenings.wait_for("kiosk", "committed", since=mark, timeout_s=WAIT_S).fields["visit"]
    store.happenings.wait_for("kiosk", "receipt", visit=visit, since=mark, timeout_s=WAIT_S)
    health = at_the_kiosk(store)[1]
    assert (health["agent"]["thanked"], health["uplink"]["stored"], health["spool"]["waiting"]) == (1, 1, 0)
    assert "flowers" not in json.dumps(health)

    assert store.panel is not None
    store.panel.stop()
    shown = wait_until(store, lambda shown: shown["health"]["panel"]["state"] == "failed")
    assert shown["state"] == "failed"
    assert at_the_kiosk(store)[1]["panel"]["problem"]

    assert store.kiosk is not None
    store.kiosk.stop()
    assert at_the_kiosk(store) == (3, {})
    wait_until(store, lambda shown: not shown["online"])
