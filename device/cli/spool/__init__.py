"""`kiosk spool`: the feedback that the gateway has not stored yet."""

import argparse

from device.cli.spool import export, listing, retry, show


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser(
        "spool",
        help="the feedback that waits for the gateway",
        description="Look at the feedback that the gateway has not stored yet, and send again what it refused.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (listing, show, retry, export):
        command.add_parser(commands)
