"""Signing a webhook, and verifying one in a receiver.

The header is ``Webhook-Signature: t=<timestamp>,v1=<hex>``: HMAC-SHA256 over ``<timestamp>.<raw body>``, keyed with the
secret's UTF-8 bytes as they are. During a rotation it carries two ``v1=``; a receiver accepts any that matches.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

ID_HEADER = "Webhook-Id"
TIMESTAMP_HEADER = "Webhook-Timestamp"
SIGNATURE_HEADER = "Webhook-Signature"

TOLERANCE_S = 300
"""How old or how far ahead a signature may be; against replays, wide enough for ordinary clocks."""

MAX_SIGNATURES = 8
MIN_SECRET_CHARS = 16

_HEADER = re.compile(rf"t=(\d{{1,12}})((?:,v1=[0-9a-f]{{64}}){{1,{MAX_SIGNATURES}}})", re.ASCII)


class SignatureError(ValueError):
    """A webhook that must not be believed; the text says why."""


def digest(body: bytes, timestamp_s: int, secret: str) -> str:
    """Return the lower-case hexadecimal HMAC-SHA256 of one body at one time."""
    return hmac.new(secret.encode("utf-8"), b"%d." % timestamp_s + body, hashlib.sha256).hexdigest()


def sign(body: bytes, timestamp_s: int, secrets: Sequence[str]) -> str:
    """Return the value of ``Webhook-Signature``.

    Args:
        body: the raw bytes that are sent.
        timestamp_s: whole seconds since 1970 in UTC, as in ``Webhook-Timestamp``.
        secrets: one, or two during a rotation; the receiver's current one last, because simple receivers
            read the last ``v1=``.

    Raises:
        ValueError: no secret; then the header has to be left out.
    """
    if not secrets:
        raise ValueError("without a secret there is no signature: leave the header out")
    parts = [f"t={timestamp_s}", *(f"v1={digest(body, timestamp_s, secret)}" for secret in secrets)]
    return ",".join(parts)


def verify(
    body: bytes,
    header: str | None,
    secrets: str | Sequence[str],
    *,
    now_s: float,
    tolerance_s: float = TOLERANCE_S,
) -> int:
    """Verify a webhook as a receiver should; return its timestamp in seconds.

    Args:
        body: the raw bytes as received, before any parsing.
        header: the value of ``Webhook-Signature``, or None where it was missing.
        secrets: the secret, or all that are valid during a rotation.
        now_s: the receiver's time, seconds since 1970.
        tolerance_s: how far the timestamp may be from ``now_s``, to both sides.

    Raises:
        SignatureError: missing, malformed, too old, too far ahead, or made with another secret or over another body.
    """
    if not header:
        raise SignatureError(f"there is no {SIGNATURE_HEADER} header: the sender has no secret configured")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise SignatureError(f"the {SIGNATURE_HEADER} header is malformed: expected t=<seconds>,v1=<64 hex digits>")
    timestamp_s = int(match[1])
    if abs(now_s - timestamp_s) > tolerance_s:
        raise SignatureError(
            f"the timestamp is {now_s - timestamp_s:+.0f} s away from this machine's clock; "
            f"{tolerance_s:.0f} s are tolerated"
        )
    known = [secret for secret in ([secrets] if isinstance(secrets, str) else secrets) if secret]
    if not known:
        raise SignatureError("the receiver has no secret, so that nothing can be verified")
    given = [part.removeprefix("v1=") for part in match[2][1:].split(",")]
    expected = [digest(body, timestamp_s, secret) for secret in known]
    # Every pair is compared, so that the time taken tells nothing about which one matched.
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    if not any(matches):
        raise SignatureError("the signature does not match: another secret, or the body is not the raw bytes")
    return timestamp_s


def fingerprint(secret: str) -> str:
    """Return eight hexadecimal digits of the secret's SHA-256, to compare two secrets without showing them."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()[:8]


def secret_problem(secret: str) -> str | None:
    """Say in one sentence why ``secret`` must not be saved, or None.

    Blanks at the ends and control characters come from careless pasting, and every signature would be refused.
    """
    if not secret or secret != secret.strip():
        return "the secret is empty or begins or ends with a blank: paste it again without"
    if any(not char.isprintable() for char in secret):
        return "the secret holds a character that cannot be printed: paste it again"
    if len(secret) < MIN_SECRET_CHARS:
        return f"the secret has {len(secret)} characters: use at least {MIN_SECRET_CHARS}"
    return None
