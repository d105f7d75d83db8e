"""Failures of the program itself: each is counted, and the log tells of them without being flooded."""

import logging
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

log = logging.getLogger(__name__)

LOG_EVERY_S = 60.0
"""Tracebacks in the log are at least so far apart, for each place of the program."""
MAX_PLACES = 64
"""Places that are told apart; beyond, all others are one."""

P = ParamSpec("P")
T = TypeVar("T")


class Defects:
    """Counts exceptions that nobody expected. For one thread; `count` may be read by any.

    The log tells where it happened and what kind of exception it was, never its text, which may hold a visitor's words.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.count = 0
        self._monotonic = monotonic
        self._logged: dict[str, tuple[float, int]] = {}

    def guard(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what ``do`` returns; None if it fails, which is then noted."""
        try:
            return do(*args, **kwargs)
        except Exception as error:  # noqa: BLE001
            self.note(error)
            return None

    def note(self, error: Exception) -> None:
        """Count a defect, and log it unless this was done lately for the same place."""
        self.count += 1
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else repr(type(error))
        if place not in self._logged and len(self._logged) >= MAX_PLACES:
            place = "elsewhere"
        now_s = self._monotonic()
        logged_s, unlogged = self._logged.get(place, (None, 0))
        if logged_s is not None and now_s < logged_s + LOG_EVERY_S:
            self._logged[place] = (logged_s, unlogged + 1)
            return
        self._logged[place] = (now_s, 0)
        log.error(
            "A defect of the kiosk's program cost an event, and the kiosk goes on%s: %s\n%s",
            f" ({unlogged} more since it was logged last)" if unlogged else "",
            type(error).__name__,
            "".join(traceback.format_list(frames)).rstrip(),
        )
