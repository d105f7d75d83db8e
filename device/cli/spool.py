"""`kiosk spool`: the feedback that the gateway has not stored yet."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from device.cli import configuration
from device.kiosk import SPOOL_NAME
from device.spool import Entry, Spool


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser("spool", help="the feedback that waits for the gateway")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="list the records, without their words")
    configuration.add_option(listing)
    listing.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    listing.set_defaults(run=_list)


def _list(arguments: argparse.Namespace) -> int:
    path = Path(configuration.load(arguments).state_dir) / SPOOL_NAME
    if not path.exists():
        print(f"kiosk: there is no spool at {path}; it is made when the kiosk first runs", file=sys.stderr)
        return 1
    spool = Spool(path)
    try:
        entries = spool.entries()
        total = sum(spool.depth().values())
    finally:
        spool.close()
    for entry in entries:
        print(json.dumps(_fields(entry)) if arguments.json else _readable(entry))
    if not arguments.json:
        print(f"{total} records" if total != 1 else "1 record")
    return 0


def _fields(entry: Entry) -> dict[str, str | int | None]:
    pressed = datetime.fromtimestamp(entry.record.pressed.wall_s, UTC).isoformat(timespec="seconds")
    return {
        "sequence": entry.sequence,
        "id": entry.id,
        "state": entry.state,
        "pressed_at": pressed,
        "clock": "synchronised" if entry.record.pressed.synchronised else "unsynchronised",
        "reason": entry.reason,
    }


def _readable(entry: Entry) -> str:
    fields = _fields(entry)
    return "  ".join(str(fields[key]) for key in ("sequence", "id", "state", "pressed_at", "reason") if fields[key])
