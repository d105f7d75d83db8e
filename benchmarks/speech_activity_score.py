"""How well starts and ends of speech were found: from what the ear said, and when, to figures."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, NamedTuple

from benchmarks.speech_activity_scenes import Visit

START_TOLERANCE_S: Final = 0.2
END_TOLERANCE_S: Final = 0.3


class Said(NamedTuple):
    """What the ear said of one visit, in seconds of the recording; None: it did not say so."""

    started_s: float | None = None
    ended_s: float | None = None
    """When it said that speech has ended: a pause after the end that it found."""
    nothing_said_s: float | None = None


class Share(NamedTuple):
    """So many of so many."""

    hits: int
    of: int

    @property
    def percent(self) -> float | None:
        """None of none is nothing."""
        return 100 * self.hits / self.of if self.of else None


class Figures(NamedTuple):
    """Of the visits of one noise at one ratio."""

    start_precision: Share
    start_recall: Share
    start_error_ms: float | None
    """Median distance of the starts that were said from the true ones; None: none was said."""
    end_precision: Share
    end_recall: Share
    end_error_ms: float | None
    cut: Share
    """Visits ended while the visitor still spoke."""
    unheard: Share
    """Visits in which no speech was found."""


def figures(visits: Iterable[tuple[Visit, Said]], pause_s: float) -> Figures:
    """What came of visits. A start is right within `START_TOLERANCE_S` of the true one; an end is right when it is said
    after the true one, at most `pause_s` and `END_TOLERANCE_S` later.
    """
    pairs = list(visits)
    starts = [said.started_s - visit.start_s for visit, said in pairs if said.started_s is not None]
    ends = [said.ended_s - visit.end_s for visit, said in pairs if said.ended_s is not None]
    right_starts = sum(abs(late_s) <= START_TOLERANCE_S for late_s in starts)
    right_ends = sum(0 <= late_s <= pause_s + END_TOLERANCE_S for late_s in ends)
    return Figures(
        Share(right_starts, len(starts)),
        Share(right_starts, len(pairs)),
        _median_ms(starts),
        Share(right_ends, len(ends)),
        Share(right_ends, len(pairs)),
        _median_ms([late_s - pause_s for late_s in ends]),
        Share(sum(late_s < 0 for late_s in ends), len(pairs)),
        Share(len(pairs) - len(starts), len(pairs)),
    )


class Alone(NamedTuple):
    """Of visits to noise in which nobody spoke."""

    false_starts: int
    listened_s: float
    nothing_said: Share
    """Visits that the ear ended by itself because nothing was said."""

    @property
    def false_starts_a_minute(self) -> float:
        """Of listening."""
        return 60 * self.false_starts / self.listened_s


def alone(visits: Sequence[Said], visit_s: float) -> Alone:
    """What came of visits, each of `visit_s`."""
    nothing_said = sum(said.nothing_said_s is not None for said in visits)
    false_starts = sum(said.started_s is not None for said in visits)
    return Alone(false_starts, visit_s * len(visits), Share(nothing_said, len(visits)))


def _median_ms(errors_s: list[float]) -> float | None:
    return 1000 * median(abs(error_s) for error_s in errors_s) if errors_s else None
