"""When the kiosk looks at its health, and when it tells the gateway. Pure; times are passed in."""

from collections.abc import Hashable
from dataclasses import dataclass, field

LOOK_S = 5.0
"""How often the parts are asked without a reason."""
NEWS_S = 1.0
"""How soon they are asked again after a reason: a loose plug gives many."""
LEAST_S = 5.0
"""Between two messages, however much changes."""


@dataclass(slots=True)
class Schedule:
    """Tells every ``interval_s`` seconds, and soon when something has changed."""

    interval_s: float
    _looked_s: float = field(default=float("-inf"))
    _told_s: float = field(default=float("-inf"))
    _told: Hashable = None
    _has_news: bool = False

    def news(self) -> None:
        """Something has happened that may change a state."""
        self._has_news = True

    def wait_s(self, now_s: float) -> float:
        """Return in how many seconds the parts are to be asked."""
        next_s = self._looked_s + (NEWS_S if self._has_news else min(LOOK_S, self.interval_s))
        return max(0.0, next_s - now_s)

    def failed(self, now_s: float) -> None:
        """The parts could not be asked; they are asked again later."""
        self._looked_s, self._has_news = now_s, False

    def looked(self, states: Hashable, now_s: float) -> bool:
        """The parts are in these states; return whether to tell so now, which counts as done."""
        self._looked_s, self._has_news = now_s, False
        since_s = now_s - self._told_s
        if since_s < self.interval_s and (states == self._told or since_s < LEAST_S):
            return False
        self._told_s, self._told = now_s, states
        return True
