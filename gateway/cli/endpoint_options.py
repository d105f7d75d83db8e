"""What the `endpoint` commands take: files with secrets, headers and certificates, and filters."""

import argparse
import os
import secrets as random_secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import GatewayError, UsageError
from gateway.webhooks import custom_headers
from gateway.webhooks.attempt import Form, MailAccess
from gateway.webhooks.filters import CATEGORIES, EVENTS, SENTIMENTS, Filters

MAX_SECRET_FILE_BYTES = 4_096
MAX_FILE_BYTES = 200_000


def add_secret(parser: argparse.ArgumentParser) -> "argparse._MutuallyExclusiveGroup":
    """Let a secret be given."""
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", type=Path, metavar="FILE", help="a file that holds the webhook secret")
    secret.add_argument("--generate-secret", type=Path, metavar="FILE", help="make a secret and write it to a new file")
    return secret


def add_destination(parser: argparse.ArgumentParser) -> None:
    """Let it be said where an endpoint is, and in which form it gets what happens."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="https://… of a receiver or of Slack; smtps://host (TLS) or smtp://host (STARTTLS) of a mail server",
    )
    place.add_argument(
        "--url-file", type=Path, metavar="FILE", help="a file that holds the URL, which other users then cannot see"
    )
    parser.add_argument(
        "--slack", action="store_true", help="the URL is an incoming webhook of Slack: send it a formatted message"
    )
    mail = parser.add_argument_group("e-mail", "for a mail server's URL")
    mail.add_argument("--from", dest="sender", metavar="ADDRESS", help="the sender of the mails")
    mail.add_argument("--to", action="append", metavar="ADDRESS", help="who gets them; may be given several times")
    mail.add_argument("--username", metavar="NAME", default="", help="the name to log in with")
    mail.add_argument("--password-file", type=Path, metavar="FILE", help="a file that holds the password")


def url(args: argparse.Namespace) -> str:
    """Return the URL that was given or is in the file that was named.

    Raises:
        UsageError: the file cannot be read.
    """
    given: str = args.url if args.url_file is None else read_secret(args.url_file)
    return given


def form(args: argparse.Namespace) -> Form:
    """Return the form that was asked for.

    Raises:
        UsageError: the options contradict one another.
    """
    is_mail = url(args).lower().startswith(("smtp:", "smtps:"))
    if is_mail and args.slack:
        raise UsageError("--slack does not go with a mail server: leave one out")
    if is_mail:
        return Form.MAIL
    return Form.SLACK if args.slack else Form.WEBHOOK


def mail(args: argparse.Namespace) -> MailAccess | None:
    """Return how mail is handed over, or None for another form.

    Raises:
        UsageError: something is missing, is not for this form, or cannot be read.
    """
    given = (args.sender, args.to, args.username, args.password_file)
    if form(args) is not Form.MAIL:
        if any(given):
            raise UsageError("--from, --to, --username and --password-file are for a mail server's URL: leave them out")
        return None
    if not args.sender or not args.to:
        raise UsageError("say who sends the mails and who gets them: --from ADDRESS --to ADDRESS")
    password = "" if args.password_file is None else read_secret(args.password_file)
    return MailAccess(args.sender, tuple(args.to), args.username, password)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Let it be said what an endpoint gets."""
    group = parser.add_argument_group("what is sent", "each may be given several times; without any, everything is")
    group.add_argument("--event", action="append", choices=EVENTS, help="only these events")
    group.add_argument("--sentiment", action="append", choices=SENTIMENTS, help="only these; none: where it is null")
    group.add_argument("--category", action="append", choices=CATEGORIES, help="only these; none: where it is null")
    group.add_argument("--kiosk", action="append", metavar="ID", help="only what was said at these kiosks")
    group.add_argument("--testimonial", choices=("yes", "no"), help="only what could, or could not, be quoted")


def add_transport(parser: argparse.ArgumentParser) -> None:
    """Let it be said how an endpoint is reached."""
    parser.add_argument(
        "--headers-file", type=Path, metavar="FILE", help="more headers, a line Name: value for each; kept encrypted"
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="certificates (PEM) that alone may sign the receiver's"
    )


def filters(args: argparse.Namespace) -> Filters:
    """Return the filters that were asked for."""
    return Filters(
        events=tuple(args.event or ()),
        sentiments=tuple(args.sentiment or ()),
        categories=tuple(args.category or ()),
        kiosks=tuple(args.kiosk or ()),
        testimonial=args.testimonial or "",
    )


def has_filters(args: argparse.Namespace) -> bool:
    """Tell whether any was asked for."""
    return any((args.event, args.sentiment, args.category, args.kiosk, args.testimonial))


def headers(args: argparse.Namespace) -> dict[str, str] | None:
    """Return the headers of the file that was named, or None.

    Raises:
        UsageError: it cannot be read, or holds what is no header or may not be one.
    """
    if args.headers_file is None:
        return None
    return custom_headers.parse(_read(args.headers_file, MAX_FILE_BYTES, "headers").splitlines())


def authorities(args: argparse.Namespace) -> str | None:
    """Return the certificates of the file that was named, or None.

    Raises:
        UsageError: it cannot be read.
    """
    return None if args.ca_file is None else _read(args.ca_file, MAX_FILE_BYTES, "certificates")


@contextmanager
def secret(args: argparse.Namespace) -> Iterator[str | None]:
    """Give the secret that was asked for; the file of one that is made is deleted if the body fails.

    Raises:
        UsageError: the file cannot be read.
        GatewayError: the new file cannot be written.
    """
    if args.generate_secret is None:
        yield None if args.secret_file is None else read_secret(args.secret_file)
        return
    made = random_secrets.token_urlsafe(32)
    _write_secret(args.generate_secret, made)
    try:
        yield made
    except BaseException:
        args.generate_secret.unlink(missing_ok=True)
        raise


def read_secret(path: Path) -> str:
    """Return the one line that a file holds.

    Raises:
        UsageError: it cannot be read, or is too long.
    """
    # An editor ends the line; the receiver's configuration does not.
    return _read(path, MAX_SECRET_FILE_BYTES, "a webhook secret").removesuffix("\n").removesuffix("\r")


def _read(path: Path, max_bytes: int, what: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > max_bytes:
        raise UsageError(f"{path} is too long to hold {what}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text") from None


def _write_secret(path: Path, made: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{made}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise GatewayError(f"{path} is there already; name a new file for the secret") from None
    except OSError as error:
        raise GatewayError(f"{path} cannot be written: {error.strerror}") from None
