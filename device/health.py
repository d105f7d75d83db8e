"""Makes the `contract.health.Health` of this kiosk from what its parts tell of themselves."""

import logging
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from audio.ear_stats import EarStats, LanguageStats
from contract.health import (
    MAX_LANGUAGES,
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_SENTENCE_CHARS,
    AgentHealth,
    ClockHealth,
    EarHealth,
    Health,
    LanguageHealth,
    MachineHealth,
    PanelHealth,
    SpoolHealth,
    UplinkHealth,
    Versions,
)
from contract.text import clean
from device import health_verdicts as verdicts
from device.clock import utc
from device.health_verdicts import Verdict
from device.machine import MachineStats
from device.stats import AgentStats, ClockStats, SpoolStats, UplinkStats
from firmware_bridge import Identity
from firmware_bridge.stats import PanelStats

log = logging.getLogger(__name__)

S = TypeVar("S")

_LINE_CHARS = 200
_MOST = 1e12

NO_PANEL = PanelStats(
    online=False,
    problem=None,
    port=None,
    round_trip_s=None,
    smoothed_round_trip_s=None,
    sessions=0,
    reconnections=0,
    open_failures=0,
    bytes_received=0,
    bytes_sent=0,
    frames_received=0,
    crc_errors=0,
    malformed=0,
    overlong=0,
    unknown_types=0,
    bad_payloads=0,
    stray=0,
    duplicate_events=0,
    scenes_acknowledged=0,
    scene_repeats=0,
    callback_errors=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the parts' figures come from; each is asked in the thread that makes the health."""

    agent: Callable[[], AgentStats]
    ear: Callable[[], EarStats]
    panel: Callable[[], PanelStats] | None
    """None where no panel is wanted."""
    identity: Callable[[], Identity | None]
    """Who the panel is."""
    uplink: Callable[[], UplinkStats]
    spool: Callable[[], SpoolStats]
    clock: Callable[[], ClockStats]
    machine: Callable[[], MachineStats]


class HealthMaker:
    """Makes one `Health` after the other. For one thread."""

    def __init__(self, sources: Sources, *, kiosk: str, agent_version: str) -> None:
        self._kiosk = kiosk
        self._versions = Versions(
            agent=_line(agent_version),
            python=_line(platform.python_version()),
            system=_line(_system()),
            machine=_line(platform.machine()),
        )
        self._agent = _Source("agent", sources.agent)
        self._ear = _Source("ear", sources.ear)
        self._panel = None if sources.panel is None else _Source("panel", sources.panel)
        self._identity = sources.identity
        self._uplink = _Source("uplink", sources.uplink)
        self._spool = _Source("spool", sources.spool)
        self._clock = _Source("clock", sources.clock)
        self._machine = _Source("machine", sources.machine)

    def make(self) -> Health:
        """Ask every part.

        Raises:
            Exception: a part could never tell its figures; what its `stats` raised.
        """
        uplink, clock = self._uplink.ask(), self._clock.ask()
        return Health(
            kiosk=self._kiosk,
            at=utc(clock.wall_s),
            session=uplink.session,
            versions=self._versions,
            agent=_agent(self._agent.ask(), self._agent.judge(verdicts.agent)),
            ear=_ear(self._ear.ask(), self._ear.judge(verdicts.ear)),
            panel=self._panel_health(),
            uplink=_uplink(uplink, self._uplink.judge(verdicts.uplink)),
            spool=_spool(self._spool.ask(), self._spool.judge(verdicts.spool)),
            clock=_clock(clock, self._clock.judge(verdicts.clock)),
            machine=_machine(self._machine.ask(), self._machine.judge(verdicts.machine)),
        )

    def _panel_health(self) -> PanelHealth:
        if self._panel is None:
            return _panel(NO_PANEL, None, verdicts.ABSENT)
        return _panel(self._panel.ask(), self._identity(), self._panel.judge(verdicts.panel))


class _Source(Generic[S]):
    """One part. One that cannot tell its figures any more is failed, with the figures that it told last."""

    def __init__(self, name: str, stats: Callable[[], S]) -> None:
        self._name = name
        self._stats = stats
        self._last: S | None = None
        self._is_lost = False

    def ask(self) -> S:
        try:
            self._last = self._stats()
        except Exception:
            if not self._is_lost:
                log.exception("The part %s of the kiosk cannot tell how it is", self._name)
            self._is_lost = True
            if self._last is None:
                raise
        else:
            self._is_lost = False
        return self._last

    def judge(self, verdict: Callable[[S], Verdict]) -> Verdict:
        """Judge what was told last."""
        if self._is_lost or self._last is None:
            return Verdict("failed", "it cannot tell how it is, which is a defect: look into the log and report it")
        return verdict(self._last)


def _agent(stats: AgentStats, verdict: Verdict) -> AgentHealth:
    return AgentHealth(
        state=verdict.state,
        problem=_sentence(verdict.problem),
        phase=_name(stats.phase),
        scene=_name(stats.scene),
        language=_name(stats.language),
        stuck_buttons=_names(stats.stuck_buttons),
        last_thanks_s=_measure(stats.last_thanks_s),
        visits=stats.visits,
        thanked=stats.thanked,
        taken_back=stats.taken_back,
        nothing_heard=stats.nothing_heard,
        failed=stats.failed,
        turned_away=stats.turned_away,
        defects=stats.defects,
    )


def _ear(stats: EarStats, verdict: Verdict) -> EarHealth:
    ready = stats.ready
    return EarHealth(
        state=verdict.state,
        problem=_sentence(verdict.problem),
        device=None if ready is None else _line(ready.device),
        rate_hz=None if ready is None else ready.rate_hz,
        model=None if ready is None else _line(ready.model),
        model_is_demonstration=ready is not None and ready.model_is_demonstration,
        language=None if stats.language is None else _name(stats.language),
        languages=tuple(_language(one) for one in stats.languages[:MAX_LANGUAGES]),
        microphone_problems=_names(found.problem.value for found in stats.problems),
        starts=stats.starts,
        losses=stats.losses,
        blocks=stats.blocks,
        overflows=stats.overflows,
        backlog_s=_clamped(stats.backlog_s),
        transcripts=stats.transcripts,
        failures=stats.failures,
        interruptions=stats.interruptions,
        waiting=stats.waiting,
        kept_bytes=stats.kept_bytes,
    )


def _language(stats: LanguageStats) -> LanguageHealth:
    return LanguageHealth(
        language=_name(stats.language),
        state=_name(stats.state),
        model=_line_or_none(stats.model),
        memory_mb=_measure(stats.memory_mb),
        reason=_sentence(stats.reason),
    )


def _panel(stats: PanelStats, identity: Identity | None, verdict: Verdict) -> PanelHealth:
    round_trip_s = stats.smoothed_round_trip_s
    return PanelHealth(
        state=verdict.state,
        problem=_sentence(verdict.problem),
        online=stats.online,
        port=_line_or_none(stats.port),
        firmware=None if identity is None else _line(".".join(map(str, identity.firmware))),
        serial_number=None if identity is None else _line(str(identity.serial_number)),
        round_trip_ms=None if round_trip_s is None else round(_clamped(round_trip_s * 1000), 2),
        sessions=stats.sessions,
        reconnections=stats.reconnections,
        open_failures=stats.open_failures,
        frames_received=stats.frames_received,
        damaged_frames=verdicts.damaged_frames(stats),
        scene_repeats=stats.scene_repeats,
        callback_errors=stats.callback_errors,
    )


def _uplink(stats: UplinkStats, verdict: Verdict) -> UplinkHealth:
    return UplinkHealth(
        state=verdict.state,
        problem=_sentence(verdict.problem),
        online=stats.online,
        reason=_sentence(stats.reason),
        state_for_s=_clamped(stats.state_for_s),
        session=stats.session,
        connections=stats.connections,
        in_flight=stats.in_flight,
        sent=stats.sent,
        stored=stats.stored,
        refused=stats.refused,
        stray_receipts=stats.stray_receipts,
        last_receipt_s=_measure(stats.last_receipt_s),
    )


def _spool(stats: SpoolStats, verdict: Verdict) -> SpoolHealth:
    return SpoolHealth(
        state=verdict.state,
        problem=_sentence(verdict.problem),
        room=_name(stats.room),
        held=stats.held,
        waiting=stats.waiting,
        refused=stats.refused,
        oldest_waiting=_line_or_none(stats.oldest_waiting),
        size_bytes=stats.size_bytes,
        free_bytes=stats.free_bytes,
        commits=stats.commits,
        last_commit_ms=_measure(stats.last_commit_ms),
        slowest_commit_ms=_measure(stats.slowest_commit_ms),
        failures=stats.failures,
        salvages=stats.salvages,
        lost_in_salvage=stats.lost_in_salvage,
    )


def _clock(stats: ClockStats, verdict: Verdict) -> ClockHealth:
    jump_s = stats.last_jump_s
    return ClockHealth(
        state=verdict.state,
        problem=_sentence(verdict.problem),
        synchronised=stats.synchronised,
        jumps=stats.jumps,
        last_jump_s=None if jump_s is None else round(min(max(jump_s, -_MOST), _MOST), 3),
    )


def _machine(stats: MachineStats, verdict: Verdict) -> MachineHealth:
    return MachineHealth(
        state=verdict.state,
        problem=_sentence(verdict.problem),
        disk_free_bytes=stats.disk_free_bytes,
        disk_bytes=stats.disk_bytes,
        memory_available_bytes=stats.memory_available_bytes,
        memory_bytes=stats.memory_bytes,
        load_5min=_measure(stats.load_5min),
        cores=stats.cores,
        temperature_c=stats.temperature_c,
        throttled=None if stats.throttled is None else _names(stats.throttled),
        uptime_s=_clamped(stats.uptime_s),
        agent_memory_bytes=stats.agent_memory_bytes,
        agent_threads=stats.agent_threads,
        agent_files=stats.agent_files,
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _name(text: str) -> str:
    return _line(text)[:MAX_NAME_CHARS]


def _line(text: str) -> str:
    return clean(text, _LINE_CHARS).replace("\n", " ")


def _line_or_none(text: str | None) -> str | None:
    return None if text is None else _line(text)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(_name(name) for name in names)[:MAX_NAMES]


def _sentence(text: str | None) -> str | None:
    if text is None:
        return None
    whole = clean(text, MAX_SENTENCE_CHARS + 1).replace("\n", " ")
    return whole if len(whole) <= MAX_SENTENCE_CHARS else whole[: MAX_SENTENCE_CHARS - 1] + "…"


def _clamped(value: float) -> float:
    return round(min(max(value, 0.0), _MOST), 3)


def _measure(value: float | None) -> float | None:
    return None if value is None else _clamped(value)
