"""`kiosk spool retry`: a record that the gateway refused waits again."""

import argparse
import json
import sys

from device.cli import configuration
from device.cli.spool import place
from device.spool.desk import Desk, NotRetriedError
from device.spool.rows import Row


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "retry",
        help="send a refused record again",
        description="Let a record that the gateway refused wait again, behind all others. A running kiosk sends it"
        " within half a minute, others at their next start. If its cause is still there, it is refused again.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "id", metavar="ID", nargs="?", help="the record's id, or so much of its beginning as no other has"
    )
    which.add_argument("--all", action="store_true", help="every refused record, in the order of the visits")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    configuration.add_option(parser)
    parser.set_defaults(run=place.piped(_run))


def _run(arguments: argparse.Namespace) -> int:
    with place.desk(arguments, to_change=True) as desk:
        chosen = list(desk.rows("refused")) if arguments.all else [desk.find(arguments.id)]
        done = [_retried(desk, row, as_json=arguments.json) for row in chosen]
    if not arguments.json and (arguments.all or any(done)):
        number = sum(done)
        print(f"{number} record{' waits' if number == 1 else 's wait'} for the gateway again")
    return 0 if all(done) else 1


def _retried(desk: Desk, row: Row, *, as_json: bool) -> bool:
    problem = None
    try:
        desk.retry(row)
    except NotRetriedError as error:
        problem = str(error)
    if as_json:
        print(json.dumps({"id": row.id, "retried": problem is None, "problem": problem}))
    elif problem is not None:
        print(f"kiosk: {problem}", file=sys.stderr)
    return problem is None
