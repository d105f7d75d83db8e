"""The way of one feedback through the gateway, step by step, without a word of what was said."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from gateway.analysis.models import FeedbackAnalysis
from gateway.feedback.models import Erasure, Feedback, Quarantine, Reply, TimeSource
from gateway.webhooks.models import Attempt, Delivery


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to it."""

    at: datetime
    what: str
    fields: dict[str, object] = field(default_factory=dict)


def of(feedback: UUID) -> list[Step]:
    """Return every step that is known, in the order of time; none if nothing is known of this id."""
    steps = [*_visit(feedback), *_replies(feedback), *_deliveries(feedback), *_refused(feedback), *_erased(feedback)]
    return sorted(steps, key=lambda step: step.at)


def _visit(key: UUID) -> Iterator[Step]:
    row = Feedback.objects.filter(pk=key).first()
    if row is None:
        return
    if row.created_at_source == TimeSource.KIOSK:
        spoken = {"speech_s": row.speech_s, "audio_s": row.audio_s, "language": row.language, "model": row.model}
        yield Step(
            row.created_at, "the visitor pressed the button", {"kiosk": row.kiosk_id, "clock": row.clock, **spoken}
        )
    fields = {"kiosk": row.kiosk_id, "sequence": row.sequence, "agent": row.agent_version}
    yield Step(row.received_at, "received and stored; its kiosk has a receipt", fields)
    analysis = FeedbackAnalysis.objects.filter(pk=key).first()
    if analysis is not None:
        found = {"status": analysis.status, "engine": analysis.engine, "ms": analysis.duration_ms}
        yield Step(analysis.finished_at, "analysed", found)


def _replies(key: UUID) -> Iterator[Step]:
    for row in Reply.objects.filter(feedback_id=key):
        fields = {"reply": str(row.pk), "wants_reply": row.wants_reply, "state": row.state}
        yield Step(row.received_at, "an e-mail address came in", fields)


def _deliveries(key: UUID) -> Iterator[Step]:
    for row in Delivery.objects.filter(feedback_id=key).select_related("endpoint").defer("body"):
        name: dict[str, object] = {"event": row.event, "endpoint": row.endpoint.name, "webhook_id": row.webhook_id}
        yield Step(row.created_at, "webhook made", name)
        for attempt in Attempt.objects.filter(delivery=row):
            yield _attempt(attempt, name)
        if row.finished_at is not None:
            yield Step(row.finished_at, f"webhook {row.state}", {**name, "attempts": row.attempts})
        elif row.next_due_at is not None and row.attempts:
            yield Step(row.next_due_at, "webhook due again", name)


def _attempt(attempt: Attempt, name: dict[str, object]) -> Step:
    fields: dict[str, object] = {**name, "attempt": attempt.number, "status": attempt.status}
    if attempt.fault:
        fields |= {"fault": attempt.fault, "error": attempt.error}
    at = attempt.started_at + timedelta(milliseconds=attempt.duration_ms)
    return Step(at, "webhook attempted", {**fields, "ms": attempt.duration_ms})


def _refused(key: UUID) -> Iterator[Step]:
    for row in Quarantine.objects.filter(message_id=key).defer("raw"):
        fields = {"quarantine": row.pk, "reason": row.reason, "times": row.times}
        yield Step(row.received_at, "a message with this id was refused", fields)


def _erased(key: UUID) -> Iterator[Step]:
    for row in Erasure.objects.filter(pk=key):
        yield Step(row.erased_at, "erased", {"cause": row.cause})
