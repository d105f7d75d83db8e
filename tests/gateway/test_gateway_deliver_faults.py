"""A sender process that is killed between claim, post and record, and several that race for the same rows.

`VOISEBACK_RACES` says how many deliveries are raced for; `make race` sets it to 100,000.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from gateway.webhooks.deliver import Point
from tests.gateway.support import Receiver

pytestmark = pytest.mark.servers

RACES = int(os.environ.get("VOISEBACK_RACES", "2000"))
ROOT = Path(__file__).resolve().parents[2]
COUNT = 300


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "tests.gateway.worker_process", *map(str, args)]


def work(*args: str | Path) -> int:
    return subprocess.run(command(*args), cwd=ROOT, check=False, timeout=100).returncode


def rows(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "gateway.sqlite3")) as database:
        return dict(database.execute("SELECT webhook_id, state FROM webhooks_delivery"))


POINTS = [Point.CLAIMED, Point.POSTING, Point.POSTED, Point.RECORDING, Point.RECORDED]


def test_after_a_kill_at_any_point_everything_is_delivered_and_only_what_was_not_recorded_comes_twice(
    tmp_path: Path, receiver: Receiver
) -> None:
    folder = tmp_path / "state"
    assert work("fill", folder, receiver.url, str(COUNT)) == 0
    seen: Counter[str] = Counter()
    settled: set[str] = set()

    def take() -> Counter[str]:
        """Count what has come since; nothing of it may have been recorded as delivered before."""
        came = Counter(headers["Webhook-Id"] for headers, _ in receiver.requests[sum(seen.values()) :])
        assert not settled & set(came)
        seen.update(came)
        return came

    for point in POINTS:
        assert work("deliver", folder, point, "2") == -signal.SIGKILL
        came = take()
        states = rows(folder)
        settled |= {key for key, state in states.items() if state == "delivered"}
        # What is recorded was posted, and what was posted is recorded or waits to be sent again.
        assert settled <= set(seen)
        assert {states[key] for key in came} <= {"delivered", "pending"}
        assert set(states.values()) <= {"delivered", "pending"}
    assert work("deliver", folder, "-", "0") == 0
    take()
    assert set(seen) == set(rows(folder))
    assert set(rows(folder).values()) == {"delivered"}
    assert len({body for _, body in receiver.requests}) == COUNT
    assert sum(seen.values()) > COUNT


@pytest.mark.timeout(60 + RACES // 50)
def test_of_two_processes_that_race_for_the_same_rows_none_claims_what_the_other_has(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert work("fill", folder, "https://receiver.example/", str(RACES)) == 0
    racers = [
        subprocess.Popen(
            command("race", folder), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(2)
    ]
    claimed: list[list[str]] = []
    for each in racers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in racers:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    for each in racers:
        out, _ = each.communicate()
        assert each.returncode == 0
        claimed.append(out.split())
    # The database's lock is not fair, and nothing says that it is; that both got rows makes it a race.
    assert all(claimed)
    times = Counter(claimed[0] + claimed[1])
    assert (len(times), max(times.values())) == (RACES, 1)
