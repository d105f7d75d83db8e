"""`kiosk-gateway kiosk`: who may speak to the gateway."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from contract import credentials
from contract.credentials import BrokerCredentials
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``kiosk`` commands."""
    commands = subparsers.add_parser("kiosk", help="add, list and remove kiosks").add_subparsers(
        required=True, metavar="COMMAND"
    )
    adding = commands.add_parser("add", help="admit a kiosk and write the credentials that it needs")
    session.add_config_option(adding)
    adding.add_argument("id", metavar="ID", help="lower-case letters, digits and inner hyphens, at most 63")
    adding.add_argument("--name", help="how people call it")
    adding.add_argument("--page-url", metavar="URL", help="the page_url of its webhooks")
    adding.add_argument("--credentials", type=Path, required=True, metavar="FILE", help="a new file to write")
    adding.add_argument("--renew", action="store_true", help="give a known kiosk a new password; the old one ends")
    adding.set_defaults(run=session.on_database(add))
    listing = commands.add_parser("list", help="show the kiosks")
    session.add_config_option(listing)
    listing.set_defaults(run=session.on_database(show))
    removing = commands.add_parser("remove", help="shut a kiosk out; its feedback stays")
    session.add_config_option(removing)
    removing.add_argument("id", metavar="ID")
    removing.set_defaults(run=session.on_database(remove))


def add(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Add or renew, and write the credentials; both happen or neither."""
    from django.db import transaction

    from gateway.broker import access
    from gateway.kiosks import registry

    if args.credentials.exists() or args.credentials.is_symlink():
        raise GatewayError(f"{args.credentials} is there already; name a new file")
    now = datetime.now(UTC)
    door = access.for_kiosks(settings, now=now)
    written = False
    try:
        with transaction.atomic():
            if args.renew:
                password = registry.renew(args.id, name=args.name, page_url=args.page_url, now=now)
            else:
                password = registry.add(args.id, name=args.name or "", page_url=args.page_url or "", now=now)
            made = BrokerCredentials(
                kiosk_id=args.id,
                host=door.host,
                port=door.port,
                username=args.id,
                password=password,
                ca_certificate=door.ca_certificate,
            )
            credentials.write(args.credentials, made)
            written = True
    except OSError as error:
        raise GatewayError(f"{args.credentials} cannot be written: {error.strerror}; no kiosk was changed") from None
    except BaseException:
        if written:
            args.credentials.unlink(missing_ok=True)
        raise
    print(f"kiosk {args.id} may connect to {made.host} port {made.port} with the credentials in {args.credentials}")
    if settings.broker.external is not None:
        print(f"give the broker the user {args.id} with the password in that file, and the rights of a kiosk")
    return 0


def show(_args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """List the kiosks."""
    from gateway.kiosks.models import Kiosk

    rows = [("ID", "STATE", "LAST SEEN", "VERSION", "NAME")]
    for kiosk in Kiosk.objects.filter(removed_at__isnull=True):
        seen = "never" if kiosk.last_seen_at is None else f"{kiosk.last_seen_at:%Y-%m-%d %H:%M:%SZ}"
        rows.append((kiosk.pk, "online" if kiosk.online else "offline", seen, kiosk.agent_version, kiosk.name))
    session.print_table(rows)
    return 0


def remove(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Remove one."""
    from gateway.kiosks import registry

    registry.remove(args.id, now=datetime.now(UTC))
    print(f"kiosk {args.id} is shut out; its feedback stays")
    return 0
