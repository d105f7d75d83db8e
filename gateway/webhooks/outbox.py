"""The outbox: deliveries are made in the transaction that gives cause, claimed with a lease, ended under its fence."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from contract.webhook import Event, Payload, event_of
from gateway.webhooks import access, filters, forms, standing, standing_rows
from gateway.webhooks.access import Access
from gateway.webhooks.attempt import Form, Request
from gateway.webhooks.models import Delivery, Endpoint
from gateway.webhooks.secrets import SecretBox
from gateway.webhooks.standing import Limits

LEASE_MARGIN_S = 20.0

_ENDED = (Delivery.State.DELIVERED, Delivery.State.EXHAUSTED, Delivery.State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Rules:
    """How much is claimed at once, and when an endpoint is left alone."""

    per_endpoint: int = 4
    """So that one receiver that hangs holds no more than so many requests."""
    limits: Limits = Limits(silences=5, disable_after_s=432_000.0)  # noqa: RUF009 (frozen)


RULES = Rules()


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt that may now be made."""

    delivery: int
    fence: int
    slot: int
    """Those of one slot are for one hand, which makes one attempt after another."""
    number: int
    tries: int
    """How many attempts of this round of the schedule were made before."""
    event: str
    feedback: UUID
    endpoint: int
    endpoint_name: str
    request: Request


def enqueue(payload: Payload, *, now: datetime) -> int:
    """Make the deliveries of one event for every endpoint that wants it; return how many are to be sent.

    For an endpoint that is disabled they are made too, cancelled, so that they can be sent when it works again. To be
    called within the transaction that gives cause to them. Done again, it does nothing.
    """
    event = event_of(payload)
    feedback = UUID(payload.id)
    bodies: dict[Form, bytes] = {}
    made = 0
    for endpoint in _that_want(payload, feedback):
        same = Delivery.objects.filter(endpoint=endpoint, feedback_id=feedback)
        if same.filter(event=event).exists():
            continue
        form = Form(endpoint.form)
        if form not in bodies:
            bodies[form] = forms.body(form, payload)
        Delivery.objects.create(
            webhook_id=str(uuid4()),
            event=event,
            endpoint=endpoint,
            feedback_id=feedback,
            after=None if event == Event.FEEDBACK_NEW else same.filter(event=Event.FEEDBACK_NEW).first(),
            body=bodies[form],
            created_at=now,
            **({"next_due_at": now} if endpoint.enabled else _cancelled(Delivery.Cancelled.DISABLED, now)),
        )
        made += endpoint.enabled
    return made


def _that_want(payload: Payload, feedback: UUID) -> list[Endpoint]:
    found = list(Endpoint.objects.filter(removed_at__isnull=True))
    if not any(endpoint.filters for endpoint in found):
        return found
    kiosk, is_testimonial = forms.origin(feedback)
    return [
        endpoint
        for endpoint in found
        if filters.load(endpoint.filters).let_through(payload, kiosk=kiosk, is_testimonial=is_testimonial)
    ]


def _cancelled(because: Delivery.Cancelled, now: datetime) -> dict[str, object]:
    return {
        "state": Delivery.State.CANCELLED,
        "cancelled_because": because,
        "next_due_at": None,
        "lease_until": None,
        "slot": None,
        "finished_at": now,
    }


def cancel(endpoint: int, because: Delivery.Cancelled, *, now: datetime) -> int:
    """Cancel what is pending for an endpoint; return how many that were.

    An attempt that is under way and succeeds still counts.
    """
    pending = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING)
    return pending.update(**_cancelled(because, now))


def lease_s(deadline_s: float) -> float:
    """Return how long a claim lasts: more than two deadlines, so that an older one belongs to a process that died."""
    return 2 * deadline_s + LEASE_MARGIN_S


def claim(
    most: int,
    box: SecretBox,
    *,
    now: datetime,
    lease_s: float,
    rules: Rules = RULES,
    rows: Callable[[int], int] = lambda _endpoint: 1,
    refill: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> list[Claim]:
    """Claim due attempts for ``lease_s`` seconds, the oldest of each endpoint first, in up to ``most`` slots.

    A delivery waits for the one that it comes ``after``; endpoints that are disabled or paused are left alone. Of
    one endpoint no more than a few slots are out at any time, over all processes.

    Args:
        most: how many slots there are hands for.
        box: opens the endpoints' secrets.
        now: the time.
        lease_s: how long nobody else may claim them.
        rules: how many slots of one endpoint may be out.
        rows: how many deliveries of an endpoint go into one slot.
        refill: slots by endpoint that this process has and that get more.
    """
    enabled = Endpoint.objects.filter(enabled=True)
    endpoints = [each.pk for each in enabled if _room(each, rules, now) and _due(each, now).exists()]
    claims: list[Claim] = []
    if not endpoints or (most <= 0 and not refill):
        return claims
    until = now + timedelta(seconds=lease_s)
    with transaction.atomic():
        for endpoint in _locked(enabled.filter(pk__in=endpoints)):
            mine = refill.get(endpoint.pk, ())
            slots = [*mine, *_new_slots(endpoint, most, rules, now)]
            claimed = _claim_of(endpoint, slots, rows(endpoint.pk), access.of(endpoint, box, now=now), now, until)
            claims.extend(claimed)
            most -= len({each.slot for each in claimed} - set(mine))
    return claims


def _locked(endpoints: QuerySet[Endpoint]) -> list[Endpoint]:
    # Whoever holds an endpoint's row counts its slots alone; on SQLite the transaction itself is alone.
    if connection.features.has_select_for_update_skip_locked:
        endpoints = endpoints.select_for_update(skip_locked=True)
    found = list(endpoints)
    # By chance, so that with more to do than hands to do it none is always the last.
    random.shuffle(found)
    return found


def _room(endpoint: Endpoint, rules: Rules, now: datetime) -> int:
    return standing.room(standing_rows.of(endpoint), rules.per_endpoint, now=now)


def _due(endpoint: Endpoint, now: datetime) -> QuerySet[Delivery]:
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    in_order = Q(after__isnull=True) | Q(after__state__in=_ENDED)
    mine = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING, next_due_at__lte=now)
    return mine.filter(free, in_order)


