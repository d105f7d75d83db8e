"""`kiosk-gateway endpoint`: where webhooks go."""

import argparse
import os
import secrets as random_secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from contract.signature import fingerprint
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError, UsageError

if TYPE_CHECKING:
    from gateway.webhooks.models import Endpoint
    from gateway.webhooks.secrets import SecretBox

MAX_SECRET_FILE_BYTES = 4_096


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``endpoint`` commands."""
    commands = subparsers.add_parser(
        "endpoint", help="add, test, list and remove receivers of webhooks"
    ).add_subparsers(required=True, metavar="COMMAND")
    adding = commands.add_parser("add", help="send webhooks to a URL")
    session.add_config_option(adding)
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("url", metavar="URL")
    secret = adding.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", type=Path, metavar="FILE", help="a file that holds the webhook secret")
    secret.add_argument("--generate-secret", type=Path, metavar="FILE", help="make a secret and write it to a new file")
    adding.set_defaults(run=session.on_database(add))
    listing = commands.add_parser("list", help="show the endpoints")
    session.add_config_option(listing)
    listing.set_defaults(run=session.on_database(show))
    for name, act, text in (
        ("remove", remove, "send nothing more to it, and cancel what is pending"),
        ("enable", enable, "send to it again"),
        ("disable", disable, "send nothing to it for now; what is pending waits"),
        ("test", test, "send it a test and explain what comes back"),
    ):
        parser = commands.add_parser(name, help=text)
        session.add_config_option(parser)
        parser.add_argument("name", metavar="NAME")
        parser.set_defaults(run=session.on_database(act))


def add(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Add one."""
    from gateway.webhooks import endpoints, secrets

    endpoints.check_url(args.url)
    box = secrets.open_box(settings.state_path)
    made = random_secrets.token_urlsafe(32) if args.generate_secret is not None else None
    secret = made or (_read_secret(args.secret_file) if args.secret_file is not None else None)
    if made is not None:
        _write_secret(args.generate_secret, made)
    try:
        warnings = endpoints.add(endpoints.NewEndpoint(args.name, args.url, secret), box, now=datetime.now(UTC))
    except BaseException:
        if made is not None:
            args.generate_secret.unlink(missing_ok=True)
        raise
    for warning in warnings:
        print(f"kiosk-gateway: warning: {warning}", file=sys.stderr)
    told = "" if secret is None else f", signed with the secret {fingerprint(secret)}"
    print(f"webhooks are sent to {args.name}{told}; try `kiosk-gateway endpoint test {args.name}`")
    return 0


def show(_args: argparse.Namespace, settings: GatewaySettings) -> int:
    """List them; of a secret only its fingerprint."""
    from gateway.webhooks import secrets
    from gateway.webhooks.models import Delivery, Endpoint

    box = secrets.open_box(settings.state_path)
    rows = [("NAME", "STATE", "PENDING", "SECRET", "URL")]
    for endpoint in Endpoint.objects.filter(removed_at__isnull=True):
        pending = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING).count()
        enabled = "enabled" if endpoint.enabled else endpoint.disabled_reason or "disabled"
        rows.append((endpoint.name, enabled, str(pending), _fingerprint(endpoint, box), endpoint.url))
    session.print_table(rows)
    return 0


def _fingerprint(endpoint: "Endpoint", box: "SecretBox") -> str:
    if endpoint.secret is None:
        return "none"
    try:
        return fingerprint(box.open(bytes(endpoint.secret)))
    except GatewayError:
        return "cannot be decrypted"


def remove(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Remove one."""
    from gateway.webhooks import endpoints

    cancelled = endpoints.remove(args.name, now=datetime.now(UTC))
    print(f"endpoint {args.name} is removed; {cancelled} pending deliveries are cancelled")
    return 0


def enable(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Enable one."""
    from gateway.webhooks import endpoints

    endpoints.switch(args.name, enabled=True)
    print(f"endpoint {args.name} is enabled")
    return 0


def disable(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Disable one."""
    from gateway.webhooks import endpoints

    endpoints.switch(args.name, enabled=False)
    print(f"endpoint {args.name} is disabled; what is pending waits until it is enabled")
    return 0


def test(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Send a test through the real sender; status 1 if the receiver did not accept it."""
    from gateway.webhooks import diagnosis, endpoints, secrets
    from gateway.webhooks.sender import Sender

    endpoint = endpoints.get(args.name)
    box = secrets.open_box(settings.state_path)
    keys = () if endpoint.secret is None else (box.open(bytes(endpoint.secret)),)
    page_url = settings.page_url("test")
    request = diagnosis.test_request(endpoint.url, keys, page_url=page_url, now=datetime.now(UTC))
    sender = Sender(deadline_s=settings.webhooks.deadline_s, allowed=settings.webhooks.networks())
    outcome = sender.send(request)
    for line in diagnosis.explain(outcome, signed=bool(keys)):
        print(line)
    return 0 if outcome.fault is None else 1


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_SECRET_FILE_BYTES:
        raise UsageError(f"{path} is too long to hold a webhook secret")
    try:
        # An editor ends the line; the receiver's configuration does not.
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text") from None


def _write_secret(path: Path, secret: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise GatewayError(f"{path} is there already; name a new file for the secret") from None
    except OSError as error:
        raise GatewayError(f"{path} cannot be written: {error.strerror}") from None
