"""A slot in this process: deliveries of one endpoint that one thread sends one after another, filled up as it goes."""

import threading
from collections import deque
from collections.abc import Sequence

from gateway.webhooks.outbox import Claim


class Slot:
    """What one thread has yet to send; safe between it and the thread that claims."""

    def __init__(self, number: int, endpoint: int, claims: Sequence[Claim], last_start_s: float) -> None:
        """Make one.

        Args:
            number: under which its deliveries are claimed.
            endpoint: where all of them go.
            claims: those that it begins with.
            last_start_s: by the monotonic clock; no attempt may begin later, because the lease would end before it.
        """
        self.number = number
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._queue = deque((claim, last_start_s) for claim in claims)
        self._half = len(claims) // 2
        self._is_over = False

    def next(self) -> tuple[Claim, float, bool] | None:
        """Return the next claim, when it has to begin at the latest, and whether to ask for more now; None at the end.

        After the end nothing can be added.
        """
        with self._lock:
            if not self._queue:
                self._is_over = True
                return None
            claim, last_start_s = self._queue.popleft()
            return claim, last_start_s, 0 < len(self._queue) == self._half

    def wants_more(self) -> bool:
        """Tell whether half of what it was last given is sent, and something is left."""
        with self._lock:
            return not self._is_over and 0 < len(self._queue) <= self._half

    def add(self, claims: Sequence[Claim], last_start_s: float) -> bool:
        """Add claims; tell whether that was in time. If not, another slot of this number has to be begun."""
        with self._lock:
            if self._is_over:
                return False
            self._queue.extend((claim, last_start_s) for claim in claims)
            self._half = len(self._queue) // 2
            return True

    def give_up(self) -> list[Claim]:
        """End it; return what was not sent."""
        with self._lock:
            self._is_over = True
            rest = [claim for claim, _ in self._queue]
            self._queue.clear()
            return rest
