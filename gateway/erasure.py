"""Erasing what visitors said and left: everywhere it was copied to, for good, with only the id written down."""

import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q

from gateway import database
from gateway.feedback.models import Erasure, Feedback, Quarantine, Reply
from gateway.webhooks.models import Delivery

QUARANTINE_ROWS = 50
"""So many are in memory at once; each may have 128 KiB."""

CHECKPOINT_S = 10.0
CHECKPOINT_EVERY_S = 0.1

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Copy:
    """A webhook of what was erased that its receiver may have: it was sent, and may have arrived whatever came back."""

    endpoint: str
    webhook_id: str
    feedback: UUID


@dataclass(slots=True)
class Report:
    """What was erased."""

    feedback: int = 0
    replies: int = 0
    deliveries: int = 0
    quarantined: int = 0
    copies: list[Copy] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.feedback or self.replies or self.deliveries or self.quarantined)


def erase_feedback(ids: Collection[UUID], *, now: datetime, cause: Erasure.Cause = Erasure.Cause.REQUEST) -> Report:
    """Erase feedback with its analysis, replies, deliveries, attempts and what of it is in the quarantine.

    An id that is not known here is written down as well: its record may still be on its way from the kiosk.
    """
    texts = [str(key) for key in ids]
    quarantined = _quarantined(texts) if cause is Erasure.Cause.REQUEST else []
    with transaction.atomic():
        return _erase(set(ids), quarantined, now, cause)


def erase_address(address: str, *, now: datetime) -> Report:
    """Erase every reply that holds an e-mail address, in whatever case, and the feedback that each belongs to."""
    quarantined = _quarantined([address])
    with transaction.atomic():
        ids = set(Reply.objects.filter(user_email__iexact=address).values_list("feedback_id", flat=True))
        quarantined += [number for number in _quarantined([str(key) for key in ids]) if number not in quarantined]
        return _erase(ids, quarantined, now, Erasure.Cause.REQUEST)


def erase_replies(replies: Collection[Reply], *, now: datetime) -> Report:
    """Erase replies that are past their time, with the webhooks that carry their addresses; the feedback stays."""
    feedback = {reply.feedback_id for reply in replies}
    with transaction.atomic():
        carrying = Delivery.objects.filter(feedback_id__in=feedback, event="feedback.wants_reply")
        deliveries = carrying.count()
        carrying.delete()
        keys = [reply.pk for reply in replies]
        Reply.objects.filter(pk__in=keys).delete()
        _write_down(keys, now, Erasure.Cause.RETENTION)
    return Report(replies=len(keys), deliveries=deliveries)


def make_final() -> bool:
    """Take what was erased out of the files of the database as far as that can be done; tell whether it was.

    To be called outside of a transaction. On SQLite the write-ahead log still holds what was erased, until it is
    emptied; that needs a moment in which nobody reads. PostgreSQL's own log, replicas and archives are not reached.
    """
    if database.is_postgresql():
        with connection.cursor() as cursor:
            for table in connection.introspection.django_table_names(only_existing=True):
                cursor.execute(f"VACUUM {connection.ops.quote_name(table)}")
        return True
    end = time.monotonic() + CHECKPOINT_S
    while True:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy, _, _ = cursor.fetchone()
        if not busy:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(CHECKPOINT_EVERY_S)


def _erase(ids: set[UUID], quarantined: Collection[int], now: datetime, cause: Erasure.Cause) -> Report:
    replies = list(Reply.objects.filter(feedback_id__in=ids).values_list("pk", flat=True))
    deliveries = Delivery.objects.filter(feedback_id__in=ids)
    sent = deliveries.filter(Q(attempts__gt=0) | Q(lease_until__isnull=False)).order_by("pk")
    report = Report(
        feedback=Feedback.objects.filter(pk__in=ids).count(),
        replies=len(replies),
        deliveries=deliveries.count(),
        quarantined=len(quarantined),
        copies=[Copy(*row) for row in sent.values_list("endpoint__name", "webhook_id", "feedback_id")],
    )
    deliveries.delete()
    Reply.objects.filter(pk__in=replies).delete()
    Feedback.objects.filter(pk__in=ids).delete()
    Quarantine.objects.filter(pk__in=quarantined).delete()
    _write_down([*ids, *replies], now, cause)
    return report


def _write_down(keys: Iterable[UUID], now: datetime, cause: Erasure.Cause) -> None:
    rows = [Erasure(record_id=key, erased_at=now, cause=cause) for key in keys]
    Erasure.objects.bulk_create(rows, ignore_conflicts=True)


def _quarantined(texts: Collection[str]) -> list[int]:
    """Return the entries of the quarantine in which one of ``texts`` stands, in whatever case, escaped or not."""
    wanted = [text.casefold() for text in texts]
    found: list[int] = []
    if not wanted:
        return found
    for number, message_id, raw in Quarantine.objects.values_list("pk", "message_id", "raw").iterator(QUARANTINE_ROWS):
        content = bytes(raw).decode("utf-8", "replace")
        plain = f"{message_id}\n{content}\n{_ESCAPE.sub(_unescaped, content)}".casefold()
        if any(text in plain for text in wanted):
            found.append(number)
    return found


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))
