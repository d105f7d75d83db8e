"""What is wrong with the microphone's sound, over all ears that hear it: told once, and treated. Pure."""

import logging
import random
from collections.abc import Callable
from typing import Final

from audio.health import Problem
from audio.protocol import MicrophoneHealth
from audio.remedy import Cure, Remedy, RemedyLimits

logger = logging.getLogger(__name__)

WARN_AGAIN_S: Final = 60.0
"""A problem that comes back sooner, as with a loose contact, is no new warning."""


class MicrophoneCare:
    """Makes episodes of what one ear after the other finds, and says what is to be done. Times are passed in."""

    def __init__(
        self, limits: RemedyLimits | None = None, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._remedy = Remedy(limits or RemedyLimits(), uniform)
        self._present: dict[Problem, MicrophoneHealth] = {}
        self._ended_s: dict[Problem, float] = {}
        self._warned: set[Problem] = set()

    @property
    def problems(self) -> tuple[MicrophoneHealth, ...]:
        """What is wrong, the oldest first."""
        return tuple(self._present.values())

    def take(self, found: MicrophoneHealth, now_s: float) -> list[MicrophoneHealth]:
        """An ear found something; it is given back if it is news."""
        problem = found.problem
        self._remedy.found(problem, is_present=found.is_present, now_s=now_s)
        if found.is_present == (problem in self._present):
            return []
        if found.is_present:
            self._begin(found, now_s)
        else:
            self._end(found, now_s)
        return [found]

    def due(self, now_s: float, *, is_visited: bool) -> Cure | None:
        """What is to be done about it now; it counts as done."""
        return self._remedy.due(now_s, is_visited=is_visited)

    def _begin(self, found: MicrophoneHealth, now_s: float) -> None:
        self._present[found.problem] = found
        ended_s = self._ended_s.get(found.problem)
        if ended_s is None or now_s - ended_s >= WARN_AGAIN_S:
            self._warned.add(found.problem)
            logger.warning("the sound is wrong: %s", found.text)

    def _end(self, found: MicrophoneHealth, now_s: float) -> None:
        del self._present[found.problem]
        self._ended_s[found.problem] = now_s
        if found.problem in self._warned:
            self._warned.discard(found.problem)
            logger.info("the sound is right again: %s", found.text)
