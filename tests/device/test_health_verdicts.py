"""What the parts' figures mean, case by case."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.ear_stats import LanguageStats
from audio.health import Problem
from audio.protocol import MicrophoneHealth
from device import health_verdicts as verdicts
from device.health_verdicts import (
    BACKLOG_S,
    DAMAGED_FRAMES,
    DISK_FREE_BYTES,
    HOT_C,
    MEMORY_AVAILABLE_BYTES,
    OFFLINE_DEGRADED_S,
    OFFLINE_FAILED_S,
    SLOW_COMMIT_MS,
    UNANSWERED_S,
    Verdict,
)
from device.stats import Room
from tests.device import figures

DAY_S = 86_400.0


def hears_wrongly(problem: Problem) -> MicrophoneHealth:
    return MicrophoneHealth(problem=problem, is_present=True, text=f"the sound is {problem}: do this")


DEMONSTRATION = type(figures.READY)(
    **{
        **{name: getattr(figures.READY, name) for name in figures.READY.__struct_fields__},
        "model_is_demonstration": True,
    }
)

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("agent", {}, "ok", ""),
    ("agent", {"phase": "out_of_service", "turned_away": 9, "failed": 3}, "ok", ""),
    ("agent", {"stuck_buttons": ("record",)}, "degraded", "the button record is held down"),
    ("agent", {"stuck_buttons": ("record", "cancel")}, "degraded", "record and cancel"),
    ("agent", {"defects": 1}, "degraded", "once since its start"),
    ("agent", {"defects": 2000}, "degraded", "2,000 times since its start"),
    ("ear", {}, "ok", ""),
    ("ear", {"is_ready": False, "reason": "the ear is being started"}, "failed", "is being started"),
    ("ear", {"is_ready": False, "reason": None, "ready": None}, "failed", "cannot hear"),
    ("ear", {"ready": DEMONSTRATION}, "degraded", "does not understand real people: .*kiosk model install en"),
    ("ear", {"problems": (hears_wrongly(Problem.DEAD),)}, "failed", "dead: do this"),
    ("ear", {"problems": (hears_wrongly(Problem.CLIPPING),)}, "degraded", "clipping: do this"),
    ("ear", {"problems": (hears_wrongly(Problem.OFFSET), hears_wrongly(Problem.DEAD))}, "failed", "dead"),
    ("ear", {"problems": (hears_wrongly(Problem.WRONG_RATE),), "ready": DEMONSTRATION}, "degraded", "wrong_rate"),
    ("ear", {"languages": (LanguageStats("de", "unusable", "x", None, "no such folder"),)}, "degraded", "'de'.*folder"),
    ("ear", {"languages": (LanguageStats("de", "not_loaded", "x", None, None),)}, "ok", ""),
    ("ear", {"backlog_s": BACKLOG_S}, "ok", ""),
    ("ear", {"backlog_s": BACKLOG_S + 1}, "degraded", "6 s behind"),
    ("panel", {}, "ok", ""),
    ("panel", {"online": False, "problem": "no panel answers at /dev/x"}, "failed", "no panel answers at /dev/x"),
    ("panel", {"online": False}, "failed", "look at its cable"),
    ("panel", {"crc_errors": DAMAGED_FRAMES, "frames_received": 10**6}, "ok", ""),
    ("panel", {"crc_errors": DAMAGED_FRAMES, "frames_received": 900}, "degraded", "10 % of what the panel sends"),
    ("panel", {"crc_errors": DAMAGED_FRAMES - 1, "frames_received": 0}, "ok", ""),
    ("panel", {"callback_errors": 1}, "degraded", "report it"),
    ("uplink", {}, "ok", ""),
    ("uplink", {"online": False, "state_for_s": OFFLINE_DEGRADED_S, "reason": "refused"}, "ok", ""),
    ("uplink", {"online": False, "state_for_s": OFFLINE_DEGRADED_S + 1, "reason": "refused"}, "degraded", "10 min .re"),
    ("uplink", {"online": False, "state_for_s": OFFLINE_FAILED_S, "reason": None}, "degraded", "for 24 h: look"),
    ("uplink", {"online": False, "state_for_s": OFFLINE_FAILED_S + 1}, "failed", "records are kept"),
    ("uplink", {"online": False, "state_for_s": 7 * DAY_S}, "failed", "for 7 days"),
    ("uplink", {"online": True, "state_for_s": 7 * DAY_S, "last_receipt_s": 6 * DAY_S}, "ok", ""),
    (
        "uplink",
        {"in_flight": 1, "state_for_s": 9e5, "last_receipt_s": UNANSWERED_S + 1},
        "degraded",
        "has answered for",
    ),
    ("uplink", {"in_flight": 1, "state_for_s": 9e5, "last_receipt_s": UNANSWERED_S}, "ok", ""),
    ("uplink", {"in_flight": 1, "state_for_s": 9e5, "last_receipt_s": None}, "degraded", "gateway's log"),
    ("uplink", {"in_flight": 1, "state_for_s": 20, "last_receipt_s": 9e5}, "ok", ""),
    ("spool", {}, "ok", ""),
    ("spool", {"waiting": 10_000}, "ok", ""),
    ("spool", {"room": Room.FULL, "problem": "30 MB are free"}, "failed", "30 MB are free.*make room"),
    ("spool", {"room": Room.BROKEN, "problem": "disk I/O error"}, "failed", "disk I/O error.*dmesg"),
    ("spool", {"room": Room.BROKEN, "refused": 3}, "failed", "turned away"),
    ("spool", {"refused": 1}, "degraded", "refused a record.*kiosk spool list"),
    ("spool", {"refused": 1200}, "degraded", "1,200 records"),
    ("spool", {"salvages": 1}, "ok", ""),
    ("spool", {"salvages": 1, "lost_in_salvage": 2}, "degraded", "2 records could not be saved"),
    ("spool", {"last_commit_ms": SLOW_COMMIT_MS, "slowest_commit_ms": 9_000.0}, "ok", ""),
    ("spool", {"last_commit_ms": SLOW_COMMIT_MS + 1}, "degraded", "2.0 s to be written"),
    ("clock", {}, "ok", ""),
    ("clock", {"jumps": 5, "last_jump_s": -9e8}, "ok", ""),
    ("clock", {"synchronised": False}, "degraded", "timedatectl"),
    ("machine", {}, "ok", ""),
    ("machine", {"disk_free_bytes": DISK_FREE_BYTES}, "ok", ""),
    ("machine", {"disk_free_bytes": DISK_FREE_BYTES - 1}, "degraded", "537 MB of the disk"),
    ("machine", {"memory_available_bytes": MEMORY_AVAILABLE_BYTES}, "ok", ""),
    ("machine", {"memory_available_bytes": MEMORY_AVAILABLE_BYTES - 1}, "degraded", "67 MB of memory"),
    ("machine", {"temperature_c": HOT_C - 0.1}, "ok", ""),
    ("machine", {"temperature_c": HOT_C}, "degraded", "80 °C"),
    ("machine", {"throttled": ("under-voltage",)}, "degraded", "under-voltage.*power supply"),
    ("machine", {"throttled": None, "temperature_c": None, "disk_free_bytes": None, "load_5min": None}, "ok", ""),
    ("machine", {"load_5min": 8.0, "cores": 4}, "ok", ""),
    ("machine", {"load_5min": 8.1, "cores": 4}, "degraded", "8.1 for 4 cores"),
]


@pytest.mark.parametrize(
    ("part", "changes", "state", "said"), CASES, ids=[f"{part}-{number}" for number, (part, *_) in enumerate(CASES)]
)
def test_a_part_is_judged_by_its_figures(part: str, changes: dict[str, Any], state: str, said: str) -> None:
    verdict: Verdict = getattr(verdicts, part)(getattr(figures, part)(**changes))
    assert verdict.state == state, verdict
    if state == "ok":
        assert verdict.problem is None
    else:
        assert verdict.problem is not None
        assert re.search(said, verdict.problem), verdict.problem


def test_a_panel_that_is_not_wanted_is_absent() -> None:
    assert verdicts.panel(None) == ("absent", None)


@given(st.floats(0, OFFLINE_FAILED_S))
def test_being_offline_is_no_failure_before_a_day_is_over(offline_s: float) -> None:
    assert verdicts.uplink(figures.uplink(online=False, state_for_s=offline_s)).state != "failed"


@given(st.floats(0, 1e9))
def test_a_span_is_short_whatever_its_length(seconds: float) -> None:
    assert len(verdicts.span(seconds)) <= len("11574 days")
