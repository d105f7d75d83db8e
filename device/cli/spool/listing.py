"""`kiosk spool list`: what the gateway has not stored yet, the oldest first."""

import argparse
import json

from device.cli import configuration
from device.cli.spool import place

_HEADS = ("", "ID", "STATE", "AGE", "VISIT")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "list",
        help="list the records, without their words",
        description="List what the gateway has not stored yet, the oldest visit first, without the words.",
    )
    place.add_state_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    configuration.add_option(parser)
    parser.set_defaults(run=place.piped(_run))


def _run(arguments: argparse.Namespace) -> int:
    with place.desk(arguments) as desk:
        times = place.Times.of(desk)
        depth = desk.depth()
        has_head = arguments.json
        for row in desk.rows(arguments.state):
            fields = place.summary(row, times)
            if arguments.json:
                print(json.dumps(fields))
                continue
            if not has_head:
                print(_line(*_HEADS))
                has_head = True
            _print(fields)
    if not arguments.json:
        print(place.counts(depth))
    return 0


def _print(fields: place.Fields) -> None:
    number = "" if fields["sequence"] is None else f"{fields['sequence']}"
    visit = str(fields["pressed_at"] or "?").replace("T", " ").removesuffix("+00:00")
    if fields["clock"] == "unsynchronised":
        visit += "  (the clock was not set)"
    print(_line(number, str(fields["id"]), str(fields["state"]), place.age(fields["age_s"]), visit))
    if fields["reason"] is not None:
        print(f"{'':>8}  {fields['reason']}")


def _line(number: str, record_id: str, state: str, age: str, visit: str) -> str:
    return f"{number:>8}  {record_id:<36}  {state:<7}  {age:>8}  {visit}".rstrip()
