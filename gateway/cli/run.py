"""`kiosk-gateway run`."""

import argparse

from msgspec import structs

from gateway import logs
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import UsageError
from gateway.roles import Role

MAX_PORT = 65_535


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
    parser.add_argument(
        "--monitoring-port", type=int, metavar="PORT", help="where this process has /healthz and /metrics; 0: nowhere"
    )
    parser.set_defaults(run=session.on_database(run, migrate=False))


def run(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Run until SIGTERM or SIGINT."""
    from gateway import runner

    if args.monitoring_port is not None:
        if not 0 <= args.monitoring_port <= MAX_PORT:
            raise UsageError(f"--monitoring-port must be a port, not {args.monitoring_port}")
        monitoring = structs.replace(settings.monitoring, port=args.monitoring_port)
        settings = structs.replace(settings, monitoring=monitoring)
    logs.set_up(settings.log_level, args.log_format)
    runner.run(settings, frozenset(map(Role, args.roles or Role)))
    return 0
