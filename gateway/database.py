"""The database's tables, brought to the version of this program."""

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from gateway.errors import GatewayError


def bring_up_to_date() -> None:
    """Make or change tables where the program needs it.

    Raises:
        GatewayError: the database was written by a later version of the program.
    """
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    unknown = [key for key in executor.loader.applied_migrations if key not in graph.nodes]
    if unknown:
        raise GatewayError("the database was written by a later version of the gateway; install that one again")
    if executor.migration_plan(graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)
