"""`kiosk-gateway trace`: what happened to one feedback, from the visitor to each attempt of each webhook."""

import argparse
import json
from datetime import UTC, datetime

from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``trace`` command."""
    parser = subparsers.add_parser("trace", help="show the way of one feedback, without what was said")
    session.add_config_option(parser)
    parser.add_argument("id", metavar="ID", help="the feedback's id")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each step")
    parser.set_defaults(run=session.on_database(run))


def run(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Print the steps, each with the time since the one before."""
    from gateway import trace

    key = session.feedback_id(args.id)
    steps = trace.of(key)
    if not steps:
        raise GatewayError(f"nothing is known of a feedback {key}; perhaps it is still on its kiosk")
    if args.json:
        for step in steps:
            print(json.dumps({"at": _time(step.at), "what": step.what, **step.fields}))
        return 0
    rows = [("AT", "AFTER", "WHAT", "")]
    before = steps[0].at
    for step in steps:
        told = " ".join(f"{name}={value}" for name, value in step.fields.items() if value is not None)
        rows.append((_time(step.at), f"{(step.at - before).total_seconds():.3f} s", step.what, told))
        before = step.at
    session.print_table(rows)
    return 0


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
