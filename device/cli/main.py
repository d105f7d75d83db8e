"""`kiosk`: what a field technician types."""

import argparse
import sys

from contract.settings_file import SettingsError
from device import logs
from device.cli import mic, model, panel, run, spool, status, transcribe, watch
from device.lock import AlreadyRunningError
from device.spool import SpoolError

USAGE_STATUS = 2


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands."""
    parser = argparse.ArgumentParser(prog="kiosk", description="The Voiseback kiosk: press, speak, be thanked.")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (run, status, watch, spool, transcribe, model, mic, panel):
        command.add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return its exit status: 0 for success, 1 for a failure, 2 for a user's mistake."""
    arguments = make_parser().parse_args(argv)
    logs.set_up()
    try:
        exit_status: int = arguments.run(arguments)
    except SettingsError as error:
        print(f"kiosk: {error}", file=sys.stderr)
        return USAGE_STATUS
    except (AlreadyRunningError, SpoolError) as error:
        print(f"kiosk: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"kiosk: {error.filename}: {error.strerror}; check that it exists and its rights", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return exit_status


if __name__ == "__main__":
    sys.exit(main())
