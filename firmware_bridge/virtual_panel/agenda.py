"""Agenda: what is to be done later, in order of time."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator


class Agenda:
    """Actions with the times at which they are due; those of the same time stay in order."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    @property
    def deadline_s(self) -> float:
        """When the first is due; infinite when there is none."""
        return self._entries[0][0] if self._entries else math.inf

    def add(self, at_s: float, action: Callable[[], None]) -> None:
        """Have `action` done at that time."""
        heapq.heappush(self._entries, (at_s, next(self._numbers), action))

    def due(self, now_s: float) -> Iterator[Callable[[], None]]:
        """Take out, one by one, what is due."""
        while self.deadline_s <= now_s:
            yield heapq.heappop(self._entries)[2]
