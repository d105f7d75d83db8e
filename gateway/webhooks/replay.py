"""Sending again what has come to its end: one delivery, those of a filter, those of a window of time."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from gateway.errors import GatewayError
from gateway.webhooks import outbox
from gateway.webhooks.models import Delivery, Endpoint

STATES = (Delivery.State.EXHAUSTED, Delivery.State.CANCELLED, Delivery.State.DELIVERED)
BATCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries; every part that is set narrows it."""

    endpoint: Endpoint | None = None
    states: tuple[str, ...] = (Delivery.State.EXHAUSTED, Delivery.State.CANCELLED)
    since: datetime | None = None
    """Made at this time or later."""
    until: datetime | None = None
    """Made before this time."""


def one(webhook_id: str, *, now: datetime) -> Delivery:
    """Send one delivery again, whatever has become of it.

    Raises:
        GatewayError: there is none of this ``Webhook-Id``, it is under way, or its endpoint is off.
    """
    found = Delivery.objects.select_related("endpoint").defer("body").filter(webhook_id=webhook_id).first()
    if found is None:
        raise GatewayError(
            f"there is no delivery {webhook_id[:100]!r}; `kiosk-gateway deliveries list` shows their ids"
        )
    _check(found.endpoint)
    if found.state == Delivery.State.PENDING:
        raise GatewayError(f"the delivery {webhook_id} is not at its end: it is sent by itself, see next_due_at")
    _make_due(Delivery.objects.filter(pk=found.pk), now)
    return found


def several(selection: Selection, *, now: datetime) -> int:
    """Send deliveries again, of enabled endpoints only; return how many.

    Each keeps its ``Webhook-Id``, its bytes and its attempts, and begins the schedule anew.

    Raises:
        GatewayError: the endpoint is off.
    """
    if selection.endpoint is not None:
        _check(selection.endpoint)
    rows = Delivery.objects.filter(state__in=selection.states, endpoint__enabled=True)
    if selection.endpoint is not None:
        rows = rows.filter(endpoint=selection.endpoint)
    if selection.since is not None:
        rows = rows.filter(created_at__gte=selection.since)
    if selection.until is not None:
        rows = rows.filter(created_at__lt=selection.until)
    return _make_all_due(rows, now)


def resume(endpoint: Endpoint, *, now: datetime) -> int:
    """Enable an endpoint and send what was cancelled because it was disabled; return how many deliveries.

    Raises:
        GatewayError: it was removed.
    """
    outbox.enable(endpoint.pk)
    cancelled = Delivery.objects.filter(endpoint=endpoint, cancelled_because=Delivery.Cancelled.DISABLED)
    return _make_all_due(cancelled.filter(state=Delivery.State.CANCELLED), now)


def _check(endpoint: Endpoint) -> None:
    if endpoint.removed_at is not None:
        raise GatewayError(f"the endpoint {endpoint.name} was removed; nothing can be sent to it any more")
    if not endpoint.enabled:
        raise GatewayError(
            f"the endpoint {endpoint.name} is disabled: `kiosk-gateway endpoint resume {endpoint.name}` enables it and "
            "sends what was held back"
        )


def _make_all_due(rows: QuerySet[Delivery], now: datetime) -> int:
    # In batches, so that nobody waits long for the database; what died half done is done by asking again.
    done, last = 0, 0
    while keys := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH_ROWS]):
        done += _make_due(Delivery.objects.filter(pk__in=keys), now)
        last = keys[-1]
    return done


def _make_due(rows: QuerySet[Delivery], now: datetime) -> int:
    with transaction.atomic():
        return rows.filter(state__in=STATES).update(
            state=Delivery.State.PENDING,
            cancelled_because="",
            tries=0,
            next_due_at=now,
            finished_at=None,
            lease_until=None,
            slot=None,
        )
