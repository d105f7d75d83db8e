"""Frames that no panel sends: nothing raises, and no event comes out of the wrong state."""

import pytest

from benchmarks import panel_fuzz


def test_twenty_thousand_random_and_mutated_frames_do_no_harm() -> None:
    bench = panel_fuzz.fuzz(20_000, seed=1)
    assert bench.frames > 5_000
    assert bench.events > 500


def test_what_goes_wrong_is_told_with_the_seed_and_the_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(bench: panel_fuzz.Bench, data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(panel_fuzz.Bench, "take", fail)
    assert panel_fuzz.main(["10", "4"]) == 1
    assert capsys.readouterr().out.startswith("FAILED: seed 4, input 0: ")
