"""The long runs, shortened: a hundred replugs under presses, and presses without end; none is lost or comes twice."""

from pathlib import Path

import pytest

from benchmarks import panel_soak
from benchmarks.panel_replug import replug

pytestmark = pytest.mark.servers


def test_a_hundred_replugs_under_presses_lose_no_press_and_count_none_twice(tmp_path: Path) -> None:
    result = replug(tmp_path / "panel", cycles=100, retry_s=0.01)
    assert result.cycles == 100
    assert result.pressed > 100
    assert result.taken > 100
    assert (result.lost, result.twice, result.invented) == (0, 0, 0)
    assert result.slowest_s < 2.0


def test_presses_without_end_lose_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert panel_soak.main(["--seconds", "1"]) == 0
    assert "20 presses in 1 s" in capsys.readouterr().out
