"""What is done about a microphone whose sound is wrong: a pure schedule, with the time and chance passed in.

Opening the microphone anew helps some devices, and none that is muted. So it is tried at once, and then ever more
rarely, for as long as it takes, because the kiosk hears nothing while it is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from audio.health import Problem

CURABLE: Final = frozenset({Problem.DEAD, Problem.WRONG_RATE})
"""What opening the microphone anew can mend. The others are a matter of levels, cables and the machine's load."""


class Cure(Enum):
    """What to do."""

    REOPEN = auto()
    """Close the microphone, look for the devices anew and open it again, in the same process."""
    REPLACE = auto()
    """Replace the ear's process."""


@dataclass(frozen=True, slots=True)
class RemedyLimits:
    """Times in seconds."""

    second_s: float = 10.0
    """From the first cure, which reopens, to the second, which replaces as all later ones do."""
    longest_s: float = 600.0
    """Each later wait is twice the one before, up to this; each is made shorter by up to half by chance."""
    calm_s: float = 60.0
    """A microphone that was well for so long is treated from the beginning when it fails again."""


class Remedy:
    """The schedule of one microphone, over all ears that open it. `uniform` gives a random number between two."""

    def __init__(self, limits: RemedyLimits, uniform: Callable[[float, float], float]) -> None:
        self._limits = limits
        self._uniform = uniform
        self._present: set[Problem] = set()
        self._well_since_s: float | None = None
        self._cures = 0
        self._wait_s = limits.second_s
        self._next_s: float | None = None

    def found(self, problem: Problem, *, is_present: bool, now_s: float) -> None:
        """The ear found that a problem is present, or that it is not."""
        if problem not in CURABLE:
            return
        if not is_present:
            self._present.discard(problem)
            if not self._present and self._well_since_s is None:
                self._well_since_s = now_s
            return
        if self._well_since_s is not None and now_s - self._well_since_s >= self._limits.calm_s:
            self._cures, self._wait_s, self._next_s = 0, self._limits.second_s, None
        self._well_since_s = None
        self._present.add(problem)

    def due(self, now_s: float, *, is_visited: bool) -> Cure | None:
        """The cure that is to be done now; it counts as done. None during a visit, which would lose its sound."""
        if not self._present or is_visited or (self._next_s is not None and now_s < self._next_s):
            return None
        self._cures += 1
        self._next_s = now_s + self._uniform(0.5, 1.0) * self._wait_s
        self._wait_s = min(self._limits.longest_s, self._wait_s * 2)
        return Cure.REOPEN if self._cures == 1 else Cure.REPLACE
