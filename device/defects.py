"""Defects of the agent: each costs one event, is counted, and is logged at a bounded rate."""

import logging

LOG_GAP_S = 60.0
"""Between two tracebacks in the log."""

log = logging.getLogger(__name__)


class Defects:
    """Counts the events whose handling raised an exception; `count` may be read from any thread."""

    def __init__(self) -> None:
        self.count = 0
        self._logged_s: float | None = None
        self._quiet = 0

    def add(self, event: object, error: Exception, now_s: float) -> None:
        """Note what went wrong at an event; only the kind of the event is logged, which may carry a visitor's words."""
        self.count += 1
        if self._logged_s is not None and now_s - self._logged_s < LOG_GAP_S:
            self._quiet += 1
            return
        more = f"; {self._quiet} more since the last such message" if self._quiet else ""
        log.error("The agent failed at %s, and goes on%s", type(event).__name__, more, exc_info=error)
        self._logged_s, self._quiet = now_s, 0
