"""The outbox: deliveries are made in the transaction that gives cause, claimed with a lease, ended under its fence."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F, Q

from contract.webhook import Event, Payload, event_of, serialise
from gateway.errors import GatewayError
from gateway.webhooks.models import MAX_ERROR_CHARS, Attempt, Delivery, Endpoint
from gateway.webhooks.retry import Decision, Exhausted, Gone, RetryAfter
from gateway.webhooks.secrets import SecretBox
from gateway.webhooks.sender import Outcome, Request

LEASE_MARGIN_S = 20.0

_ENDED = (Delivery.State.DELIVERED, Delivery.State.EXHAUSTED, Delivery.State.CANCELLED)

IN_FLIGHT_PER_ENDPOINT = 4
"""So that one receiver that hangs holds no more than so many requests."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt that may now be made."""

    delivery: int
    fence: int
    number: int
    event: str
    feedback: UUID
    endpoint: int
    endpoint_name: str
    request: Request


def enqueue(payload: Payload, *, now: datetime) -> int:
    """Make the deliveries of one event for every enabled endpoint; return how many.

    To be called within the transaction that gives cause to them. Done again, it does nothing.
    """
    body = serialise(payload)
    event = event_of(payload)
    feedback = UUID(payload.id)
    made = 0
    for endpoint in Endpoint.objects.filter(enabled=True):
        same = Delivery.objects.filter(endpoint=endpoint, feedback_id=feedback)
        if same.filter(event=event).exists():
            continue
        after = None if event == Event.FEEDBACK_NEW else same.filter(event=Event.FEEDBACK_NEW).first()
        Delivery.objects.create(
            webhook_id=str(uuid4()),
            event=event,
            endpoint=endpoint,
            feedback_id=feedback,
            after=after,
            body=body,
            created_at=now,
            next_due_at=now,
        )
        made += 1
    return made


def lease_s(deadline_s: float) -> float:
    """Return how long a claim lasts: more than two deadlines, so that an older one belongs to a process that died."""
    return 2 * deadline_s + LEASE_MARGIN_S


def claim(most: int, box: SecretBox, *, now: datetime, lease_s: float) -> list[Claim]:
    """Claim up to ``most`` due attempts for ``lease_s`` seconds, the oldest of each endpoint first, few for each.

    A delivery waits for the one that it comes ``after``; endpoints that are disabled are left alone.
    """
    until = now + timedelta(seconds=lease_s)
    claims: list[Claim] = []
    due = Q(state=Delivery.State.PENDING, next_due_at__lte=now)
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    in_order = Q(after__isnull=True) | Q(after__state__in=_ENDED)
    if not Delivery.objects.filter(due, free, in_order, endpoint__enabled=True).exists():
        return claims
    with transaction.atomic():
        for endpoint in Endpoint.objects.filter(enabled=True):
            mine = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING)
            room = min(IN_FLIGHT_PER_ENDPOINT - mine.filter(lease_until__gt=now).count(), most - len(claims))
            if room <= 0:
                continue
            rows = mine.filter(due, free, in_order).order_by("next_due_at", "pk")
            if connection.features.has_select_for_update_skip_locked:
                rows = rows.select_for_update(skip_locked=True, of=("self",))
            claims.extend(_lease(row, endpoint, box, until) for row in rows[:room])
    return claims


def _lease(row: Delivery, endpoint: Endpoint, box: SecretBox, until: datetime) -> Claim:
    row.fence += 1
    row.lease_until = until
    row.save(update_fields=["fence", "lease_until"])
    return Claim(
        delivery=row.pk,
        fence=row.fence,
        number=row.attempts + 1,
        event=row.event,
        feedback=row.feedback_id,
        endpoint=endpoint.pk,
        endpoint_name=endpoint.name,
        request=_request(endpoint, row.webhook_id, bytes(row.body), box),
    )


def _request(endpoint: Endpoint, webhook_id: str, body: bytes, box: SecretBox) -> Request:
    try:
        secrets = () if endpoint.secret is None else (box.open(bytes(endpoint.secret)),)
    except GatewayError as error:
        return Request(endpoint.url, webhook_id, body, (), problem=str(error))
    return Request(endpoint.url, webhook_id, body, secrets)


def record(claimed: Claim, outcome: Outcome, decision: Decision, *, now: datetime) -> bool:
    """Write down what came of an attempt; tell whether it still counted.

    It does not if the lease ran out and somebody else has claimed the delivery since, or if it was cancelled.
    """
    values: dict[str, object] = {
        "attempts": claimed.number,
        "lease_until": None,
        "last_status": outcome.status,
        "last_error": outcome.error[:MAX_ERROR_CHARS],
    }
    if isinstance(decision, RetryAfter):
        values["next_due_at"] = now + timedelta(seconds=decision.delay_s)
    else:
        lost = isinstance(decision, Exhausted | Gone)
        values["state"] = Delivery.State.EXHAUSTED if lost else Delivery.State.DELIVERED
        values["next_due_at"] = None
        values["finished_at"] = now
    with transaction.atomic():
        mine = Delivery.objects.filter(pk=claimed.delivery, fence=claimed.fence, state=Delivery.State.PENDING)
        if not mine.update(**values):
            return False
        Attempt.objects.create(
            delivery_id=claimed.delivery,
            number=claimed.number,
            started_at=outcome.started_at,
            duration_ms=outcome.duration_ms,
            status=outcome.status,
            fault=outcome.fault or "",
            error=outcome.error[:MAX_ERROR_CHARS],
            answer=outcome.answer,
        )
        if isinstance(decision, Gone):
            Endpoint.objects.filter(pk=claimed.endpoint, enabled=True).update(
                enabled=False, disabled_reason="the receiver answered 410 Gone"
            )
    return True


def forget_leases() -> int:
    """Free what a former process had claimed; only for the one that alone runs on this database."""
    return Delivery.objects.filter(lease_until__isnull=False).update(lease_until=None, fence=F("fence") + 1)
