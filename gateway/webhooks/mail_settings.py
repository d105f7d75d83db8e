"""What can be said of a mail server and of those who get mail. Pure."""

import re
from urllib.parse import urlsplit

from gateway.errors import UsageError
from gateway.webhooks.attempt import MailAccess
from gateway.webhooks.models import MAX_URL_CHARS

MAX_RECIPIENTS = 20

# Stricter than the standard: no quotes, no comments, nothing that could end a header.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", re.ASCII)


def check(mail: MailAccess) -> None:
    """Accept a sender, recipients and an access that can be used.

    Raises:
        UsageError: a part cannot.
    """
    for address in (mail.sender, *mail.recipients):
        if _ADDRESS.fullmatch(address) is None or len(address) > 254:
            raise UsageError(f"{address[:100]!r} is no e-mail address: it must look like name@example.org")
    if not 1 <= len(mail.recipients) <= MAX_RECIPIENTS:
        raise UsageError(f"name 1 to {MAX_RECIPIENTS} recipients with --to")
    if bool(mail.username) is not bool(mail.password):
        raise UsageError("a user name and a password belong together: give both or none")
    if not (mail.username + mail.password).isprintable():
        raise UsageError("the user name or the password holds a character that cannot be printed: paste it again")


def check_url(url: str) -> None:
    """Accept ``smtps://host[:port]`` or ``smtp://host[:port]``.

    Raises:
        UsageError: it is neither.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        fits = fits and not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    except ValueError:
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL_CHARS:
        raise UsageError(
            f"{url[:200]!r} is no mail server: it must look like smtps://mail.example.org (TLS from the beginning) "
            "or smtp://mail.example.org (STARTTLS)"
        )
