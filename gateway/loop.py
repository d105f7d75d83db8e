"""A thread that takes its turn again and again and survives whatever a turn raises."""

import logging
import random
import threading
import time
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
        longest_s: a turn that takes longer than this hangs; None where a turn may take for ever.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[threading.Event], None],
        at_end: Callable[[], None],
        *,
        longest_s: float | None = None,
    ) -> None:
        self.name = name
        self._longest_s = longest_s
        self._turned_s = time.monotonic()
        self._failure: str | None = None
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

    @property
    def hangs(self) -> bool:
        """Whether the present turn takes longer than any may."""
        return self._longest_s is not None and time.monotonic() - self._turned_s > self._longest_s

    def problem(self) -> str | None:
        """Tell what is wrong with it, in one sentence; None if nothing is."""
        if not self.is_alive():
            return "its thread has ended"
        if self.hangs:
            return f"it has not moved for {time.monotonic() - self._turned_s:.0f} s"
        return self._failure

    def _run(self) -> None:
        backoff = Backoff()
        failing = False
        try:
            while not self._stop.is_set():
                self._turned_s = time.monotonic()
                try:
                    self._turn(self._stop)
                except Exception as error:  # noqa: BLE001 (a part that ends would end silently)
                    self._tell(error, again=failing)
                    failing = True
                    self._failure = (
                        str(error) if isinstance(error, GatewayError) else f"it fails: {type(error).__name__}"
                    )
                    # One that the database server has cut never works again.
                    close_old_connections()
                    self._stop.wait(backoff.next_s())
                else:
                    if failing:
                        logger.info("%s works again", self.name)
                    failing, self._failure = False, None
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
