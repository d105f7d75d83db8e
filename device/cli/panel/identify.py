"""`kiosk panel identify`: which of the panels in the shop is it?"""

import argparse

from device.cli.panel import place
from firmware_bridge import Scene
from firmware_bridge.port import PortError
from firmware_bridge.session import find_panel


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "identify", help="let the panel blink", description="Let all lights of the panel blink, to see which one it is."
    )
    place.add_options(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long (default %(default)g)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        with find_panel(place.port(arguments)) as panel:
            panel.show(Scene.IDENTIFY)
            print(panel.path)
            print(f"  {place.describe(panel.identity)}; it blinks for {arguments.seconds:g} s", flush=True)
            panel.wait(arguments.seconds)
            panel.show(Scene.OUT_OF_SERVICE)
    except PortError as error:
        return place.complain(error)
    return 0
