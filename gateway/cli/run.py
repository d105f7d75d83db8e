"""`kiosk-gateway run`."""

import argparse

from gateway import logs
from gateway.cli import session
from gateway.configuration import GatewaySettings


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``run`` command."""
    parser = subparsers.add_parser("run", help="run the gateway until it is told to stop")
    session.add_config_option(parser)
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="default: %(default)s")
    parser.set_defaults(run=session.on_database(run, migrate=False))


def run(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Run until SIGTERM or SIGINT."""
    from gateway import runner

    logs.set_up(settings.log_level, args.log_format)
    runner.run(settings)
    return 0
