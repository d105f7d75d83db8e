"""`kiosk status`: how the running kiosk is, a line for each part."""

import argparse
import os
import shutil
import sys
from pathlib import Path

import msgspec

from contract import health_text, messages
from contract.health import Health, overall
from device.cli import configuration
from device.kiosk import SPOOL_NAME
from device.settings import KioskSettings
from device.spool import SpoolError
from device.spool.desk import Desk
from device.status_socket import ask

ANSWER_S = 10.0

WELL = 0
NOT_WELL = 1
NOT_ALLOWED = 2
NO_AGENT = 3


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "status",
        help="show how the running kiosk is",
        description="Show how each part of the running kiosk is. Exit status: 0 all is well, 1 a part is degraded or "
        "failed or the kiosk does not answer, 2 the settings or rights do not fit, 3 no kiosk runs.",
    )
    configuration.add_option(parser)
    parser.add_argument("--json", action="store_true", help="the whole health as one JSON object, for machines")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = configuration.load(arguments)
    folder = Path(settings.runtime_dir)
    try:
        answer = ask(folder, ANSWER_S)
        health = messages.decode(Health, answer)
    except (FileNotFoundError, ConnectionRefusedError):
        print(f"kiosk: no kiosk runs (there is none at {folder}); start it with `kiosk run`", file=sys.stderr)
        if not arguments.json:
            print(_spooled(settings))
        return NO_AGENT
    except PermissionError:
        print(f"kiosk: {folder} belongs to the kiosk's user: ask as that user, or with sudo", file=sys.stderr)
        return NOT_ALLOWED
    except TimeoutError:
        print("kiosk: a kiosk runs and does not answer: a part of it hangs, perhaps the disk", file=sys.stderr)
        return NOT_WELL
    except (messages.MessageError, OSError):
        print("kiosk: the kiosk cannot tell how it is; its log says why", file=sys.stderr)
        return NOT_WELL
    if arguments.json:
        print(msgspec.json.encode(health).decode())
    else:
        width = shutil.get_terminal_size().columns
        print("\n".join(health_text.lines(health, width, colours=health_text.is_colourful(sys.stdout, os.environ))))
    return WELL if overall(health) == "ok" else NOT_WELL


def _spooled(settings: KioskSettings) -> str:
    path = Path(settings.state_dir) / SPOOL_NAME
    if not path.exists():
        return f"There is no spool at {path}: a kiosk has never run here."
    try:
        with Desk(path) as desk:
            depth = desk.depth()
    except SpoolError as error:
        return str(error)
    waiting = depth.get("waiting", 0) + depth.get("held", 0)
    return f"The spool holds {waiting} records for the gateway, and {depth.get('refused', 0)} that it refused."
