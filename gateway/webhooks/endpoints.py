"""Adding, switching and removing endpoints."""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.db import transaction

from contract.signature import secret_problem
from gateway.errors import GatewayError, UsageError
from gateway.webhooks.models import MAX_URL_CHARS, Delivery, Endpoint
from gateway.webhooks.secrets import SecretBox

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint as it was asked for."""

    name: str
    url: str
    secret: str | None


def add(new: NewEndpoint, box: SecretBox, *, now: datetime) -> list[str]:
    """Add an endpoint; return warnings about it.

    Raises:
        UsageError: the name, the URL or the secret cannot be used.
        GatewayError: there is an endpoint of this name.
    """
    if _NAME.fullmatch(new.name) is None:
        raise UsageError(f"{new.name[:100]!r} is no endpoint name: use letters, digits and inner . _ -, at most 63")
    check_url(new.url)
    problem = None if new.secret is None else secret_problem(new.secret)
    if problem:
        raise UsageError(problem)
    with transaction.atomic():
        if Endpoint.objects.filter(name=new.name, removed_at__isnull=True).exists():
            raise GatewayError(f"there is an endpoint {new.name} already; remove it first, or choose another name")
        sealed = None if new.secret is None else box.seal(new.secret)
        Endpoint.objects.create(name=new.name, url=new.url, secret=sealed, created_at=now)
    return warnings(new)


def warnings(new: NewEndpoint) -> list[str]:
    """Return what is allowed but should be known."""
    found = []
    if new.url.lower().startswith("http:"):
        found.append("the URL begins with http: everybody on the way can read and change the webhooks; use https")
    if new.secret is None:
        found.append("there is no secret: the receiver cannot tell these webhooks from forged ones")
    return found


def get(name: str) -> Endpoint:
    """Return the endpoint of this name.

    Raises:
        GatewayError: there is none.
    """
    found = Endpoint.objects.filter(name=name, removed_at__isnull=True).first()
    if found is None:
        raise GatewayError(f"there is no endpoint {name!r}; `kiosk-gateway endpoint list` shows those there are")
    return found


def switch(name: str, *, enabled: bool) -> None:
    """Enable or disable an endpoint; what is pending waits while it is disabled.

    Raises:
        GatewayError: there is none of this name.
    """
    endpoint = get(name)
    reason = "" if enabled else "disabled by the operator"
    Endpoint.objects.filter(pk=endpoint.pk).update(enabled=enabled, disabled_reason=reason)


def remove(name: str, *, now: datetime) -> int:
    """Remove an endpoint, forget its secret and cancel what is pending; return how many deliveries that were.

    Raises:
        GatewayError: there is none of this name.
    """
    with transaction.atomic():
        endpoint = get(name)
        Endpoint.objects.filter(pk=endpoint.pk).update(
            enabled=False, disabled_reason="removed", secret=None, removed_at=now
        )
        pending = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING)
        return pending.update(state=Delivery.State.CANCELLED, next_due_at=None, lease_until=None, finished_at=now)


def check_url(url: str) -> None:
    """Accept an http or https URL that can be sent to.

    Raises:
        UsageError: it is none, or carries a user name or a password.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL_CHARS:
        raise UsageError(f"{url[:200]!r} is no URL to send to: it must look like https://host/path, in ASCII")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the URL carries a user name or password: leave it out, webhooks are signed instead")
    if parts.fragment:
        raise UsageError("the URL has a part after #, which is never sent: leave it out")
