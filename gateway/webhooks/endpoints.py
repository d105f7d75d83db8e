"""Adding, changing, switching and removing endpoints, and exchanging their secrets."""

import re
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db import transaction
from msgspec.structs import replace

from contract.signature import secret_problem
from gateway.errors import GatewayError, UsageError
from gateway.webhooks import access, custom_headers, filters, mail_settings, outbox
from gateway.webhooks.access import Private
from gateway.webhooks.attempt import Form, MailAccess
from gateway.webhooks.filters import EVERYTHING, Filters
from gateway.webhooks.models import MAX_URL_CHARS, Delivery, Endpoint
from gateway.webhooks.secrets import SecretBox

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)

MAX_AUTHORITIES_CHARS = 200_000


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint as it was asked for."""

    name: str
    url: str
    secret: str | None = None
    filters: Filters = EVERYTHING
    headers: dict[str, str] | None = None
    authorities: str = ""
    form: Form = Form.WEBHOOK
    mail: MailAccess | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed of an endpoint; what is None stays."""

    url: str | None = None
    filters: Filters | None = None
    headers: dict[str, str] | None = None
    authorities: str | None = None


def add(new: NewEndpoint, box: SecretBox, *, now: datetime) -> list[str]:
    """Add an endpoint; return warnings about it.

    Raises:
        UsageError: the name, the URL, the secret or another part cannot be used.
        GatewayError: there is an endpoint of this name.
    """
    check(new)
    with transaction.atomic():
        if Endpoint.objects.filter(name=new.name, removed_at__isnull=True).exists():
            raise GatewayError(f"there is an endpoint {new.name} already; remove it first, or choose another name")
        Endpoint.objects.create(
            name=new.name,
            form=new.form.value,
            url=_shown_url(new.form, new.url),
            secret=None if new.secret is None else box.seal(new.secret),
            private=access.seal_private(_private(new), box),
            authorities=new.authorities,
            filters=filters.stored(new.filters),
            created_at=now,
            changed_at=now,
        )
    return warnings(new.form, new.url, signed=new.secret is not None)


def _private(new: NewEndpoint) -> Private:
    return Private(url=new.url if new.form is Form.SLACK else "", headers=new.headers or {}, mail=new.mail)