def _new_slots(endpoint: Endpoint, most: int, rules: Rules, now: datetime) -> list[int]:
    """Return numbers for as many slots as may be out beside those that are."""
    # That it is not null follows, but the index is found only if it is said.
    pending = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING)
    leased = pending.filter(lease_until__isnull=False, lease_until__gt=now)
    out = leased.values("slot").distinct().count()
    return [random.getrandbits(62) for _ in range(min(_room(endpoint, rules, now) - out, most))]


def _claim_of(
    endpoint: Endpoint, slots: Sequence[int], rows: int, way: Access, now: datetime, until: datetime
) -> list[Claim]:
    if standing.is_careful(standing_rows.of(endpoint)):
        rows = 1
    fields = ("pk", "fence", "attempts", "tries", "webhook_id", "event", "feedback_id", "body")
    due = _due(endpoint, now).order_by("next_due_at", "pk").values_list(*fields)
    found = list(due[: len(slots) * rows])
    in_slot = -(-len(found) // max(len(slots), 1))
    claims: list[Claim] = []
    for place, slot in enumerate(slots):
        part = found[place * in_slot : (place + 1) * in_slot]
        if not part:
            break
        mine = Delivery.objects.filter(pk__in=[row[0] for row in part], state=Delivery.State.PENDING)
        if mine.update(fence=F("fence") + 1, lease_until=until, slot=slot) != len(part):
            kept = set(Delivery.objects.filter(slot=slot).values_list("pk", flat=True))
            part = [row for row in part if row[0] in kept]
        claims.extend(_made_claim(endpoint, row, slot, way) for row in part)
    return claims


def _made_claim(
    endpoint: Endpoint, row: tuple[int, int, int, int, str, str, UUID, bytes], slot: int, way: Access
) -> Claim:
    pk, fence, attempts, tries, webhook_id, event, feedback, body = row
    return Claim(
        delivery=pk,
        fence=fence + 1,
        slot=slot,
        number=attempts + 1,
        tries=tries,
        event=event,
        feedback=feedback,
        endpoint=endpoint.pk,
        endpoint_name=endpoint.name,
        request=way.request(webhook_id, bytes(body)),
    )


def give_back(claims: Iterable[Claim]) -> None:
    """Free what was claimed and not attempted."""
    fences = {each.delivery: each.fence for each in claims}
    if not fences:
        return
    with transaction.atomic():
        mine = [pk for pk, fence in _fences(fences) if fences[pk] == fence]
        Delivery.objects.filter(pk__in=mine, state=Delivery.State.PENDING).update(lease_until=None, slot=None)


def _fences(keys: Iterable[int]) -> list[tuple[int, int]]:
    rows = Delivery.objects.filter(pk__in=list(keys))
    if connection.features.has_select_for_update:
        rows = rows.select_for_update()
    return list(rows.values_list("pk", "fence"))


def forget_leases() -> int:
    """Free what a former process had claimed; only for the one that alone runs on this database."""
    # That they are pending follows, but the index is found only if it is said.
    leased = Delivery.objects.filter(state=Delivery.State.PENDING, lease_until__isnull=False)
    return leased.update(lease_until=None, slot=None, fence=F("fence") + 1)


def disable(endpoint: int, reason: str, *, now: datetime) -> int:
    """Disable an endpoint and cancel what is pending for it; return how many deliveries that were."""
    Endpoint.objects.filter(pk=endpoint, enabled=True).update(enabled=False, disabled_reason=reason[:200])
    return cancel(endpoint, Delivery.Cancelled.DISABLED, now=now)


def enable(endpoint: int) -> None:
    """Enable an endpoint, as one of which nothing bad is known."""
    Endpoint.objects.filter(pk=endpoint).update(
        enabled=True, disabled_reason="", **standing_rows.columns(standing.GOOD)
    )
