"""`kiosk run`: the agent."""

import argparse
import logging
import signal

from device.cli import configuration
from device.kiosk import Kiosk


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("run", help="run the kiosk until it is told to stop")
    configuration.add_option(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = configuration.load(arguments)
    logging.getLogger().setLevel(settings.log_level)
    kiosk = Kiosk(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: kiosk.stop())
    kiosk.run()
    return 0
