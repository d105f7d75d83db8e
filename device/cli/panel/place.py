"""Where the panel is: the option `--port`, and what it stands for when it is not given."""

import argparse
import sys

from device.cli import configuration
from device.settings import DEFAULT_PATH
from firmware_bridge import AUTO, Button, Identity


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a command name its port."""
    parser.add_argument(
        "--port",
        metavar="PATH",
        help=f"the panel's serial port, or {AUTO} (default: that of the settings, else {AUTO})",
    )
    configuration.add_option(parser)


def port(arguments: argparse.Namespace) -> str:
    """Return the port that the command line or the settings name, else AUTO.

    Raises:
        contract.settings_file.SettingsError: the settings cannot be used.
    """
    if arguments.port:
        return str(arguments.port)
    if arguments.config == DEFAULT_PATH and not DEFAULT_PATH.exists():
        return AUTO
    return configuration.load(arguments).panel.port or AUTO


def describe(identity: Identity) -> str:
    """Return who a panel is, in one line."""
    firmware = ".".join(map(str, identity.firmware))
    return f"panel {identity.serial_number or 'without a number'}, firmware {firmware}, protocol {identity.protocol}"


def name(button: Button) -> str:
    """Return a button's name as it is written on no panel: in lower case."""
    return button.name.lower()


def complain(error: Exception) -> int:
    """Say what is wrong; return the exit status."""
    print(f"kiosk: {error}", file=sys.stderr)
    return 1
