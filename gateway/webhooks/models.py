"""Endpoints, the outbox of deliveries, and what became of each attempt."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Func, IntegerField, Q
from django.db.models.lookups import LessThanOrEqual

from contract.webhook import MAX_BODY_BYTES
from gateway.feedback.models import Feedback
from gateway.webhooks.attempt import Form

MAX_URL_CHARS = 2_000
MAX_ERROR_CHARS = 500
MAX_ANSWER_CHARS = 500

_FORMS = [(form.value, form.value) for form in Form]


class Endpoint(models.Model):
    """Where webhooks go. A removed one stays for the history, without its secrets."""

    name = models.CharField(max_length=63)
    form = models.CharField(max_length=16, choices=_FORMS, default=Form.WEBHOOK.value)
    url = models.CharField(max_length=MAX_URL_CHARS)
    """As it may be shown: where the whole of it gives access, only its beginning."""
    enabled = models.BooleanField(default=True)
    """While it is not, nothing is sent; what is made for it is cancelled at once and can be sent again."""
    disabled_reason = models.CharField(max_length=200, blank=True)
    secret = models.BinaryField(null=True)
    """Encrypted; null sends without a signature."""
    overlap_secret = models.BinaryField(null=True)
    """Encrypted; signs too while secrets are exchanged: the new one until the receiver has it, then the old one."""
    overlap_until = models.DateTimeField(null=True)
    """Null until the receiver is said to have the new secret; afterwards, when the old one ceases to sign."""
    private = models.BinaryField(null=True)
    """Encrypted: custom headers, the whole URL, a mail server's password (`endpoints.Private`)."""
    authorities = models.TextField(blank=True)
    """Certificates (PEM) that alone are trusted to sign the receiver's; empty trusts the public ones."""
    filters = models.JSONField(default=dict)
    """What is sent to it (`filters.Filters`)."""
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    failing_since = models.DateTimeField(null=True)
    """Of the first attempt that failed since the last that was accepted."""
    failures = models.PositiveIntegerField(default=0)
    """How many failed since then."""
    silences = models.PositiveIntegerField(default=0)
    """How many of the last attempts brought no answer at all."""
    paused_until = models.DateTimeField(null=True)
    """Nothing is sent before: it does not answer, or has asked for a pause."""
    warned_at = models.DateTimeField(null=True)
    """When the operator was told that it will be disabled if it goes on failing."""

    class Meta:
        """Constraints and order."""

        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(removed_at__isnull=True), name="endpoint_name_is_unique"
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True)
                | Q(enabled=False, secret__isnull=True, overlap_secret__isnull=True, private__isnull=True),
                name="endpoint_removed_is_silent",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One event for one endpoint. Its bytes never change."""

    class State(models.TextChoices):
        """How far it has come."""

        PENDING = "pending"
        DELIVERED = "delivered"
        EXHAUSTED = "exhausted"
        CANCELLED = "cancelled"

    class Cancelled(models.TextChoices):
        """Why it was not sent."""

        DISABLED = "disabled"
        """Its endpoint was; it can be sent again."""
        REMOVED = "removed"

    webhook_id = models.CharField(max_length=64, unique=True)
    """The same over all attempts, so that a receiver recognises a repetition."""
    event = models.CharField(max_length=32)
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="deliveries")
    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="deliveries")
    after = models.ForeignKey("self", models.SET_NULL, null=True, related_name="followers")
    """Is not attempted before that one has come to its end."""
    body = models.BinaryField()
    state = models.CharField(max_length=16, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    """All that were made; numbers the next one."""
    tries = models.PositiveIntegerField(default=0)
    """Those made since it was last told to be sent; its place in the schedule."""
    created_at = models.DateTimeField()
    next_due_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    """Until then an attempt is under way and nobody else may begin one."""
    fence = models.BigIntegerField(default=0)
    """Grows with each claim; a result counts only under the number of the last one."""
    slot = models.BigIntegerField(null=True)
    """Those claimed together carry the same number, and are sent one after another."""
    finished_at = models.DateTimeField(null=True)
    cancelled_because = models.CharField(max_length=16, choices=Cancelled, blank=True)
    last_status = models.PositiveIntegerField(null=True)
    last_error = models.CharField(max_length=MAX_ERROR_CHARS, blank=True)

    class Meta:
        """Constraints and indexes."""

        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["event", "endpoint", "feedback"], name="delivery_once_for_each_event"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "delivered", "exhausted", "cancelled"]),
                name="delivery_state_is_known",
            ),
            models.CheckConstraint(
                condition=Q(state="pending", next_due_at__isnull=False, finished_at__isnull=True)
                | (~Q(state="pending") & Q(next_due_at__isnull=True, finished_at__isnull=False)),
                name="delivery_pending_is_due",
            ),
            models.CheckConstraint(
                condition=Q(state="pending") | Q(lease_until__isnull=True), name="delivery_ended_is_not_leased"
            ),
            models.CheckConstraint(
                condition=LessThanOrEqual(
                    Func(F("body"), function="LENGTH", output_field=IntegerField()), MAX_BODY_BYTES
                ),
                name="delivery_body_is_bounded",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["endpoint", "next_due_at"], condition=Q(state="pending"), name="delivery_due"),
            models.Index(
                fields=["endpoint", "lease_until", "slot"],
                condition=Q(state="pending", lease_until__isnull=False),
                name="delivery_leased",
            ),
            models.Index(fields=["created_at"], name="delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.webhook_id}"


class Attempt(models.Model):
    """One request and what came of it."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempt_rows")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    status = models.PositiveIntegerField(null=True)
    fault = models.CharField(max_length=32, blank=True)
    """What kind of failure it was; empty where the receiver accepted."""
    error = models.CharField(max_length=MAX_ERROR_CHARS, blank=True)
    answer = models.CharField(max_length=MAX_ANSWER_CHARS, blank=True)
    """The beginning of the answer's body as plain text, for the operator's eyes."""
    peer = models.CharField(max_length=64, blank=True)
    """The address that was dialled."""

    class Meta:
        """Constraints and order."""

        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["delivery", "number"], name="attempt_number_is_unique"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}"
