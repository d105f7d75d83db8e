"""`kiosk-gateway backup` and `kiosk-gateway restore`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from gateway import backup, configuration, state
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``backup`` and ``restore`` commands."""
    making = subparsers.add_parser("backup", help="write a backup while the gateway runs")
    session.add_config_option(making)
    making.add_argument("file", type=Path, metavar="FILE", help="a new file; as secret as the state directory")
    making.set_defaults(run=make)
    restoring = subparsers.add_parser("restore", help="put a backup in the place of the present state")
    session.add_config_option(restoring)
    restoring.add_argument("file", type=Path, metavar="FILE")
    restoring.set_defaults(run=restore)


def make(args: argparse.Namespace) -> int:
    """Write a backup."""
    settings = _settings(args)
    if not (settings.state_path / state.DATABASE).exists():
        raise GatewayError(f"there is no gateway in {settings.state_path} yet")
    backup.check_finished(settings.state_path)
    size = backup.make(settings.state_path, args.file, now=datetime.now(UTC))
    print(f"{args.file} holds the database and the keys, {size / 1e6:.1f} MB; keep it as secret as they are")
    return 0


def restore(args: argparse.Namespace) -> int:
    """Restore one."""
    settings = _settings(args)
    state.prepare(settings.state_path, database=False)
    with state.exclusive(settings.state_path):
        kept = backup.restore(settings.state_path, args.file, now=datetime.now(UTC))
    print(f"{args.file} is restored to {settings.state_path}")
    if kept is not None:
        print(f"what was there before is in {kept}; delete it when it is not needed any more")
    return 0


def _settings(args: argparse.Namespace) -> GatewaySettings:
    settings = configuration.load(args.config)
    if settings.database.url is not None:
        raise GatewayError(
            "the database is PostgreSQL: back it up with pg_dump and restore it with pg_restore, and keep a copy of "
            f"endpoint_keys, secret_key and tls in {settings.state_path} beside it"
        )
    return settings
