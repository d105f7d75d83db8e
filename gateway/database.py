"""The database: its tables brought to the version of this program, and what SQLite and PostgreSQL do differently."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model, QuerySet

from gateway import database_url, state
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError

logger = logging.getLogger(__name__)

MIGRATION_LOCK = 0x766F6973
"""The number under which PostgreSQL keeps the lock that lets one process at a time change tables."""

M = TypeVar("M", bound=Model)


def bring_up_to_date() -> None:
    """Make or change tables where the program needs it; of several processes that start together, one does.

    Raises:
        GatewayError: the database was written by a later version of the program.
    """
    if not _plan():
        return
    with _alone():
        if _plan():
            call_command("migrate", verbosity=0, interactive=False)


def _plan() -> bool:
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    unknown = [key for key in executor.loader.applied_migrations if key not in graph.nodes]
    if unknown:
        raise GatewayError("the database was written by a later version of the gateway; install that one again")
    return bool(executor.migration_plan(graph.leaf_nodes()))


@contextmanager
def _alone() -> Iterator[None]:
    if not is_postgresql():
        yield
        return
    with connection.cursor() as cursor:
        # Whoever changes the tables may take minutes over it.
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
    try:
        yield
    finally:
        # With the connection go its lock and its setting, even where a statement failed.
        connection.close()


def is_postgresql() -> bool:
    """Tell whether the database is PostgreSQL, so that other processes may work on it at the same time."""
    return connection.vendor == "postgresql"


def told(settings: GatewaySettings) -> str:
    """Return where the database is, in words for people."""
    if settings.database.url is not None:
        return database_url.told(settings.database.url)
    return str(settings.state_path / state.DATABASE)


def for_update(rows: QuerySet[M]) -> QuerySet[M]:
    """Return ``rows`` as nobody else gets them before the transaction's end; what others hold is left out.

    SQLite lets one transaction write at a time, which does the same.
    """
    if connection.features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True, of=("self",))
    return rows


def warn_of_missing_durability() -> None:
    """Say so if the server may lose in a power cut what it has committed: receipts would promise too much."""
    if not is_postgresql():
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('fsync'), current_setting('full_page_writes')")
        fsync, pages = cursor.fetchone()
    if (fsync, pages) != ("on", "on"):
        logger.warning(
            "the database server may lose what it has committed when its power fails; set fsync and full_page_writes",
            extra={"fsync": fsync, "full_page_writes": pages},
        )
