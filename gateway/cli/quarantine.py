"""`kiosk-gateway quarantine`: what was refused."""

import argparse
import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from contract.messages import MAX_MESSAGE_BYTES
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.feedback.models import Quarantine

DEFAULT_ROWS = 50


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``quarantine`` commands."""
    commands = subparsers.add_parser("quarantine", help="look at, replay and drop what was refused").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = commands.add_parser("list", help="show the newest entries")
    session.add_config_option(listing)
    listing.add_argument("--kiosk", metavar="ID", help="only those of one kiosk")
    listing.add_argument("--limit", type=int, default=DEFAULT_ROWS, help="how many (default: %(default)s; 0: all)")
    listing.add_argument("--json", action="store_true", help="print one line of JSON for each")
    listing.set_defaults(run=session.on_database(show_all))
    showing = commands.add_parser("show", help="show one entry; what somebody may have said is hidden")
    session.add_config_option(showing)
    showing.add_argument("number", type=int, metavar="NUMBER")
    showing.add_argument("--words", action="store_true", help="print the message as it came, and nothing else")
    showing.set_defaults(run=session.on_database(show))
    replaying = commands.add_parser("replay", help="take messages again, for example after their kiosk was added")
    _add_choice(replaying)
    replaying.add_argument(
        "--payload", type=Path, metavar="FILE", help="take this message in the place of the one entry's own"
    )
    replaying.set_defaults(run=session.on_database(replay))
    dropping = commands.add_parser("drop", help="delete entries")
    _add_choice(dropping)
    dropping.add_argument("--older-than", type=float, metavar="DAYS", help="with --all: only what came before")
    dropping.set_defaults(run=session.on_database(drop))


def _add_choice(parser: argparse.ArgumentParser) -> None:
    session.add_config_option(parser)
    parser.add_argument("numbers", type=int, nargs="*", metavar="NUMBER")
    parser.add_argument("--all", action="store_true", help="all entries")
    parser.add_argument("--kiosk", metavar="ID", help="with --all: only those of one kiosk")


def show_all(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """List the entries, the newest last."""
    from gateway.feedback import quarantine

    found = quarantine.select(args.kiosk).defer("raw").order_by("-last_received_at", "-pk")
    entries = list(found[: args.limit] if args.limit > 0 else found)[::-1]
    if args.json:
        for entry in entries:
            print(json.dumps(_fields(entry)))
        return 0
    rows = [("NUMBER", "LAST RECEIVED", "TIMES", "KIOSK", "BYTES", "REASON")]
    for entry in entries:
        when = f"{entry.last_received_at:%Y-%m-%d %H:%M:%SZ}"
        rows.append((str(entry.pk), when, str(entry.times), entry.kiosk, str(entry.raw_bytes), entry.reason))
    session.print_table(rows)
    return 0


def show(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Show one entry."""
    from gateway.feedback import quarantine

    (entry,) = quarantine.get([args.number])
    raw = bytes(entry.raw)
    if args.words:
        sys.stdout.buffer.write(raw)
        sys.stdout.flush()
        return 0
    for key, value in _fields(entry).items():
        print(f"{key.replace('_', ' ')}: {'' if value is None else value}")
    print(quarantine.without_words(raw))
    return 0


def replay(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Take messages again; status 1 if one is refused again."""
    from gateway.feedback import quarantine

    numbers = _chosen(args)
    payload = None
    if args.payload is not None:
        if len(numbers) != 1:
            raise UsageError("--payload takes the place of one message: name one entry")
        payload = _read(args.payload)
    # What the store says goes to the log of a running gateway; here it is said below.
    logging.getLogger("gateway").addHandler(logging.NullHandler())
    status = 0
    for number in numbers:
        (entry,) = quarantine.get([number])
        reason = quarantine.replay(entry, payload)
        print(f"{number}: stored" if reason is None else f"{number}: refused again: {reason}")
        status = status or int(reason is not None)
    return status


def drop(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Delete entries."""
    from gateway.feedback import quarantine

    numbers = _chosen(args)
    for number in numbers:
        quarantine.drop(number)
    print(f"{len(numbers)} entries are dropped")
    return 0


def _chosen(args: argparse.Namespace) -> list[int]:
    from gateway.feedback import quarantine

    if bool(args.numbers) == args.all:
        raise UsageError("name the numbers of entries, or say --all")
    if args.numbers:
        return [entry.pk for entry in quarantine.get(args.numbers)]
    days = getattr(args, "older_than", None)
    before = None if days is None else datetime.now(UTC) - timedelta(days=days)
    return list(quarantine.select(args.kiosk, before).values_list("pk", flat=True))


def _fields(entry: "Quarantine") -> dict[str, object]:
    return {
        "number": entry.pk,
        "topic": entry.topic,
        "kiosk": entry.kiosk or None,
        "message_id": None if entry.message_id is None else str(entry.message_id),
        "reason": entry.reason,
        "bytes": entry.raw_bytes,
        "times": entry.times,
        "received_at": entry.received_at.isoformat(),
        "last_received_at": entry.last_received_at.isoformat(),
    }


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_MESSAGE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
