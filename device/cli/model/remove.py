"""`kiosk model remove`: remove a model, or what came of an interrupted download."""

import argparse

from audio.models.change import Change
from device.cli import configuration
from device.cli.model import place


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "remove", help="remove a model", description="Remove a model, or what came of an interrupted download."
    )
    parser.add_argument("name", metavar="NAME", help="the model, see: kiosk model list")
    parser.add_argument("--force", action="store_true", help="even if it is active, or the running kiosk uses it")
    configuration.add_option(parser)
    parser.set_defaults(run=place.telling(_run))


def _run(arguments: argparse.Namespace) -> int:
    shelf = place.shelf(arguments)
    was_active = arguments.force and any(slot.active == arguments.name for slot in shelf.slots().values())
    with Change(shelf) as change:
        slot = change.remove(arguments.name, force=arguments.force)
    print(f"Removed {arguments.name}.")
    if slot is not None:
        print(f"{slot.active} is the active model; a running kiosk takes it at its next start.")
    elif was_active:
        print("No model is active for its language; the kiosk would use the built-in demonstration model.")
    return 0
