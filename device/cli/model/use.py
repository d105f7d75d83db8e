"""`kiosk model use`: make another installed model the active one, or go back to the previous one."""

import argparse

from audio.models import language as languages
from audio.models.change import Change
from device.cli import configuration
from device.cli.model import place


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "use",
        help="make an installed model the active one",
        description="Make an installed model the active one of its language, or go back to the previous one.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", metavar="NAME", help="the model, see: kiosk model list")
    what.add_argument("--previous", action="store_true", help="the one that was active before")
    parser.add_argument(
        "--language",
        type=place.language,
        metavar="TAG",
        help="the language to go back in (default: that of the settings)",
    )
    configuration.add_option(parser)
    parser.set_defaults(run=place.telling(_run))


def _run(arguments: argparse.Namespace) -> int:
    with Change(place.shelf(arguments)) as change:
        if arguments.previous:
            slot = change.go_back(arguments.language or place.settings(arguments).audio.language)
        else:
            slot = change.activate(arguments.name)
        installed = change.shelf.find(slot.active)
    tag = installed.manifest.language if installed and installed.manifest else ""
    print(f"{slot.active} is the active model for {languages.primary(tag)!r}.")
    if slot.previous:
        print(place.way_back(arguments, tag, slot.previous))
    print("\n".join(place.how_it_is_heard(arguments, tag)))
    return 0
