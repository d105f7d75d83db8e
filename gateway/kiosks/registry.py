"""Adding, renewing and removing kiosks, and what the broker has to know of them."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Count, Max, QuerySet

from contract import topics
from contract.webhook import MAX_PAGE_URL_CHARS
from gateway.broker import passwords
from gateway.errors import GatewayError, UsageError
from gateway.kiosks.models import Kiosk


@dataclass(frozen=True, slots=True)
class RegistryVersion:
    """Differs whenever what the broker has to know differs."""

    kiosks: int
    changed_at: datetime | None


def add(kiosk_id: str, *, name: str, page_url: str, now: datetime) -> str:
    """Admit a kiosk; return its password, which is kept nowhere.

    Raises:
        UsageError: no kiosk id, no URL.
        GatewayError: the kiosk is there already.
    """
    if not topics.is_kiosk_id(kiosk_id):
        raise UsageError(f"{kiosk_id!r} is no kiosk id: use lower-case letters, digits and inner hyphens, at most 63")
    check_page_url(page_url)
    password = passwords.make_password()
    with transaction.atomic():
        if Kiosk.objects.filter(pk=kiosk_id, removed_at__isnull=True).exists():
            raise GatewayError(f"the kiosk {kiosk_id} is there already; a new password makes `kiosk add --renew`")
        Kiosk.objects.update_or_create(
            pk=kiosk_id,
            defaults={
                "name": name,
                "page_url": page_url,
                "credential": passwords.make_hash(password),
                "credential_changed_at": now,
                "removed_at": None,
            },
            create_defaults={
                "name": name,
                "page_url": page_url,
                "credential": passwords.make_hash(password),
                "credential_changed_at": now,
                "created_at": now,
            },
        )
    return password


def renew(kiosk_id: str, *, name: str | None, page_url: str | None, now: datetime) -> str:
    """Give a kiosk a new password, which makes the old one worthless; return it.

    Raises:
        UsageError: ``page_url`` is no URL.
        GatewayError: there is no such kiosk.
    """
    changes: dict[str, object] = {}
    if name is not None:
        changes["name"] = name
    if page_url is not None:
        check_page_url(page_url)
        changes["page_url"] = page_url
    password = passwords.make_password()
    changed = Kiosk.objects.filter(pk=kiosk_id, removed_at__isnull=True).update(
        credential=passwords.make_hash(password), credential_changed_at=now, **changes
    )
    if not changed:
        raise GatewayError(f"there is no kiosk {kiosk_id!r}; `kiosk-gateway kiosk list` shows those there are")
    return password


def remove(kiosk_id: str, *, now: datetime) -> None:
    """Shut a kiosk out; its feedback stays.

    Raises:
        GatewayError: there is no such kiosk.
    """
    removed = Kiosk.objects.filter(pk=kiosk_id, removed_at__isnull=True).update(
        credential="", credential_changed_at=now, removed_at=now, online=False
    )
    if not removed:
        raise GatewayError(f"there is no kiosk {kiosk_id!r}; `kiosk-gateway kiosk list` shows those there are")


def version() -> RegistryVersion:
    """Return the version of what the broker has to know; cheap enough to ask every second."""
    found = Kiosk.objects.aggregate(kiosks=Count("pk"), changed_at=Max("credential_changed_at"))
    return RegistryVersion(found["kiosks"], found["changed_at"])


def admitted() -> QuerySet[Kiosk]:
    """Return the kiosks that may speak to the gateway, in order of their ids."""
    return Kiosk.objects.filter(removed_at__isnull=True).exclude(credential="").order_by("pk")


def credentials() -> dict[str, str]:
    """Return the password hash of each kiosk that is admitted, in order of their ids."""
    return dict(admitted().values_list("pk", "credential"))


def check_page_url(text: str) -> None:
    """Accept an http or https URL, or nothing.

    Raises:
        UsageError: it is something else.
    """
    try:
        parts = urlsplit(text)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        fits = False
    if text and not (fits and text.isprintable() and " " not in text and len(text) <= MAX_PAGE_URL_CHARS):
        raise UsageError(f"{text[:200]!r} is no page URL: it must begin with https:// or http:// and name a host")
