"""Stores the newest health of each kiosk: one row each, a few seconds' messages in one short transaction."""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F

from contract import messages, text, topics
from contract.health import Health, overall, troubled
from gateway.kiosks.health_inbox import HealthArrival, HealthInbox
from gateway.kiosks.models import Kiosk, KioskHealth

logger = logging.getLogger(__name__)

EVERY_S = 5.0
BATCH = 100
"""Kiosks in one transaction: a few milliseconds, for which feedback may wait."""
OLD_S = 600.0
"""A kiosk may be set to tell every hour; most tell every minute."""
MAX_REASON_CHARS = 500

_STORED = ["received_at", "state", "problems", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """A message that could be read."""

    kiosk: str
    received_at: datetime
    health: Health


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that could not, and why."""

    kiosk: str
    received_at: datetime
    reason: str


class HealthKeeper:
    """Takes from the inbox; `turn` is to be run by a `gateway.loop.Loop`."""

    def __init__(self, inbox: HealthInbox, every_s: float = EVERY_S) -> None:
        self._inbox = inbox
        self._every_s = every_s
        self._overflowed = False
        self._unreadable: set[str] = set()

    def turn(self, stop: threading.Event) -> None:
        """Wait a little, then store what has come.

        Raises:
            django.db.OperationalError: the database cannot be written; what came is dropped and will come again.
        """
        stop.wait(self._every_s)
        newest, dropped = self._inbox.take()
        self._tell_of_drops(dropped)
        arrivals = iter(newest.values())
        while batch := list(islice(arrivals, BATCH)):
            self._store([judge(arrival) for arrival in batch])

    def _store(self, judged: Sequence[Report | Unreadable]) -> None:
        with transaction.atomic():
            wanted = [each.kiosk for each in judged]
            admitted = set(Kiosk.objects.filter(pk__in=wanted, removed_at__isnull=True).values_list("pk", flat=True))
            known = [each for each in judged if each.kiosk in admitted]
            reports = [each for each in known if isinstance(each, Report)]
            KioskHealth.objects.bulk_create(
                [_row(report) for report in reports],
                update_conflicts=True,
                unique_fields=["kiosk"],
                update_fields=_STORED,
            )
            if reports:
                # They came within seconds of each other: one statement, and one time for all.
                seen_at = max(report.received_at for report in reports)
                Kiosk.objects.filter(pk__in=[report.kiosk for report in reports]).update(last_seen_at=seen_at)
            for each in known:
                if isinstance(each, Unreadable):
                    _count(each)
        self._tell(known)

    def _tell(self, known: Iterable[Report | Unreadable]) -> None:
        """Log the first unreadable message of each kiosk, and the first that can be read again."""
        for each in known:
            if isinstance(each, Unreadable) and each.kiosk not in self._unreadable:
                self._unreadable.add(each.kiosk)
                logger.warning(
                    "a kiosk's health cannot be read and is dropped",
                    extra={"kiosk": each.kiosk, "reason": each.reason},
                )
            elif isinstance(each, Report) and each.kiosk in self._unreadable:
                self._unreadable.discard(each.kiosk)
                logger.info("the kiosk's health can be read again", extra={"kiosk": each.kiosk})

    def _tell_of_drops(self, dropped: int) -> None:
        if dropped and not self._overflowed:
            logger.warning("more health than can be kept: some is dropped", extra={"messages": dropped})
        self._overflowed = bool(dropped)


def judge(arrival: HealthArrival) -> Report | Unreadable:
    """Decode one message."""
    try:
        kiosk = topics.parse(arrival.topic).kiosk
    except topics.TopicError as error:
        return Unreadable("", arrival.received_at, str(error)[:MAX_REASON_CHARS])
    try:
        health = messages.decode(Health, arrival.payload)
    except messages.MessageError as error:
        return Unreadable(kiosk, arrival.received_at, str(error)[:MAX_REASON_CHARS])
    if health.kiosk != kiosk:
        return Unreadable(kiosk, arrival.received_at, "the message names another kiosk than its topic")
    return Report(kiosk, arrival.received_at, health)


def health_of(row: KioskHealth) -> Health | None:
    """Return the health that is stored; None if there is none that this version can read."""
    try:
        return None if row.report is None else msgspec.convert(row.report, Health)
    except msgspec.ValidationError:
        return None


def is_old(received_at: datetime, now: datetime) -> bool:
    """Tell whether a kiosk that is online should have sent its health since."""
    return (now - received_at).total_seconds() > OLD_S


def _row(report: Report) -> KioskHealth:
    return KioskHealth(
        kiosk_id=report.kiosk,
        received_at=report.received_at,
        state=overall(report.health),
        problems=len(troubled(report.health)),
        report=_clean(msgspec.to_builtins(report.health)),
    )


def _count(unreadable: Unreadable) -> None:
    changed = KioskHealth.objects.filter(pk=unreadable.kiosk).update(
        unreadable=F("unreadable") + 1, unreadable_reason=unreadable.reason
    )
    if not changed:
        KioskHealth.objects.create(kiosk_id=unreadable.kiosk, unreadable=1, unreadable_reason=unreadable.reason)


def _clean(tree: Any) -> Any:
    """Return a message's tree with every text as the database takes it."""
    match tree:
        case str():
            return text.clean(tree, len(tree))
        case dict():
            return {key: _clean(value) for key, value in tree.items()}
        case list() | tuple():
            return [_clean(value) for value in tree]
        case _:
            return tree
