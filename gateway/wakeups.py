"""Says to a part that there is something to do: in this process at once, in another one through PostgreSQL.

Every part also looks by itself once a second, so a call that is lost delays and loses nothing.
"""

import threading
from collections.abc import Callable
from enum import StrEnum

from django.db import connection

from gateway import database

LOOK_S = 1.0


class Work(StrEnum):
    """What there is to do; also the channel's name in PostgreSQL."""

    ANALYSE = "voiseback_analyse"
    DELIVER = "voiseback_deliver"


class Wakeups:
    """The calls from part to part; `turn` is to be run by a `gateway.loop.Loop` where other processes call."""

    def __init__(self) -> None:
        self._here: dict[Work, Callable[[], None]] = {}

    def hear(self, work: Work, wake: Callable[[], None]) -> None:
        """Let ``wake`` be called when there is ``work``; before anything runs."""
        self._here[work] = wake

    def tell(self, work: Work) -> None:
        """Say that there is ``work``, after the commit that made it.

        Raises:
            django.db.Error: the database cannot be reached.
        """
        wake = self._here.get(work)
        if wake is not None:
            wake()
        elif database.is_postgresql():
            with connection.cursor() as cursor:
                cursor.execute(f"NOTIFY {work}")

    def turn(self, stop: threading.Event) -> None:
        """Listen to other processes until the stop or the end of the connection.

        Raises:
            Exception: the connection ended; the next turn makes a new one.
        """
        try:
            with connection.cursor() as cursor:
                for work in self._here:
                    cursor.execute(f"LISTEN {work}")
            # Nobody could be heard until now.
            for wake in self._here.values():
                wake()
            while not stop.is_set():
                for notice in connection.connection.notifies(timeout=LOOK_S, stop_after=1):
                    self._here[Work(notice.channel)]()
        finally:
            connection.close()
