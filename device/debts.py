"""What the agent owes the spool: changes that a failing disk did not take, made again until it takes them."""

import logging
from collections import deque
from collections.abc import Callable

from device.spool import SpoolError

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""A change that failed is tried again after so long, at the earliest."""

Change = Callable[[str], None]
"""Takes the visit; raises `SpoolError` if the spool could not be changed."""


class Debts:
    """Changes in their order: none is made before an earlier one. For one thread; times are seconds of one clock."""

    def __init__(self) -> None:
        self._owed: deque[tuple[Change, str]] = deque()
        self._retry_at_s: float | None = None
        """While the spool fails."""

    def __len__(self) -> int:
        return len(self._owed)

    @property
    def due_s(self) -> float | None:
        """When `pay` is due; None while nothing is owed."""
        return self._retry_at_s if self._owed else None

    def add(self, change: Change, visit: str, now_s: float) -> None:
        """Make a change now, or owe it if the spool fails."""
        self._owed.append((change, visit))
        self.pay(now_s)

    def pay(self, now_s: float) -> int:
        """Make what is owed, if it is time to try; return how many changes were made."""
        if self._retry_at_s is not None and now_s < self._retry_at_s:
            return 0
        paid = 0
        while self._owed:
            change, visit = self._owed.popleft()
            try:
                change(visit)
            except SpoolError as error:
                self._owed.appendleft((change, visit))
                if self._retry_at_s is None:
                    log.warning("The spool could not be changed for visit %s, trying again: %s", visit, error)
                self._retry_at_s = now_s + RETRY_S
                return paid
            except BaseException:
                # By a defect: it would fail for ever. The others have their turn, and none is tried without a pause.
                self._retry_at_s = now_s + RETRY_S if self._owed else None
                raise
            paid += 1
        if self._retry_at_s is not None:
            log.info("The spool was changed as it should have been before: %d changes", paid)
        self._retry_at_s = None
        return paid
