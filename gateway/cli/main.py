"""`kiosk-gateway`: the gateway's one command."""

import argparse
import os
import sys
from pathlib import Path

from contract.settings_file import SettingsError
from gateway.cli import analyse, backup, deliveries, endpoint, erase, kiosk, listen, quarantine, run, trace
from gateway.configuration import CONFIG_VARIABLE, DEFAULT_PATH
from gateway.errors import GatewayError, UsageError

FAILURE = 1
USAGE = 2


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 1 for a failure, 2 for a request that makes no sense."""
    args = make_parser().parse_args(argv)
    # Nothing that the gateway writes is anybody else's to read.
    os.umask(0o077)
    try:
        status: int = args.run(args)
    except (SettingsError, UsageError) as error:
        return _fail(str(error), USAGE)
    except GatewayError as error:
        return _fail(str(error), FAILURE)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has seen enough; what is left must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(prog="kiosk-gateway", description="Voiseback's gateway for kiosks.")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the settings (default: ${CONFIG_VARIABLE}, else {DEFAULT_PATH} if it exists, else the defaults)",
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (run, kiosk, endpoint, deliveries, trace, quarantine, erase, backup, analyse, listen):
        command.add_parser(subparsers)
    return parser


def _fail(text: str, status: int) -> int:
    print(f"kiosk-gateway: {text}", file=sys.stderr)
    return status
