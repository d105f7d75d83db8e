"""Feedback, replies, and what could not be either."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Func, IntegerField, Q
from django.db.models.lookups import LessThanOrEqual

from contract.messages import MAX_MESSAGE_BYTES
from contract.text import MAX_TRANSCRIPT_CHARS
from gateway.kiosks.models import Kiosk


class Clock(models.TextChoices):
    """Whether a kiosk's clock was right when it noted a time."""

    SYNCHRONISED = "synchronised"
    UNSYNCHRONISED = "unsynchronised"


class TimeSource(models.TextChoices):
    """Where ``created_at`` comes from."""

    KIOSK = "kiosk"
    RECEIPT = "receipt"
    """The kiosk's time could not be believed; it is the time at which the message came in."""


class Feedback(models.Model):
    """One feedback of a visitor."""

    class State(models.TextChoices):
        """How far it has come."""

        RECEIVED = "received"
        ANALYSED = "analysed"

    id = models.UUIDField(primary_key=True)
    kiosk = models.ForeignKey(Kiosk, models.PROTECT)
    state = models.CharField(max_length=16, choices=State, default=State.RECEIVED)
    created_at = models.DateTimeField()
    created_at_source = models.CharField(max_length=16, choices=TimeSource)
    kiosk_created_at = models.DateTimeField()
    """The time that the kiosk said."""
    clock = models.CharField(max_length=16, choices=Clock)
    received_at = models.DateTimeField()
    transcript = models.TextField(null=True, max_length=MAX_TRANSCRIPT_CHARS)
    language = models.CharField(max_length=32)
    confidence = models.FloatField(null=True)
    words = models.JSONField(default=list)
    speech_s = models.FloatField()
    audio_s = models.FloatField()
    model = models.CharField(max_length=200)
    agent_version = models.CharField(max_length=200)
    sequence = models.BigIntegerField()
    consent_version = models.CharField(max_length=200, null=True)
    content_hash = models.CharField(max_length=64)
    """SHA-256 of what may not differ when the same feedback comes again."""
    claimed_until = models.DateTimeField(null=True)
    """Until then one process analyses it, where several work on one database."""

    class Meta:
        """Constraints and indexes."""

        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=["received", "analysed"]), name="feedback_state_is_known"),
            models.CheckConstraint(
                condition=Q(confidence__isnull=True) | Q(confidence__gte=0, confidence__lte=1),
                name="feedback_confidence_is_a_share",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["received_at"], condition=Q(state="received"), name="feedback_to_analyse"),
            models.Index(fields=["kiosk", "-created_at"], name="feedback_of_kiosk"),
            models.Index(fields=["received_at"], name="feedback_by_time"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Reply(models.Model):
    """An e-mail address that a visitor left for one feedback, which may come in later than this."""

    class State(models.TextChoices):
        """How far it has come."""

        RECEIVED = "received"
        SETTLED = "settled"
        """Its webhooks are in the outbox, or none was asked for."""
        MISMATCHED = "mismatched"
        """Its feedback is another kiosk's; it is kept, and nothing is sent."""

    id = models.UUIDField(primary_key=True)
    kiosk = models.ForeignKey(Kiosk, models.PROTECT)
    feedback_id = models.UUIDField()
    state = models.CharField(max_length=16, choices=State, default=State.RECEIVED)
    user_email = models.CharField(max_length=254)
    wants_reply = models.BooleanField()
    created_at = models.DateTimeField()
    received_at = models.DateTimeField()
    consent_version = models.CharField(max_length=200)
    content_hash = models.CharField(max_length=64)

    class Meta:
        """Constraints and indexes."""

        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kiosk", "feedback_id"], name="reply_one_for_each_feedback"),
            models.CheckConstraint(
                condition=Q(state__in=["received", "settled", "mismatched"]), name="reply_state_is_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["feedback_id"], condition=Q(state="received"), name="reply_open"),
            models.Index(fields=["feedback_id"], name="reply_of_feedback"),
            models.Index(fields=["received_at"], name="reply_by_time"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Quarantine(models.Model):
    """A message that was refused, as it came. The same one coming again is counted."""

    topic = models.CharField(max_length=500)
    kiosk = models.CharField(max_length=63, blank=True)
    message_id = models.UUIDField(null=True)
    reason = models.CharField(max_length=500)
    raw = models.BinaryField()
    """The first `MAX_MESSAGE_BYTES` of it."""
    raw_bytes = models.BigIntegerField()
    """How many it had."""
    digest = models.CharField(max_length=64)
    """SHA-256 of all of it."""
    received_at = models.DateTimeField()
    last_received_at = models.DateTimeField()
    times = models.PositiveIntegerField(default=1)

    class Meta:
        """Constraints and indexes."""

        verbose_name_plural = "quarantine"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["topic", "digest"], name="quarantine_once"),
            models.CheckConstraint(
                condition=LessThanOrEqual(
                    Func(F("raw"), function="LENGTH", output_field=IntegerField()), MAX_MESSAGE_BYTES
                ),
                name="quarantine_raw_is_bounded",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["kiosk", "received_at"], name="quarantine_of_kiosk"),
            models.Index(fields=["last_received_at"], name="quarantine_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.topic}: {self.reason}"


class SubscriptionGroup(models.Model):
    """The group's name in the shared subscription of all ingest processes on this database; one row.

    Made by chance: a broker that lets anybody subscribe and checks only what it delivers would let a kiosk that knew
    the name join, and lose what it gives it.
    """

    name = models.CharField(max_length=100)
    made_at = models.DateTimeField()

    class Meta:
        """Constraints."""

        constraints: ClassVar = [models.CheckConstraint(condition=Q(pk=1), name="subscription_group_is_one")]

    def __str__(self) -> str:
        return f"made {self.made_at}"


class Erasure(models.Model):
    """That a feedback or a reply was erased, and nothing else about it; if it comes again, it is not stored."""

    class Cause(models.TextChoices):
        """Why it was."""

        REQUEST = "request"
        RETENTION = "retention"

    record_id = models.UUIDField(primary_key=True)
    erased_at = models.DateTimeField()
    cause = models.CharField(max_length=16, choices=Cause)

    class Meta:
        """Constraints."""

        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(cause__in=["request", "retention"]), name="erasure_cause_is_known")
        ]

    def __str__(self) -> str:
        return str(self.record_id)
