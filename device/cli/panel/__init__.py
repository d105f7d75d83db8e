"""`kiosk panel`: what a technician or developer does with the button panel."""

import argparse

from device.cli.panel import identify, listing, monitor, trial
from firmware_bridge import virtual_panel


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `panel` and its commands; each sets `run`, a function from the parsed arguments to the exit status."""
    panel = subparsers.add_parser("panel", help="the button panel", description="Work with the button panel.")
    commands = panel.add_subparsers(dest="panel_command", metavar="COMMAND", required=True)
    for command in (listing, trial, identify, monitor):
        command.add_parser(commands)
    virtual = commands.add_parser(
        "virtual",
        help="be a panel without hardware",
        description="Be a button panel without hardware, for a kiosk whose configuration names the link as its panel.",
    )
    virtual_panel.add_arguments(virtual)
    virtual.set_defaults(run=virtual_panel.run)
