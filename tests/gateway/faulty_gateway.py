"""The gateway, but killed by its own hand at a named point: ``python -m tests.gateway.faulty_gateway POINT TIMES ...``.

The points are put around the product's functions from here, so that the product has none of this.
"""

import argparse
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from gateway.cli import run as run_command
from gateway.cli.main import main
from gateway.configuration import GatewaySettings

Act = Callable[..., Any]

POINTS = ("received", "stored", "committed", "receipted", "acknowledged", "claimed", "enqueued", "analysed")
"""In the order in which a feedback comes by them: each lies between two steps that must not depend on each other.

received: taken from the broker, not yet given to the database.
stored: in the database, in a transaction that is not committed.
committed: before the first receipt of the batch.
receipted: after the first receipt of the batch.
acknowledged: after the first acknowledgement of the batch.
claimed: found by the analysis, on PostgreSQL with its claim committed.
enqueued: the deliveries are made, in a transaction that is not committed.
analysed: the analysis and the deliveries are committed, and nobody has been told.
"""


class Death:
    """Ends the process at a point that is reached for the last of so many times."""

    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._left = times

    def at(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def put(owner: object, name: str, death: Death, point: str, *, before: bool = False) -> None:
    act: Act = getattr(owner, name)

    @functools.wraps(act)
    def around(*args: Any, **kwargs: Any) -> Any:
        if before:
            death.at(point)
        result = act(*args, **kwargs)
        if not before:
            death.at(point)
        return result

    setattr(owner, name, around)


def put_all(death: Death) -> None:
    """Put every point where it belongs; Django is set up by now."""
    from django.db.models.query import QuerySet

    from gateway.analysis.worker import Analyst
    from gateway.feedback import store
    from gateway.feedback.subscriber import Delivered, Subscriber
    from gateway.webhooks import outbox

    put(QuerySet, "bulk_create", death, "stored")
    put(store, "commit", death, "received", before=True)
    put(store, "commit", death, "committed")
    put(Subscriber, "answer", death, "receipted")
    put(Delivered, "acknowledge", death, "acknowledged")
    put(Analyst, "_ask_engine", death, "claimed", before=True)
    put(outbox, "enqueue", death, "enqueued")
    put(Analyst, "_analyse", death, "analysed")


if __name__ == "__main__":
    death = Death(sys.argv[1], int(sys.argv[2]))
    plain = run_command.run

    def run(args: argparse.Namespace, settings: GatewaySettings) -> int:
        put_all(death)
        return plain(args, settings)

    run_command.run = run
    sys.exit(main(sys.argv[3:]))
