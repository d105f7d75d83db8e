"""The opening hours of a shop: weekly spans and exceptions in the shop's own time. Pure.

A span opens at the first moment at which the shop's clocks show its beginning or more, and closes after the last at
which they show less than its end. So an hour that happens twice belongs to it twice, and one that is left out is not
missed: what would begin or end in it begins or ends as the clocks are put forward.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_MINUTES = 24 * 60
MINUTE_S = 60.0
_SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Span:
    """From one minute of a day to another, which is left out; past 24 h it lies on the next day."""

    begin_min: int
    end_min: int

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Return the span of ``09:00-18:30``; one that ends before it begins goes over midnight.

        Raises:
            ValueError: it is no span.
        """
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no span of time; write it like '09:00-18:30'")
        begin_hour, begin_minute, end_hour, end_minute = map(int, found.groups())
        begin_min, end_min = 60 * begin_hour + begin_minute, 60 * end_hour + end_minute
        if begin_minute > 59 or end_minute > 59 or begin_min >= DAY_MINUTES or end_min > DAY_MINUTES:
            raise ValueError(f"{text!r} has a time that no clock shows; a day is from 00:00 to 24:00")
        if begin_min == end_min:
            raise ValueError(f"{text!r} is empty; a whole day is '00:00-24:00', a closed one has no span")
        return cls(begin_min, end_min if end_min > begin_min else end_min + DAY_MINUTES)


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """When a shop is open."""

    zone: tzinfo
    week: Sequence[tuple[Span, ...]]
    """The spans that begin on each day, from Monday on."""
    exceptions: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)
    """The spans that begin on these dates, instead of the week's."""

    def is_open(self, wall_s: float) -> bool:
        """Return whether the shop is open at a time in seconds since 1970 (UTC)."""
        today = datetime.fromtimestamp(wall_s, self.zone).date()
        return any(
            self._begin_s(day, span) <= wall_s < self._end_s(day, span)
            for day in (today - timedelta(days=1), today)
            for span in self.exceptions.get(day, self.week[day.weekday()])
        )

    def _begin_s(self, day: date, span: Span) -> float:
        shown = datetime.combine(day, time()) + timedelta(minutes=span.begin_min)
        first_s, second_s = self._moments(shown)
        return first_s if first_s <= second_s else self._change_s(second_s, first_s)

    def _end_s(self, day: date, span: Span) -> float:
        last_shown = datetime.combine(day, time()) + timedelta(minutes=span.end_min - 1)
        first_s, second_s = self._moments(last_shown)
        return second_s + MINUTE_S if first_s <= second_s else self._change_s(second_s, first_s)

    def _moments(self, shown: datetime) -> tuple[float, float]:
        """Return when the clocks show a time first and last; in reverse order where they never show it."""
        first, last = (shown.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        return first.timestamp(), last.timestamp()

    def _change_s(self, before_s: float, after_s: float) -> float:
        """Return when the clocks are put forward between two times, to the second."""
        low, high = int(before_s), int(after_s)
        new = datetime.fromtimestamp(high, self.zone).utcoffset()
        while high - low > 1:
            middle = (low + high) // 2
            if datetime.fromtimestamp(middle, self.zone).utcoffset() == new:
                high = middle
            else:
                low = middle
        return float(high)
