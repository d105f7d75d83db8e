"""Commits a batch of messages in one transaction and says what each sender is to be told."""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.models import F

from contract.messages import MAX_MESSAGE_BYTES, Receipt, Status
from contract.messages import Feedback as FeedbackMessage
from contract.messages import Reply as ReplyMessage
from contract.topics import Channel
from gateway.feedback import ingest
from gateway.feedback.ingest import Accepted, Arrival, Noted, Refused, Verdict
from gateway.feedback.models import Erasure, Feedback, Quarantine, Reply, TimeSource
from gateway.kiosks import presence, registry
from gateway.kiosks.models import Kiosk

logger = logging.getLogger(__name__)

MAX_TOPIC_CHARS = 500
MAX_QUARANTINED = 1_000
"""Of one kiosk, 125 MiB at most; what is refused beyond that is on the kiosk's shelf only."""

RACES = 3
"""So often a message alone may meet another worker that stores the same one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A receipt and the kiosk that it is for."""

    kiosk: str
    receipt: Receipt


class _Batch:
    """What is known in the database of the messages of one batch, kept up to date while they are stored."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        statuses = [arrival for arrival in arrivals if arrival.topic.endswith(f"/{Channel.STATUS}")]
        self.kiosks = _admitted(_senders(arrivals), _senders(statuses))
        self.verdicts = [ingest.judge(arrival, self.kiosks) for arrival in arrivals]
        accepted = [verdict for verdict in self.verdicts if isinstance(verdict, Accepted)]
        self.feedback = _hashes_of_feedback(accepted)
        self.replies = _hashes_of_replies(accepted)
        self.erased = _erased(accepted)
        self.new_feedback: list[Feedback] = []
        self.seen: dict[str, Arrival] = {}


def commit(arrivals: Sequence[Arrival]) -> list[Answer | None]:
    """Store the messages durably; return for each the answer to its sender, if there is one.

    A message that the database does not take is quarantined alone; the others of its batch are stored.

    Raises:
        OperationalError: the database cannot be written now; nothing was stored, and all of it has to be tried again.
    """
    try:
        return _commit_together(arrivals)
    except OperationalError:
        raise
    except (DatabaseError, ValueError, TypeError):
        return [_commit_alone(arrival) for arrival in arrivals]


def _commit_alone(arrival: Arrival) -> Answer | None:
    for _ in range(RACES):
        try:
            return _commit_together([arrival])[0]
        except IntegrityError:
            # Another worker may have stored the same message since it was looked up; now it is seen.
            continue
        except OperationalError:
            raise
        except (DatabaseError, ValueError, TypeError):
            break
    logger.warning("message not storable", extra={"topic": arrival.topic})
    with transaction.atomic():
        return _refuse(arrival, _unstorable(arrival))


def _commit_together(arrivals: Sequence[Arrival]) -> list[Answer | None]:
    with transaction.atomic():
        batch = _Batch(arrivals)
        answers = [_take(batch, arrival, verdict) for arrival, verdict in zip(arrivals, batch.verdicts, strict=True)]
        # In one order everywhere, so that two workers wait for each other and never in a circle.
        Feedback.objects.bulk_create(sorted(batch.new_feedback, key=lambda row: row.pk))
        for kiosk, arrival in sorted(batch.seen.items()):
            Kiosk.objects.filter(pk=kiosk).update(last_seen_at=arrival.received_at)
    for row in batch.new_feedback:
        logger.info("feedback stored", extra={"feedback": str(row.pk), "kiosk": row.kiosk_id})
    return answers


def _take(batch: _Batch, arrival: Arrival, verdict: Verdict) -> Answer | None:
    if isinstance(verdict, Refused):
        return _refuse(arrival, verdict)
    if isinstance(verdict, Noted):
        if not arrival.retained:
            batch.seen[verdict.status.kiosk] = arrival
        _note(batch.kiosks[verdict.status.kiosk], verdict.status, arrival)
        return None
    batch.seen[verdict.message.kiosk] = arrival
    if not batch.erased.isdisjoint(_records(verdict.message)):
        # Its kiosk had no receipt before it was erased here, and is to delete it as well.
        logger.info("erased record came again", extra={"record": verdict.message.id, "kiosk": verdict.message.kiosk})
        return Answer(verdict.message.kiosk, Receipt(id=verdict.message.id, outcome="stored"))
    if isinstance(verdict.message, FeedbackMessage):
        return _store_feedback(batch, arrival, verdict, verdict.message)
    return _store_reply(batch, arrival, verdict, verdict.message)


def _store_feedback(batch: _Batch, arrival: Arrival, verdict: Accepted, message: FeedbackMessage) -> Answer:
    key = UUID(message.id)
    known = batch.feedback.get(key)
    if known is not None and known != verdict.content_hash:
        return _refuse_conflict(arrival, verdict, "another feedback has this id already")
    if known is None:
        batch.feedback[key] = verdict.content_hash
        batch.new_feedback.append(
            Feedback(
                id=key,
                kiosk_id=message.kiosk,
                created_at=verdict.created_at,
                created_at_source=TimeSource.KIOSK if verdict.time_is_of_the_kiosk else TimeSource.RECEIPT,
                kiosk_created_at=message.created_at,
                clock=message.clock,
                received_at=arrival.received_at,
                transcript=message.transcript,
                language=message.language,
                confidence=message.confidence,
                words=msgspec.to_builtins(message.words),
                speech_s=message.speech_s,
                audio_s=message.audio_s,
                model=message.model,
                agent_version=message.agent_version,
                sequence=message.sequence,
                consent_version=message.consent_version,
                content_hash=verdict.content_hash,
            )
        )
    return Answer(message.kiosk, Receipt(id=message.id, outcome="stored"))


def _store_reply(batch: _Batch, arrival: Arrival, verdict: Accepted, message: ReplyMessage) -> Answer:
    key = UUID(message.id)
    known = batch.replies.get(key)
    if known is None:
        # Asked again, for another worker may have stored it since the batch was looked up.
        same = Reply.objects.filter(kiosk_id=message.kiosk, feedback_id=UUID(message.feedback_id))
        for other, content_hash in same.values_list("pk", "content_hash"):
            if other != key:
                return _refuse_conflict(arrival, verdict, "this feedback has a reply already")
            known = content_hash
    if known is not None and known != verdict.content_hash:
        return _refuse_conflict(arrival, verdict, "another reply has this id already")
    if known is None:
        Reply.objects.create(
            id=key,
            kiosk_id=message.kiosk,
            feedback_id=UUID(message.feedback_id),
            user_email=message.user_email,
            wants_reply=message.wants_reply,
            created_at=verdict.created_at,
            received_at=arrival.received_at,
            consent_version=message.consent_version,
            content_hash=verdict.content_hash,
        )
        batch.replies[key] = verdict.content_hash
        logger.info("reply stored", extra={"feedback": message.feedback_id, "kiosk": message.kiosk})
    return Answer(message.kiosk, Receipt(id=message.id, outcome="stored"))


def _note(kiosk: Kiosk, status: Status, arrival: Arrival) -> None:
    known = presence.Presence(kiosk.online, kiosk.session, kiosk.agent_version, kiosk.address)
    after = presence.step(known, status)
    if after == known:
        return
    kiosk.online, kiosk.session = after.online, after.session
    kiosk.agent_version, kiosk.address = after.agent_version, after.address
    if (after.online, after.session) != (known.online, known.session):
        kiosk.presence_changed_at = arrival.received_at
    kiosk.save(update_fields=["online", "session", "agent_version", "address", "presence_changed_at"])
    logger.info("kiosk is %s", status.state, extra={"kiosk": kiosk.pk, "session": status.session})


def _refuse_conflict(arrival: Arrival, verdict: Accepted, reason: str) -> Answer:
    message = verdict.message
    _quarantine(arrival, Refused(message.kiosk, UUID(message.id), reason))
    return Answer(message.kiosk, Receipt(id=message.id, outcome="refused", reason=reason))


def _refuse(arrival: Arrival, verdict: Refused) -> Answer | None:
    _quarantine(arrival, verdict)
    if verdict.kiosk is None or verdict.message_id is None:
        return None
    return Answer(verdict.kiosk, Receipt(id=str(verdict.message_id), outcome="refused", reason=verdict.reason))


def _quarantine(arrival: Arrival, verdict: Refused) -> None:
    topic = arrival.topic.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "")[:MAX_TOPIC_CHARS]
    digest = hashlib.sha256(arrival.payload).hexdigest()
    again = Quarantine.objects.filter(topic=topic, digest=digest).update(
        times=F("times") + 1, last_received_at=arrival.received_at, reason=verdict.reason
    )
    kept = again or Quarantine.objects.filter(kiosk=verdict.kiosk or "").count() < MAX_QUARANTINED
    if kept and not again:
        Quarantine.objects.create(
            topic=topic,
            kiosk=verdict.kiosk or "",
            message_id=verdict.message_id,
            reason=verdict.reason,
            raw=arrival.payload[:MAX_MESSAGE_BYTES],
            raw_bytes=len(arrival.payload),
            digest=digest,
            received_at=arrival.received_at,
            last_received_at=arrival.received_at,
        )
    logger.warning(
        "message quarantined" if kept else "message refused, and not kept: the quarantine of its kiosk is full",
        extra={
            "kiosk": verdict.kiosk,
            "message_id": None if verdict.message_id is None else str(verdict.message_id),
            "reason": verdict.reason,
        },
    )


def _senders(arrivals: Iterable[Arrival]) -> set[str]:
    return {arrival.sender for arrival in arrivals if arrival.sender is not None}


def _admitted(named: set[str], written: set[str]) -> dict[str, Kiosk]:
    """Return those kiosks of ``named`` that are admitted; nobody else writes about ``written`` until this is stored."""
    admitted = registry.admitted()
    found = {row.pk: row for row in admitted.filter(pk__in=named)}
    if written and connection.features.has_select_for_update:
        found |= {row.pk: row for row in admitted.filter(pk__in=written).select_for_update()}
    return found


def _unstorable(arrival: Arrival) -> Refused:
    return Refused(arrival.sender, ingest.find_id(arrival.payload), "the gateway's database does not take this message")


def _hashes_of_feedback(accepted: Iterable[Accepted]) -> dict[UUID, str]:
    ids = _ids(verdict.message for verdict in accepted if isinstance(verdict.message, FeedbackMessage))
    return dict(Feedback.objects.filter(pk__in=ids).values_list("pk", "content_hash")) if ids else {}


def _hashes_of_replies(accepted: Iterable[Accepted]) -> dict[UUID, str]:
    ids = _ids(verdict.message for verdict in accepted if isinstance(verdict.message, ReplyMessage))
    return dict(Reply.objects.filter(pk__in=ids).values_list("pk", "content_hash")) if ids else {}


def _erased(accepted: Iterable[Accepted]) -> set[UUID]:
    ids = [record for verdict in accepted for record in _records(verdict.message)]
    return set(Erasure.objects.filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()


def _records(message: FeedbackMessage | ReplyMessage) -> list[UUID]:
    """Return the ids under which a message, or what it belongs to, may have been erased."""
    own = UUID(message.id)
    return [own] if isinstance(message, FeedbackMessage) else [own, UUID(message.feedback_id)]


def _ids(found: Iterable[FeedbackMessage | ReplyMessage]) -> list[UUID]:
    return list(OrderedDict.fromkeys(UUID(message.id) for message in found))
