"""`kiosk model`: the speech models of the kiosk."""

import argparse

from device.cli.model import install, listing, remove, use, verify


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser(
        "model",
        help="the speech models",
        description="Install, check and choose the speech models with which the kiosk understands people.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (listing, install, use, verify, remove):
        command.add_parser(commands)
