"""`kiosk-gateway deliveries`: what became of the webhooks, and sending them again."""

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.webhooks.models import Delivery

DEFAULT_ROWS = 50


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``deliveries`` commands."""
    commands = subparsers.add_parser(
        "deliveries", help="show what became of the webhooks, and send them again"
    ).add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="show the newest deliveries")
    session.add_config_option(listing)
    listing.add_argument("--json", action="store_true", help="print one line of JSON for each")
    listing.add_argument("--limit", type=int, default=DEFAULT_ROWS, help="how many (default: %(default)s; 0: all)")
    listing.set_defaults(run=session.on_database(show))
    replaying = commands.add_parser(
        "replay",
        help="send again what has come to its end",
        description="Send one delivery again, or all that fit. Each keeps its Webhook-Id, by which a receiver knows "
        "what it has already.",
    )
    session.add_config_option(replaying)
    replaying.add_argument("id", nargs="?", metavar="ID", help="the Webhook-Id of one, whatever has become of it")
    replaying.add_argument("--endpoint", metavar="NAME", help="those of this endpoint")
    replaying.add_argument(
        "--state",
        action="append",
        choices=("exhausted", "cancelled", "delivered"),
        help="those in this state (default: exhausted and cancelled)",
    )
    replaying.add_argument("--since", type=_moment, metavar="TIME", help="those made then or later, 2026-11-26T10:00Z")
    replaying.add_argument("--until", type=_moment, metavar="TIME", help="those made before")
    replaying.set_defaults(run=session.on_database(replay))


def show(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """List the deliveries, the newest last."""
    from gateway.webhooks.models import Delivery

    found = Delivery.objects.select_related("endpoint").defer("body").order_by("-pk")
    rows = [_row(delivery) for delivery in (found[: args.limit] if args.limit > 0 else found)][::-1]
    if args.json:
        for row in rows:
            print(json.dumps(row))
        return 0
    heads = ["webhook_id", "event", "feedback", "endpoint", "state", "attempts", "last_status", "next_due_at"]
    table = [["" if row[head] is None else str(row[head]) for head in heads] for row in rows]
    session.print_table([[head.replace("_", " ").upper() for head in heads], *table])
    return 0


def replay(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Send deliveries again."""
    from gateway.webhooks import endpoints
    from gateway.webhooks import replay as replaying

    now = datetime.now(UTC)
    selects = any((args.endpoint, args.state, args.since, args.until))
    if (args.id is None) is not selects:
        raise UsageError("name one delivery by its Webhook-Id, or several by --endpoint, --state, --since and --until")
    if args.id is not None:
        found = replaying.one(args.id, now=now)
        print(f"{found.event} {found.webhook_id} is sent to {found.endpoint.name} again")
        return 0
    default = replaying.Selection()
    selection = replaying.Selection(
        endpoint=None if args.endpoint is None else endpoints.get(args.endpoint),
        states=tuple(args.state or default.states),
        since=args.since,
        until=args.until,
    )
    print(f"{replaying.several(selection, now=now)} deliveries are sent again")
    return 0


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no time: write it like 2026-11-26T10:00Z"
        raise argparse.ArgumentTypeError(msg) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _row(delivery: "Delivery") -> dict[str, object]:
    return {
        "id": delivery.pk,
        "webhook_id": delivery.webhook_id,
        "event": delivery.event,
        "feedback": str(delivery.feedback_id),
        "endpoint": delivery.endpoint.name,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error or None,
        "created_at": _time(delivery.created_at),
        "next_due_at": _time(delivery.next_due_at),
        "finished_at": _time(delivery.finished_at),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
