"""The option `--config`, the same for every command that needs the kiosk's settings."""

import argparse
from pathlib import Path

from contract import settings_file
from device.settings import DEFAULT_PATH, KioskSettings


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let a command name its settings file."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help="the kiosk's settings (%(default)s)"
    )


def load(arguments: argparse.Namespace) -> KioskSettings:
    """Read the settings that the command line names.

    Raises:
        contract.settings_file.SettingsError: they cannot be used.
    """
    return settings_file.load(arguments.config, KioskSettings)


def load_if_there(arguments: argparse.Namespace) -> KioskSettings:
    """Read the settings that the command line names; the defaults if it names none and the kiosk has none yet.

    Raises:
        contract.settings_file.SettingsError: they cannot be used.
    """
    if arguments.config == DEFAULT_PATH and not DEFAULT_PATH.exists():
        return KioskSettings()
    return load(arguments)
