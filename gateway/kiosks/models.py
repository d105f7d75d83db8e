"""The registry of kiosks."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from contract.webhook import MAX_PAGE_URL_CHARS


class Kiosk(models.Model):
    """One kiosk, and what it last said of itself. A removed one stays, because its feedback stays."""

    id = models.CharField(primary_key=True, max_length=63)
    """The kiosk id of the contract; also its user name at the broker."""
    name = models.CharField(max_length=200, blank=True)
    page_url = models.CharField(max_length=MAX_PAGE_URL_CHARS, blank=True)
    """The ``page_url`` of its webhooks; empty takes the one of the settings' template."""
    credential = models.CharField(max_length=200, blank=True)
    """The password as mosquitto's file holds it, ``$7$<iterations>$<salt>$<hash>``; empty admits nobody."""
    credential_changed_at = models.DateTimeField()
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    online = models.BooleanField(default=False)
    session = models.BigIntegerField(default=0)
    """The number of the connection that the last status told of."""
    agent_version = models.CharField(max_length=200, blank=True)
    address = models.CharField(max_length=200, blank=True)
    presence_changed_at = models.DateTimeField(null=True, blank=True)
    """When it came online or went offline, or connected anew."""
    last_seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Constraints and order."""

        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(id=""), name="kiosk_has_an_id"),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True) | Q(credential=""), name="kiosk_removed_is_not_admitted"
            ),
        ]

    def __str__(self) -> str:
        return self.id


class KioskHealth(models.Model):
    """What a kiosk said last of its parts. Apart from the kiosk, whose row others change at the same time."""

    kiosk = models.OneToOneField(Kiosk, models.CASCADE, primary_key=True, related_name="health")
    received_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=20, blank=True)
    """The gravest state of a part, as `contract.health.State`; empty before the first message."""
    problems = models.PositiveIntegerField(default=0)
    """How many parts are degraded or failed."""
    report = models.JSONField(null=True, blank=True)
    """The message, cleaned."""
    unreadable = models.PositiveIntegerField(default=0)
    """Messages that could not be read, of those that were looked at."""
    unreadable_reason = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.kiosk_id}: {self.state or 'unknown'}"
