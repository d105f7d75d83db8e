"""How long to wait before the next try: bounded in rate, unbounded in time, with full jitter."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays of which each is drawn between zero and a ceiling that doubles.

    Full jitter, so that a thousand kiosks that lost the same broker do not come back at the same instant.
    """

    first_s: float = 1.0
    ceiling_s: float = 60.0
    floor_s: float = 0.2
    draw: Callable[[], float] = random.random
    _tries: int = 0

    def next_s(self) -> float:
        """Return the next delay in seconds."""
        ceiling_s = min(self.ceiling_s, self.first_s * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return max(self.floor_s, ceiling_s * self.draw())

    def reset(self) -> None:
        """Begin again with short delays: a try has succeeded."""
        self._tries = 0
