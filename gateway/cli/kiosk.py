"""`kiosk-gateway kiosk`: who may speak to the gateway."""

import argparse
import json
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract import credentials, health_text
from contract.credentials import BrokerCredentials
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError

if TYPE_CHECKING:
    # Models can be imported only when the gateway is opened.
    from gateway.kiosks.models import Kiosk, KioskHealth


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``kiosk`` commands."""
    commands = subparsers.add_parser("kiosk", help="add, list, show and remove kiosks").add_subparsers(
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
    listing.set_defaults(run=session.on_database(list_all))
    showing = commands.add_parser("show", help="show one kiosk and how each of its parts is")
    session.add_config_option(showing)
    showing.add_argument("id", metavar="ID")
    showing.add_argument("--json", action="store_true", help="one JSON object, for machines")
    showing.set_defaults(run=session.on_database(show))
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


def list_all(_args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """List the kiosks."""
    from gateway.kiosks.models import Kiosk

    now = datetime.now(UTC)
    rows = [("ID", "STATE", "SINCE", "LAST SEEN", "HEALTH", "PROBLEMS", "VERSION", "NAME")]
    for kiosk in Kiosk.objects.filter(removed_at__isnull=True).select_related("health"):
        row = _health_row(kiosk)
        rows.append(
            (
                kiosk.pk,
                "online" if kiosk.online else "offline",
                _time(kiosk.presence_changed_at),
                _time(kiosk.last_seen_at),
                _health_cell(row, now),
                "" if row is None or not row.state else str(row.problems),
                kiosk.agent_version,
                kiosk.name,
            )
        )
    session.print_table(rows)
    return 0


def show(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Show one with its health."""
    from gateway.kiosks import health_keeper
    from gateway.kiosks.models import Kiosk

    kiosk = Kiosk.objects.filter(pk=args.id, removed_at__isnull=True).select_related("health").first()
    if kiosk is None:
        raise GatewayError(f"there is no kiosk {args.id!r}; `kiosk-gateway kiosk list` shows those there are")
    row = _health_row(kiosk)
    if args.json:
        print(json.dumps(_fields(kiosk, row), ensure_ascii=False))
        return 0
    session.print_table(
        [
            ("kiosk", f"{kiosk.pk} {kiosk.name}".strip()),
            ("state", f"{'online' if kiosk.online else 'offline'} since {_time(kiosk.presence_changed_at)}"),
            ("last seen", _time(kiosk.last_seen_at)),
            ("address", kiosk.address or "unknown"),
            ("version", kiosk.agent_version or "unknown"),
            ("health", _health_cell(row, datetime.now(UTC))),
        ]
    )
    if row is not None and row.unreadable:
        print(f"Of its health, {row.unreadable} messages could not be read, the last because {row.unreadable_reason}")
    health = None if row is None else health_keeper.health_of(row)
    if health is not None:
        print()
        for line in health_text.lines(health, shutil.get_terminal_size().columns, colours=_is_colourful()):
            print(line)
    return 0


def _health_row(kiosk: "Kiosk") -> "KioskHealth | None":
    return getattr(kiosk, "health", None)


def _health_cell(row: "KioskHealth | None", now: datetime) -> str:
    from gateway.kiosks import health_keeper

    if row is None or row.received_at is None:
        return "unknown"
    old = health_keeper.is_old(row.received_at, now)
    return f"{row.state} ({health_text.span((now - row.received_at).total_seconds())} ago)" if old else row.state


def _fields(kiosk: "Kiosk", row: "KioskHealth | None") -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return None if value is None else value.isoformat()

    return {
        "id": kiosk.pk,
        "name": kiosk.name,
        "page_url": kiosk.page_url,
        "online": kiosk.online,
        "since": moment(kiosk.presence_changed_at),
        "last_seen_at": moment(kiosk.last_seen_at),
        "session": kiosk.session,
        "address": kiosk.address or None,
        "agent_version": kiosk.agent_version or None,
        "health_received_at": None if row is None else moment(row.received_at),
        "state": None if row is None else row.state or None,
        "problems": None if row is None or not row.state else row.problems,
        "unreadable": 0 if row is None else row.unreadable,
        "health": None if row is None else row.report,
    }


def _time(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"


def _is_colourful() -> bool:
    return health_text.is_colourful(sys.stdout, os.environ)


def remove(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Remove one."""
    from gateway.kiosks import registry

    registry.remove(args.id, now=datetime.now(UTC))
    print(f"kiosk {args.id} is shut out; its feedback stays")
    return 0
