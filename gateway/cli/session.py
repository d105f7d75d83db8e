"""What commands need that work on the gateway's state: settings, the state directory, Django, the tables."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import django

from gateway import backup, configuration, state
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError, UsageError

Command = Callable[[argparse.Namespace, GatewaySettings], int]


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Let ``--config`` stand behind the command as well."""
    parser.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="the settings")


def open_gateway(args: argparse.Namespace) -> GatewaySettings:
    """Read the settings, make the state directory and set Django up.

    Raises:
        contract.settings_file.SettingsError: the settings do not fit.
        GatewayError: the state directory cannot be used.
    """
    settings = configuration.load(args.config)
    state.prepare(settings.state_path, database=settings.database.url is None)
    backup.check_finished(settings.state_path)
    configuration.activate(settings)
    os.environ["DJANGO_SETTINGS_MODULE"] = "gateway.settings"
    django.setup()
    return settings


def on_database(command: Command, *, migrate: bool = True) -> Callable[[argparse.Namespace], int]:
    """Return ``command`` as one that finds the gateway opened, and whose database errors are one sentence."""

    def act(args: argparse.Namespace) -> int:
        settings = open_gateway(args)
        # Models can be imported only now.
        from django.db import Error, connections

        from gateway import database

        try:
            if migrate:
                database.bring_up_to_date()
            return command(args, settings)
        except Error as error:
            why = " ".join(str(error).split())
            raise GatewayError(f"the database {database.told(settings)} cannot be used: {why}") from error
        finally:
            connections.close_all()

    return act


def feedback_id(text: str) -> UUID:
    """Return the id that somebody typed.

    Raises:
        UsageError: it is none.
    """
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(
            f"{text[:100]!r} is no feedback id: it looks like 0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01"
        ) from None


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns, each as wide as its widest cell; what cannot be printed is escaped."""
    shown = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    for row in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
