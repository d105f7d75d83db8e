"""Erases what is past its time, a little at a time."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from gateway import erasure
from gateway.configuration import RetentionSettings
from gateway.feedback.models import Erasure, Feedback, Quarantine, Reply
from gateway.webhooks.models import Delivery

logger = logging.getLogger(__name__)

EVERY_S = 3_600.0
BATCH_ROWS = 200
"""One transaction erases so many at most, so that nobody waits for it long."""


class Retention:
    """Looks once an hour; `turn` is to be run by a `gateway.loop.Loop`."""

    def __init__(self, settings: RetentionSettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._clock = clock
        self._due_s = 0.0

    def turn(self, stop: threading.Event) -> None:
        """Erase what is past its time if an hour has gone by, and wait a moment."""
        if time.monotonic() >= self._due_s:
            if any(self.work(stop).values()):
                erasure.make_final()
            self._due_s = time.monotonic() + EVERY_S
        stop.wait(1.0)

    def work(self, stop: threading.Event) -> dict[str, int]:
        """Erase everything that is past its time; return how many rows of each class."""
        settings, now = self._settings, self._clock()
        classes: list[tuple[str, int, Callable[[datetime], int]]] = [
            ("feedback", settings.feedback_days, self._feedback),
            ("addresses", settings.address_days, self._addresses),
            ("deliveries", settings.delivery_days, self._deliveries),
            ("quarantined", settings.quarantine_days, self._quarantined),
        ]
        erased: dict[str, int] = {}
        for name, days, erase in classes:
            if days:
                erased[name] = _repeat(erase, now - timedelta(days=days), stop)
        if any(erased.values()):
            logger.info("what was past its time is erased", extra=dict(erased))
        return erased

    def _feedback(self, before: datetime) -> int:
        rows = Feedback.objects.filter(received_at__lt=before, state=Feedback.State.ANALYSED)
        rows = rows.exclude(deliveries__state=Delivery.State.PENDING).order_by("received_at")
        keys = list(rows.values_list("pk", flat=True)[:BATCH_ROWS])
        if keys:
            erasure.erase_feedback(keys, now=self._clock(), cause=Erasure.Cause.RETENTION)
        return len(keys)

    def _addresses(self, before: datetime) -> int:
        pending = Delivery.objects.filter(state=Delivery.State.PENDING, event="feedback.wants_reply")
        rows = Reply.objects.filter(received_at__lt=before).exclude(feedback_id__in=pending.values("feedback_id"))
        replies = list(rows.order_by("received_at")[:BATCH_ROWS])
        if replies:
            erasure.erase_replies(replies, now=self._clock())
        return len(replies)

    def _deliveries(self, before: datetime) -> int:
        # By the primary key, which grows with the time of making: nothing that is new is looked at.
        oldest = Delivery.objects.order_by("pk").values_list("pk", "created_at", "finished_at")
        keys: list[int] = []
        for key, created_at, finished_at in oldest.iterator(chunk_size=BATCH_ROWS):
            if created_at >= before or len(keys) == BATCH_ROWS:
                break
            if finished_at is not None and finished_at < before:
                keys.append(key)
        Delivery.objects.filter(pk__in=keys).delete()
        return len(keys)

    def _quarantined(self, before: datetime) -> int:
        rows = Quarantine.objects.filter(last_received_at__lt=before).order_by("last_received_at")
        keys = list(rows.values_list("pk", flat=True)[:BATCH_ROWS])
        Quarantine.objects.filter(pk__in=keys).delete()
        return len(keys)


def _repeat(erase: Callable[[datetime], int], before: datetime, stop: threading.Event) -> int:
    erased = 0
    while not stop.is_set() and (batch := erase(before)):
        erased += batch
    return erased
