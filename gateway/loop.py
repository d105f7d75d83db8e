"""A thread that takes its turn again and again and survives whatever a turn raises."""

import logging
import random
import threading
from collections.abc import Callable

from django.db import close_old_connections

from gateway.errors import GatewayError

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.5
BACKOFF_LAST_S = 30.0


class Backoff:
    """Waits that double up to a bound, each with up to half of itself added by chance."""

    def __init__(self, first_s: float = BACKOFF_FIRST_S, last_s: float = BACKOFF_LAST_S) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the next wait in seconds."""
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, self._last_s)
        return wait_s * random.uniform(1.0, 1.5)  # noqa: S311

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._next_s = self._first_s


class Loop:
    """Runs ``turn`` for ever in a thread of its own.

    Args:
        name: of the thread, and of the part in the log.
        turn: does one piece of work or waits a second at most; gets the event that says stop.
        at_end: is called in the thread when it ends; for connections that belong to the thread.
    """

    def __init__(self, name: str, turn: Callable[[threading.Event], None], at_end: Callable[[], None]) -> None:
        self.name = name
        self._turn = turn
        self._at_end = at_end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """End after the turn that runs."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end at most ``timeout_s`` seconds; tell whether it came."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        backoff = Backoff()
        failing = False
        try:
            while not self._stop.is_set():
                try:
                    self._turn(self._stop)
                except Exception as error:  # noqa: BLE001 (a part that ends would end silently)
                    self._tell(error, again=failing)
                    failing = True
                    # One that the database server has cut never works again.
                    close_old_connections()
                    self._stop.wait(backoff.next_s())
                else:
                    if failing:
                        logger.info("%s works again", self.name)
                    failing = False
                    backoff.reset()
        finally:
            self._at_end()

    def _tell(self, error: Exception, *, again: bool) -> None:
        # The first of an episode is told; the others would only fill the disk.
        level = logging.DEBUG if again else logging.WARNING
        if isinstance(error, GatewayError):
            logger.log(level, "%s waits: %s", self.name, error)
        else:
            logger.log(level, "%s failed and goes on after a pause", self.name, exc_info=error)
