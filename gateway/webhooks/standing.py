"""How an endpoint stands: whether it answers, fails, has asked for a pause. A pure state machine.

An endpoint that does not answer is left alone for a while after a few silences, then asked once (half open); the while
grows until it answers. One that has accepted nothing for days is disabled, after the operator was told.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

FIRST_PAUSE_S = 15.0
LAST_PAUSE_S = 600.0
JITTER_SHARE = 0.2

MAX_ASKED_PAUSE_S = 3_600.0
"""How long a ``Retry-After`` holds back all that is due; the one delivery it answered may wait longer."""

MIN_FAILURES = 10
"""An endpoint that gets one webhook a week is not disabled by the first two that fail."""

_PAUSING_STATUSES = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Limits:
    """When what follows."""

    silences: int
    """After so many attempts without an answer it is left alone for a while."""
    disable_after_s: float
    """After so long without success it is disabled; 0 means never."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of an endpoint between attempts."""

    failing_since: datetime | None = None
    failures: int = 0
    silences: int = 0
    paused_until: datetime | None = None
    warned_at: datetime | None = None


GOOD = Standing()


@dataclass(frozen=True, slots=True)
class Accepted:
    """An attempt was answered with 2xx."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An attempt was answered otherwise."""

    status: int
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Silent:
    """An attempt brought no answer."""


Event = Accepted | Refused | Silent


class Notice(StrEnum):
    """What the operator is told."""

    FAILING = "endpoint fails"
    WORKS_AGAIN = "endpoint accepts again"
    SILENT = "endpoint does not answer; it is left alone for a while and asked again"
    PAUSED = "endpoint has asked for a pause"
    WILL_BE_DISABLED = "endpoint will be disabled unless it accepts something"
    DISABLED = "endpoint disabled: it has accepted nothing for too long"


def step(
    standing: Standing, event: Event, *, now: datetime, limits: Limits, chance: float
) -> tuple[Standing, list[Notice]]:
    """Return how the endpoint stands after ``event``, and what the operator should know.

    Args:
        standing: before.
        event: what an attempt has brought.
        now: the time.
        limits: when what follows.
        chance: from 0 to 1; how much of the jitter is added to a pause.
    """
    if isinstance(event, Accepted):
        return GOOD, [Notice.WORKS_AGAIN] if standing.failing_since is not None else []
    notices = [Notice.FAILING] if standing.failing_since is None else []
    after = replace(
        standing,
        failing_since=standing.failing_since or now,
        failures=standing.failures + 1,
        silences=standing.silences + 1 if isinstance(event, Silent) else 0,
    )
    pause_s = _pause_s(after, event, limits)
    if pause_s:
        until = now + timedelta(seconds=pause_s * (1 + chance * JITTER_SHARE))
        if isinstance(event, Refused) and standing.paused_until is None:
            notices.append(Notice.PAUSED)
        elif after.silences == limits.silences:
            notices.append(Notice.SILENT)
        after = replace(after, paused_until=max(until, standing.paused_until or until))
    return _disable(after, notices, now, limits)


def _pause_s(after: Standing, event: Event, limits: Limits) -> float:
    if isinstance(event, Refused):
        asked = event.retry_after_s if event.status in _PAUSING_STATUSES else None
        return min(asked or 0.0, MAX_ASKED_PAUSE_S)
    over = after.silences - limits.silences
    return 0.0 if over < 0 else min(FIRST_PAUSE_S * 2 ** min(over, 20), LAST_PAUSE_S)


def _disable(after: Standing, notices: list[Notice], now: datetime, limits: Limits) -> tuple[Standing, list[Notice]]:
    if not limits.disable_after_s or after.failing_since is None or after.failures < MIN_FAILURES:
        return after, notices
    failing_s = (now - after.failing_since).total_seconds()
    if failing_s >= limits.disable_after_s:
        return after, [*notices, Notice.DISABLED]
    if failing_s >= limits.disable_after_s / 2 and after.warned_at is None:
        return replace(after, warned_at=now), [*notices, Notice.WILL_BE_DISABLED]
    return after, notices


def room(standing: Standing, most: int, *, now: datetime) -> int:
    """Return how many may be under way at once: ``most``, or one to see whether it answers, or none in a pause."""
    if standing.paused_until is not None and standing.paused_until > now:
        return 0
    return 1 if standing.silences else most


def is_careful(standing: Standing) -> bool:
    """Tell whether one after another should be claimed, because the next may well fail like the last."""
    return standing.failing_since is not None
