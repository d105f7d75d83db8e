"""Writing down what attempts have brought, many of them in one transaction, each under its claim's fence."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F

from gateway.webhooks import outbox, standing, standing_rows
from gateway.webhooks.attempt import Fault, Outcome
from gateway.webhooks.models import MAX_ERROR_CHARS, Delivery, Endpoint
from gateway.webhooks.outbox import RULES, Claim, Rules
from gateway.webhooks.retry import Accepted, Decision, Exhausted, Gone, RetryAfter
from gateway.webhooks.standing import Notice

# What tells nothing of the endpoint: the fault is on this side.
_OURS = frozenset({Fault.SECRET, Fault.PROXY})


@dataclass(frozen=True, slots=True)
class Result:
    """An attempt that was made, and what follows from it."""

    claim: Claim
    outcome: Outcome
    decision: Decision


@dataclass(frozen=True, slots=True)
class Recorded:
    """What writing results down has brought."""

    counted: list[bool]
    """For each result: not if its lease ran out and somebody else has claimed the delivery since, or if it was
    cancelled before it failed."""
    notices: list[tuple[str, Notice]]
    """What the operator should know of which endpoint."""


def record(
    results: Sequence[Result],
    *,
    now: datetime,
    rules: Rules = RULES,
    chance: Callable[[], float] = random.random,
) -> Recorded:
    """Write down what came of attempts, all in one transaction."""
    with transaction.atomic():
        notices = _note_standing(results, rules, now, chance)
        states = _states([each.claim.delivery for each in results])
        counted = [_counts(each, *states.get(each.claim.delivery, (-1, ""))) for each in results]
        mine = [each for each, counts in zip(results, counted, strict=True) if counts]
        _end_deliveries(mine, now)
        _insert_attempts(mine)
        for endpoint in {each.claim.endpoint for each in mine if isinstance(each.decision, Gone)}:
            outbox.disable(endpoint, "the receiver answered 410 Gone", now=now)
    return Recorded(counted, notices)


def _states(keys: Sequence[int]) -> dict[int, tuple[int, str]]:
    rows = Delivery.objects.filter(pk__in=keys).order_by("pk")
    if connection.features.has_select_for_update:
        rows = rows.select_for_update()
    return {pk: (fence, state) for pk, fence, state in rows.values_list("pk", "fence", "state")}


def _counts(result: Result, fence: int, state: str) -> bool:
    if fence != result.claim.fence:
        return False
    # What was cancelled during the attempt and accepted nevertheless must not be sent again later.
    return state == Delivery.State.PENDING or (
        state == Delivery.State.CANCELLED and isinstance(result.decision, Accepted)
    )


def _end_deliveries(results: Sequence[Result], now: datetime) -> None:
    # Those with the same end in one statement: nearly all are accepted with 200.
    alike: dict[tuple[Decision, int | None, str], list[int]] = {}
    for each in results:
        kind = (each.decision, each.outcome.status, each.outcome.error[:MAX_ERROR_CHARS])
        alike.setdefault(kind, []).append(each.claim.delivery)
    for (decision, status, error), keys in alike.items():
        Delivery.objects.filter(pk__in=keys).update(
            attempts=F("attempts") + 1,
            tries=F("tries") + 1,
            lease_until=None,
            slot=None,
            last_status=status,
            last_error=error,
            **_next(decision, now),
        )


def _next(decision: Decision, now: datetime) -> dict[str, object]:
    if isinstance(decision, RetryAfter):
        return {"next_due_at": now + timedelta(seconds=decision.delay_s)}
    lost = isinstance(decision, Exhausted | Gone)
    return {
        "state": Delivery.State.EXHAUSTED if lost else Delivery.State.DELIVERED,
        "cancelled_because": "",
        "next_due_at": None,
        "finished_at": now,
    }


def _insert_attempts(results: Sequence[Result]) -> None:
    # By hand: Django's `bulk_create` takes longer than the requests themselves.
    columns = ("delivery_id", "number", "started_at", "duration_ms", "status", "fault", "error", "answer", "peer")
    rows = [
        (
            each.claim.delivery,
            each.claim.number,
            connection.ops.adapt_datetimefield_value(each.outcome.started_at),
            each.outcome.duration_ms,
            each.outcome.status,
            str(each.outcome.fault or ""),
            each.outcome.error[:MAX_ERROR_CHARS],
            each.outcome.answer,
            each.outcome.peer,
        )
        for each in results
    ]
    places = ", ".join(["%s"] * len(columns))
    insert = f"INSERT INTO webhooks_attempt ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 (no input)
    with connection.cursor() as cursor:
        cursor.executemany(insert, rows)


def _note_standing(
    results: Sequence[Result], rules: Rules, now: datetime, chance: Callable[[], float]
) -> list[tuple[str, Notice]]:
    events: dict[int, list[standing.Event]] = {}
    for each in results:
        event = _event(each)
        if event is not None:
            events.setdefault(each.claim.endpoint, []).append(event)
    rows = Endpoint.objects.filter(pk__in=events, enabled=True).order_by("pk")
    if connection.features.has_select_for_update:
        rows = rows.select_for_update()
    told: list[tuple[str, Notice]] = []
    for endpoint in rows:
        before = after = standing_rows.of(endpoint)
        notices: list[Notice] = []
        for event in events[endpoint.pk]:
            after, more = standing.step(after, event, now=now, limits=rules.limits, chance=chance())
            notices.extend(more)
        if after != before:
            Endpoint.objects.filter(pk=endpoint.pk).update(**standing_rows.columns(after))
        if Notice.DISABLED in notices:
            since = after.failing_since or now
            outbox.disable(endpoint.pk, f"it has accepted nothing since {since:%Y-%m-%d %H:%M} UTC", now=now)
        told.extend((endpoint.name, notice) for notice in dict.fromkeys(notices))
    return told


def _event(result: Result) -> standing.Event | None:
    outcome = result.outcome
    if isinstance(result.decision, Accepted):
        return standing.Accepted()
    if outcome.fault in _OURS:
        return None
    if outcome.is_answer and outcome.status is not None:
        return standing.Refused(outcome.status, outcome.retry_after_s)
    return standing.Silent()
