"""What the spool still has to be told: a change that failed is tried again until it is done."""

import logging
import random
from collections import deque
from collections.abc import Callable

from device.spool import SpoolError

log = logging.getLogger(__name__)

RETRY_S = 5.0
RETRY_JITTER_S = 2.0


class OwedChanges:
    """Changes of records in their order. None overtakes an earlier one: a visitor's wish is not lost by a bad disk.

    What is owed when the agent ends is lost: the spool then releases what it holds.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._owed: deque[Callable[[], None]] = deque()
        self._due_s: float | None = None
        self._jitter = jitter

    def __len__(self) -> int:
        """Return how many changes are owed."""
        return len(self._owed)

    @property
    def due_s(self) -> float | None:
        """When `settle` is due; None while nothing is owed."""
        return self._due_s

    def do(self, change: Callable[[], None], now_s: float) -> None:
        """Do a change, or owe it."""
        self._owed.append(change)
        if self._due_s is None:
            self.settle(now_s)

    def settle(self, now_s: float) -> None:
        """Do what is owed, if it is time to try."""
        if self._due_s is not None and now_s < self._due_s:
            return
        while self._owed:
            try:
                self._owed[0]()
            except SpoolError as error:
                if self._due_s is None:
                    log.warning("The spool could not be changed, which is tried again until it is done: %s", error)
                self._due_s = now_s + RETRY_S + RETRY_JITTER_S * self._jitter()
                return
            except BaseException:
                # A change that fails by a defect would fail for ever, and all others behind it.
                self._owed.popleft()
                self._due_s = now_s + RETRY_S if self._owed else None
                raise
            self._owed.popleft()
        if self._due_s is not None:
            log.info("The spool was changed as it was owed")
            self._due_s = None
