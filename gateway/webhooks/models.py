"""Endpoints, the outbox of deliveries, and what became of each attempt."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Func, IntegerField, Q
from django.db.models.lookups import LessThanOrEqual

from contract.webhook import MAX_BODY_BYTES
from gateway.feedback.models import Feedback

MAX_URL_CHARS = 2_000
MAX_ERROR_CHARS = 500
MAX_ANSWER_CHARS = 500


class Endpoint(models.Model):
    """Where webhooks go. A removed one stays for the history, without its secret."""

    name = models.CharField(max_length=63)
    url = models.CharField(max_length=MAX_URL_CHARS)
    enabled = models.BooleanField(default=True)
    """While it is not, nothing new is made for it, and what is pending waits."""
    disabled_reason = models.CharField(max_length=200, blank=True)
    secret = models.BinaryField(null=True)
    """Encrypted; null sends without a signature."""
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        """Constraints and order."""

        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(removed_at__isnull=True), name="endpoint_name_is_unique"
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True) | Q(enabled=False, secret__isnull=True),
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
    created_at = models.DateTimeField()
    next_due_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    """Until then an attempt is under way and nobody else may begin one."""
    fence = models.BigIntegerField(default=0)
    """Grows with each claim; a result counts only under the number of the last one."""
    finished_at = models.DateTimeField(null=True)
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
                fields=["endpoint"], condition=Q(state="pending", lease_until__isnull=False), name="delivery_in_flight"
            ),
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

    class Meta:
        """Constraints and order."""

        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["delivery", "number"], name="attempt_number_is_unique"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}"
