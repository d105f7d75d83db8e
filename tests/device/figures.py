"""Figures of parts that are well, for tests of the health."""

from typing import Any

from audio.ear_stats import EarStats, LanguageStats
from audio.protocol import Ready
from device.health import NO_PANEL
from device.machine import MachineStats
from device.stats import AgentStats, ClockStats, Room, SpoolStats, UplinkStats
from firmware_bridge.stats import PanelStats

READY = Ready(
    device="USB PnP", rate_hz=48000, channels=1, model="small-en", model_is_demonstration=False, language="en"
)


def agent(**changes: Any) -> AgentStats:
    fields: dict[str, Any] = {
        "phase": "idle",
        "scene": "idle",
        "language": "en",
        "stuck_buttons": (),
        "last_thanks_s": 12.0,
        "visits": 4,
        "thanked": 3,
        "taken_back": 1,
        "nothing_heard": 0,
        "failed": 0,
        "turned_away": 0,
        "defects": 0,
    }
    return AgentStats(**{**fields, **changes})


def ear(**changes: Any) -> EarStats:
    fields: dict[str, Any] = {
        "is_ready": True,
        "reason": None,
        "ready": READY,
        "problems": (),
        "pid": 17,
        "starts": 1,
        "losses": 0,
        "blocks": 100,
        "overflows": 0,
        "backlog_s": 0.0,
        "transcripts": 3,
        "failures": 0,
        "interruptions": 0,
        "waiting": 0,
        "kept_bytes": 4096,
        "language": "en",
        "languages": (LanguageStats("en", "in_use", "small-en", 100.0, None),),
        "last_words": ("LOG (VoskAPI) something the ear printed",),
    }
    return EarStats(**{**fields, **changes})


def panel(**changes: Any) -> PanelStats:
    fields = {name: getattr(NO_PANEL, name) for name in PanelStats.__slots__}
    well = {"online": True, "port": "/dev/ttyACM0", "sessions": 1, "frames_received": 1000}
    return PanelStats(**{**fields, **well, **changes})


def uplink(**changes: Any) -> UplinkStats:
    fields: dict[str, Any] = {
        "online": True,
        "reason": None,
        "state_for_s": 100.0,
        "session": 1_000_001,
        "connections": 1,
        "in_flight": 0,
        "sent": 3,
        "stored": 3,
        "refused": 0,
        "stray_receipts": 0,
        "last_receipt_s": 12.0,
    }
    return UplinkStats(**{**fields, **changes})


def spool(**changes: Any) -> SpoolStats:
    fields: dict[str, Any] = {
        "room": Room.OPEN,
        "problem": None,
        "held": 0,
        "waiting": 0,
        "refused": 0,
        "oldest_waiting": None,
        "size_bytes": 40_960,
        "free_bytes": 20_000_000_000,
        "commits": 3,
        "last_commit_ms": 5.0,
        "slowest_commit_ms": 9.0,
        "failures": 0,
        "salvages": 0,
        "lost_in_salvage": 0,
    }
    return SpoolStats(**{**fields, **changes})


def clock(**changes: Any) -> ClockStats:
    fields: dict[str, Any] = {
        "synchronised": True,
        "wall_s": 1_764_149_400.0,
        "since_boot_s": 900.0,
        "jumps": 0,
        "last_jump_s": None,
    }
    return ClockStats(**{**fields, **changes})


def machine(**changes: Any) -> MachineStats:
    fields: dict[str, Any] = {
        "disk_free_bytes": 20_000_000_000,
        "disk_bytes": 30_000_000_000,
        "memory_available_bytes": 1_400_000_000,
        "memory_bytes": 2_000_000_000,
        "load_5min": 0.1,
        "cores": 4,
        "temperature_c": 54.0,
        "throttled": (),
        "uptime_s": 900.0,
        "agent_memory_bytes": 40_000_000,
        "agent_threads": 8,
        "agent_files": 30,
    }
    return MachineStats(**{**fields, **changes})
