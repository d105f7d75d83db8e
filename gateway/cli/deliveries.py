"""`kiosk-gateway deliveries`: what became of the webhooks."""

import argparse
import json
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.cli import session
from gateway.configuration import GatewaySettings

if TYPE_CHECKING:
    from gateway.webhooks.models import Delivery

DEFAULT_ROWS = 50


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``deliveries`` commands."""
    commands = subparsers.add_parser("deliveries", help="show what became of the webhooks").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = commands.add_parser("list", help="show the newest deliveries")
    session.add_config_option(listing)
    listing.add_argument("--json", action="store_true", help="print one line of JSON for each")
    listing.add_argument("--limit", type=int, default=DEFAULT_ROWS, help="how many (default: %(default)s; 0: all)")
    listing.set_defaults(run=session.on_database(show))


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
