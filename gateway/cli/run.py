"""`kiosk-gateway run`."""

import argparse

from gateway import logs
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.roles import Role


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``run`` command."""
    parser = subparsers.add_parser("run", help="run the gateway until it is told to stop")
    session.add_config_option(parser)
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="default: %(default)s")
    parser.add_argument(
        "--role",
        dest="roles",
        action="append",
        choices=[str(role) for role in Role],
        help="run only this part, or these; the others run in other processes, on PostgreSQL (default: all)",
    )
    parser.set_defaults(run=session.on_database(run, migrate=False))


def run(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Run until SIGTERM or SIGINT."""
    from gateway import runner

    logs.set_up(settings.log_level, args.log_format)
    runner.run(settings, frozenset(map(Role, args.roles or Role)))
    return 0
