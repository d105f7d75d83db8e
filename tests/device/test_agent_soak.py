"""A short version of `make agent-soak`: what must not grow does not, and growth would be seen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agent_soak import Look, growth

ROOT = Path(__file__).parents[2]
STEADY = [
    Look(visits=60 * number, blocks=100_000, rss_mb=32.0, files=13, threads=5, spool_bytes=4096)
    for number in range(1, 21)
]


def soak(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.agent_soak", "--json", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_half_a_day_of_visits_leaves_nothing_behind() -> None:
    found = soak("--visits", "600")
    assert found["grown"] == []
    assert found["health"] > 500


def test_a_leak_of_a_few_objects_a_visit_is_seen() -> None:
    found = soak("--visits", "600", "--leak")
    assert [grown for grown in found["grown"] if "blocks of memory" in grown]


def test_nothing_has_grown_where_all_is_flat() -> None:
    assert growth(STEADY) == []


@pytest.mark.parametrize(
    ("name", "step"), [("blocks", 1000), ("rss_mb", 0.5), ("files", 1), ("threads", 1), ("spool_bytes", 1)]
)
def test_growth_of_any_kind_is_named(name: str, step: float) -> None:
    looks = []
    for number, look in enumerate(STEADY):
        fields = {field: getattr(look, field) for field in Look.__struct_fields__}
        looks.append(Look(**{**fields, name: fields[name] + number * step}))
    assert len(growth(looks)) == 1
