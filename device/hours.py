"""Opening hours: weekly spans of the shop's own clock, with exceptions by date. Pure.

A span belongs to the day on which it begins and may run over midnight. An exception replaces all spans that begin on
its date. Where the shop's clock is put back, a span lasts from the first time that the clock shows its beginning to the
last time that it shows its end; where the clock is put forward, a beginning or end that is left out falls on the moment
of the change. So no span has a hole, and a shop is never closed for an hour by its clock.
"""

import difflib
import itertools
import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from device.clock import Stamp

LOOK_S = 30.0
"""The wall clock may jump: it is looked at again after so long at the latest."""
SOON_S = 0.05
"""And not sooner than this, where a change is due and the two clocks do not quite agree."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", re.ASCII)
_MINUTES_A_DAY = 24 * 60
_SEARCH_DAYS = 400
"""So far ahead the next change is looked for: exceptions may close a shop for a season."""
_LAST = datetime(9990, 1, 1, tzinfo=UTC)


class HoursError(ValueError):
    """Opening hours that mean nothing; the text says what is wrong and what to write."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one minute of a day to another, which is of the next day from 1440 on."""

    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class Hours:
    """When a shop is open: spans for each day of the week, Monday first, and for single dates."""

    zone: zoneinfo.ZoneInfo
    week: tuple[tuple[Span, ...], ...]
    exceptions: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)

    def is_open(self, at: datetime) -> bool:
        """Tell whether the shop is open at an aware time."""
        at = at.astimezone(UTC)
        return any(start <= at < end for start, end in self._periods(at, 0))

    def next_change(self, at: datetime) -> datetime | None:
        """Return when the shop closes if it is open, else when it opens, in UTC.

        None if it does not open within the next year, or does not close within the next week.
        """
        at = at.astimezone(UTC)
        closes: datetime | None = None
        for start, end in self._periods(at, _SEARCH_DAYS):
            if end <= at:
                continue
            if closes is None and start > at:
                return start
            if closes is not None and start > closes:
                return closes
            closes = end if closes is None else max(closes, end)
            if closes > at + timedelta(days=7):
                return None
        return closes

    def _periods(self, at: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Yield what is open from the day before yesterday until after so many days, by its beginning, in UTC."""
        # A clock that was moved by a whole day can bring a span of two days ago to now.
        first = at.astimezone(self.zone).date() - timedelta(days=2)
        for number in range(days + 4):
            day = first + timedelta(days=number)
            spans = self.exceptions.get(day, self.week[day.weekday()])
            for span in sorted(spans, key=lambda span: span.start_min):
                start, end = self._moment(day, span.start_min, last=False), self._moment(day, span.end_min, last=True)
                if start < end:
                    yield start, end

    def _moment(self, day: date, minute: int, *, last: bool) -> datetime:
        """Return in UTC when the shop's clock reaches a minute of a day: the first time, or the last."""
        shown = datetime.combine(day, time()) + timedelta(minutes=minute)
        before, after = (shown.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if before <= after:
            return after if last else before
        # The clock never shows this: it was put forward over it, at the moment between the two.
        early_s, late_s = int(after.timestamp()), int(before.timestamp())
        while late_s - early_s > 1:
            middle_s = (early_s + late_s) // 2
            local = datetime.fromtimestamp(middle_s, self.zone).replace(tzinfo=None)
            early_s, late_s = (early_s, middle_s) if local >= shown else (middle_s, late_s)
        return datetime.fromtimestamp(late_s, UTC)


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether the kiosk is open now, until when that holds as far as is known, and when to look again."""

    is_open: bool
    changes: datetime | None
    """In the shop's own time, to be shown."""
    look_s: float
    """Seconds from now."""


def look(hours: Hours | None, stamp: Stamp) -> Opening:
    """Return whether a kiosk is open at a moment. One that does not know the time is: a wrong clock closes no shop."""
    if hours is None or not stamp.synchronised:
        return Opening(is_open=True, changes=None, look_s=LOOK_S)
    now = min(datetime.fromtimestamp(max(0.0, min(stamp.wall_s, _LAST.timestamp())), UTC), _LAST)
    changes = hours.next_change(now)
    left_s = LOOK_S if changes is None else (changes - now).total_seconds()
    return Opening(
        is_open=hours.is_open(now),
        changes=None if changes is None else changes.astimezone(hours.zone),
        look_s=min(LOOK_S, max(SOON_S, left_s)),
    )


def parse(zone: str | None, week: Mapping[str, Sequence[str]], exceptions: Mapping[str, Sequence[str]]) -> Hours | None:
    """Read opening hours as a settings file has them; None if it has none.

    A day of the week that is not named is closed, unless none is named: then only the exceptions are not open all day.

    Raises:
        HoursError: a time zone, a date or a span means nothing.
    """
    if not week and not exceptions:
        if zone is None:
            return None
        raise HoursError('time_zone: says nothing without opening hours; add a day, as monday = ["09:00-17:00"]')
    if week and not any((*week.values(), *exceptions.values())):
        raise HoursError("no day has a span; leave [hours] out if the kiosk is never to close")
    all_day = () if week else (Span(0, _MINUTES_A_DAY),)
    return Hours(
        zone=_zone(zone),
        week=tuple(_spans(day, week[day]) if day in week else all_day for day in WEEKDAYS),
        exceptions={_date(day): _spans(f"exceptions: {day}", spans) for day, spans in exceptions.items()},
    )


def _zone(name: str | None) -> zoneinfo.ZoneInfo:
    if name is None:
        raise HoursError('time_zone: is missing; name the shop\'s, for example time_zone = "Europe/Berlin"')
    try:
        return zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        pass
    known = zoneinfo.available_timezones()
    if not known:
        raise HoursError("time_zone: this machine has no time zone data; install it with: sudo apt install tzdata")
    (nearest,) = difflib.get_close_matches(name, known, n=1, cutoff=0)
    raise HoursError(f'time_zone: there is no time zone "{name}"; the nearest is "{nearest}"')


def _date(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise HoursError(f'exceptions: "{text}" is no date; write it as 2026-12-25') from None


def _spans(key: str, texts: Sequence[str]) -> tuple[Span, ...]:
    spans = sorted((_span(key, text) for text in texts), key=lambda span: span.start_min)
    for one, other in itertools.pairwise(spans):
        if other.start_min < one.end_min:
            raise HoursError(
                f'{key}: "{_text(other)}" begins before "{_text(one)}" has ended; write one span, or two apart'
            )
    return tuple(spans)


def _span(key: str, text: str) -> Span:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise HoursError(
            f'{key}: "{text}" is no span of time; write it as "09:00-17:30", or "22:00-02:00" over midnight'
        )
    start_h, start_m, end_h, end_m = map(int, found.groups())
    start_min, end_min = start_h * 60 + start_m, end_h * 60 + end_m
    if max(start_m, end_m) > 59 or start_min >= _MINUTES_A_DAY or end_min > _MINUTES_A_DAY:
        raise HoursError(f'{key}: "{text}" has a time that no clock shows; write 00:00 to 23:59, or 24:00 as an end')
    if start_min == end_min:
        raise HoursError(f'{key}: "{text}" ends as it begins; write "00:00-24:00" for the whole day, or [] for closed')
    return Span(start_min, end_min if end_min > start_min else end_min + _MINUTES_A_DAY)


def _text(span: Span) -> str:
    start, end = divmod(span.start_min, 60), divmod(span.end_min % _MINUTES_A_DAY or _MINUTES_A_DAY, 60)
    return f"{start[0]:02d}:{start[1]:02d}-{end[0]:02d}:{end[1]:02d}"
