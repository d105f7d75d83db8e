"""What it takes to send to an endpoint: URL, secrets, headers, as they are decrypted for an attempt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from msgspec import Struct

from gateway.errors import GatewayError
from gateway.webhooks.attempt import MailAccess, Request
from gateway.webhooks.models import Endpoint
from gateway.webhooks.secrets import SecretBox


class Private(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an endpoint is encrypted beside its secrets."""

    url: str = ""
    """The whole URL, where it gives access by itself; else empty."""
    headers: dict[str, str] = {}
    mail: MailAccess | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """How one endpoint is reached just now."""

    url: str
    secrets: Sequence[str] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authorities: str = ""
    mail: MailAccess | None = None
    problem: str | None = None

    def request(self, webhook_id: str, body: bytes) -> Request:
        """Return the request that carries ``body``."""
        return Request(
            self.url,
            webhook_id,
            body,
            self.secrets,
            headers=self.headers,
            authorities=self.authorities,
            mail=self.mail,
            problem=self.problem,
        )


def of(endpoint: Endpoint, box: SecretBox, *, now: datetime) -> Access:
    """Return how ``endpoint`` is reached; what cannot be decrypted is told as the access's problem."""
    try:
        private = open_private(endpoint, box)
        return Access(
            url=private.url or endpoint.url,
            secrets=secrets(endpoint, box, now=now),
            headers=private.headers,
            authorities=endpoint.authorities,
            mail=private.mail,
        )
    except GatewayError as error:
        return Access(endpoint.url, problem=str(error))


def secrets(endpoint: Endpoint, box: SecretBox, *, now: datetime) -> tuple[str, ...]:
    """Return what signs, the receiver's own secret last.

    Raises:
        GatewayError: one cannot be decrypted.
    """
    if endpoint.secret is None:
        return ()
    own = box.open(bytes(endpoint.secret))
    is_over = endpoint.overlap_until is not None and endpoint.overlap_until <= now
    if endpoint.overlap_secret is None or is_over:
        return (own,)
    return (box.open(bytes(endpoint.overlap_secret)), own)


def seal_private(private: Private, box: SecretBox) -> bytes | None:
    """Return what the database keeps; None if there is nothing to hide."""
    if private == Private():
        return None
    return box.seal(msgspec.json.encode(private).decode("utf-8"))


def open_private(endpoint: Endpoint, box: SecretBox) -> Private:
    """Return what of ``endpoint`` is encrypted.

    Raises:
        GatewayError: it cannot be decrypted.
    """
    if endpoint.private is None:
        return Private()
    return msgspec.json.decode(box.open(bytes(endpoint.private)).encode("utf-8"), type=Private)