def _shown_url(form: Form, url: str) -> str:
    """Return what of the URL may be shown: whoever has the whole of a Slack webhook's can write there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…" if form is Form.SLACK else url


def check(new: NewEndpoint) -> None:
    """Accept what can be added.

    Raises:
        UsageError: a part cannot be used.
    """
    if _NAME.fullmatch(new.name) is None:
        raise UsageError(f"{new.name[:100]!r} is no endpoint name: use letters, digits and inner . _ -, at most 63")
    if new.secret is not None:
        if new.form is not Form.WEBHOOK:
            raise UsageError("only webhooks in the Voiseback format are signed: leave the secret out")
        check_secret(new.secret)
    if new.mail is not None:
        mail_settings.check(new.mail)
    _check_parts(new.form, Change(new.url, new.filters, new.headers, new.authorities))


def _check_parts(form: Form, change: Change) -> None:
    if change.url is not None:
        (mail_settings.check_url if form is Form.MAIL else check_url)(change.url)
    if change.headers and form is Form.MAIL:
        raise UsageError("an e-mail takes no headers of its own: leave them out")
    if change.filters is not None:
        filters.check(change.filters)
    if change.headers is not None:
        custom_headers.check(change.headers)
    if change.authorities:
        check_authorities(change.authorities)


def change(name: str, wanted: Change, box: SecretBox, *, now: datetime) -> list[str]:
    """Change an endpoint; return warnings about it. What is pending goes to the new URL.

    Raises:
        UsageError: a part cannot be used.
        GatewayError: there is none of this name, or what it has cannot be decrypted.
    """
    with transaction.atomic():
        endpoint = get(name)
        form = Form(endpoint.form)
        _check_parts(form, wanted)
        private = access.open_private(endpoint, box)
        if wanted.url is not None:
            endpoint.url = _shown_url(form, wanted.url)
            private = replace(private, url=wanted.url if form is Form.SLACK else "")
        if wanted.filters is not None:
            endpoint.filters = filters.stored(wanted.filters)
        if wanted.authorities is not None:
            endpoint.authorities = wanted.authorities
        if wanted.headers is not None:
            private = replace(private, headers=wanted.headers)
        endpoint.private = access.seal_private(private, box)
        endpoint.changed_at = now
        endpoint.save(update_fields=["url", "filters", "authorities", "private", "changed_at"])
    return warnings(form, wanted.url or endpoint.url, signed=endpoint.secret is not None)


def warnings(form: Form, url: str, *, signed: bool) -> list[str]:
    """Return what is allowed but should be known."""
    found: list[str] = []
    if form is Form.MAIL:
        return found
    if url.lower().startswith("http:"):
        found.append("the URL begins with http: everybody on the way can read and change the webhooks; use https")
    port = urlsplit(url).port
    if port is not None and port < 1024 and port not in {80, 443}:
        found.append(f"port {port} is that of another service than the web; is the URL right?")
    if not signed and form is Form.WEBHOOK:
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


def enable(name: str) -> None:
    """Send to an endpoint again from now on; what was cancelled stays so.

    Raises:
        GatewayError: there is none of this name.
    """
    outbox.enable(get(name).pk)


def disable(name: str, *, now: datetime) -> int:
    """Send nothing more to an endpoint and cancel what is pending; return how many deliveries that were.

    Raises:
        GatewayError: there is none of this name.
    """
    with transaction.atomic():
        return outbox.disable(get(name).pk, "disabled by the operator", now=now)


def remove(name: str, *, now: datetime) -> int:
    """Remove an endpoint, forget its secrets and cancel what is pending; return how many deliveries that were.

    Raises:
        GatewayError: there is none of this name.
    """
    with transaction.atomic():
        endpoint = get(name)
        Endpoint.objects.filter(pk=endpoint.pk).update(
            enabled=False,
            disabled_reason="removed",
            secret=None,
            overlap_secret=None,
            overlap_until=None,
            private=None,
            removed_at=now,
        )
        return outbox.cancel(endpoint.pk, Delivery.Cancelled.REMOVED, now=now)


def rotate(name: str, secret: str, box: SecretBox, *, now: datetime) -> None:
    """Begin to exchange the secret: from now on both sign, and the receiver's present one stands last.

    Raises:
        UsageError: the secret cannot be used.
        GatewayError: there is no endpoint of this name, it has no secret, or an exchange is under way.
    """
    check_secret(secret)
    with transaction.atomic():
        endpoint = get(name)
        _end_overlap(endpoint, now)
        if endpoint.secret is None:
            raise GatewayError(
                f"the endpoint {name} has no secret to exchange: remove it and add it again with one, "
                "after the receiver knows it"
            )
        if endpoint.overlap_secret is not None:
            raise GatewayError(
                f"the secret of {name} is being exchanged already: finish that with `kiosk-gateway endpoint rotated "
                f"{name}`, or go back with `kiosk-gateway endpoint rotate {name} --undo`"
            )
        if box.open(bytes(endpoint.secret)) == secret:
            raise GatewayError(f"this is the secret that {name} has already")
        endpoint.overlap_secret, endpoint.overlap_until = box.seal(secret), None
        endpoint.changed_at = now
        endpoint.save(update_fields=["overlap_secret", "overlap_until", "changed_at"])


def confirm_rotation(name: str, *, overlap_s: float, now: datetime) -> datetime:
    """Note that the receiver has the new secret: it stands last from now on; return when the old one ceases to sign.

    Raises:
        GatewayError: there is no endpoint of this name, or its secret is not being exchanged.
    """
    with transaction.atomic():
        endpoint = _exchanging(name)
        endpoint.secret, endpoint.overlap_secret = endpoint.overlap_secret, endpoint.secret
        endpoint.overlap_until = now + timedelta(seconds=overlap_s)
        endpoint.changed_at = now
        endpoint.save(update_fields=["secret", "overlap_secret", "overlap_until", "changed_at"])
        return endpoint.overlap_until


def undo_rotation(name: str, *, now: datetime) -> None:
    """Forget the new secret; the old one alone signs.

    Raises:
        GatewayError: there is no endpoint of this name, or its secret is not being exchanged.
    """
    with transaction.atomic():
        endpoint = _exchanging(name)
        endpoint.overlap_secret = None
        endpoint.changed_at = now
        endpoint.save(update_fields=["overlap_secret", "changed_at"])


def _exchanging(name: str) -> Endpoint:
    endpoint = get(name)
    if endpoint.overlap_secret is None or endpoint.overlap_until is not None:
        raise GatewayError(f"the secret of {name} is not being exchanged; `kiosk-gateway endpoint rotate` begins that")
    return endpoint


def _end_overlap(endpoint: Endpoint, now: datetime) -> None:
    if endpoint.overlap_until is not None and endpoint.overlap_until <= now:
        endpoint.overlap_secret = endpoint.overlap_until = None


def forget_old_secrets(*, now: datetime) -> list[str]:
    """Delete old secrets whose time is over; return the names of their endpoints."""
    over = Endpoint.objects.filter(overlap_until__lte=now)
    names = list(over.values_list("name", flat=True))
    if names:
        over.update(overlap_secret=None, overlap_until=None)
    return names


def check_secret(secret: str) -> None:
    """Accept a secret that a receiver can be given.

    Raises:
        UsageError: it cannot be used.
    """
    problem = secret_problem(secret)
    if problem:
        raise UsageError(problem)


def check_authorities(pem: str) -> None:
    """Accept certificates that can be trusted to sign a receiver's.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    try:
        fits = 0 < len(pem) <= MAX_AUTHORITIES_CHARS and _certificates(pem) > 0
    except (ssl.SSLError, ValueError):
        fits = False
    if not fits:
        raise UsageError("the CA file holds no certificate, or a damaged one: it must be PEM")


def _certificates(pem: str) -> int:
    return ssl.create_default_context(cadata=pem).cert_store_stats()["x509"]


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
