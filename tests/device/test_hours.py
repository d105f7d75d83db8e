"""Opening hours, against a look at every minute, also where clocks are put forward and back."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import settings_file
from device.hours import OpeningHours, Span
from device.settings import KioskSettings

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "America/Santiago")
CHANGES = tuple(
    date(2026, month, day)
    for month, day in ((3, 29), (10, 25), (3, 8), (11, 1), (4, 5), (10, 4), (9, 6), (7, 1), (12, 31))
)
MINUTE = timedelta(minutes=1)


def spans(*texts: str) -> tuple[Span, ...]:
    return tuple(map(Span.parse, texts))


def at(text: str, zone: ZoneInfo = BERLIN, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def looked_up(zone: ZoneInfo, day: date, span: Span) -> set[float]:
    """Return the minutes of a span by looking at what the clocks show at each minute around it."""
    midnight = datetime.combine(day, datetime.min.time())
    begin, end = midnight + span.begin_min * MINUTE, midnight + span.end_min * MINUTE
    first = (midnight - timedelta(days=1)).replace(tzinfo=UTC)
    minutes = [first + number * MINUTE for number in range(5 * 24 * 60)]
    shown = [minute.astimezone(zone).replace(tzinfo=None) for minute in minutes]
    opens = next(number for number, clock in enumerate(shown) if clock >= begin)
    closes = max(number for number, clock in enumerate(shown) if clock < end)
    return {minute.timestamp() for minute in minutes[opens : closes + 1]}


SPANS = st.builds(
    lambda begin, length: Span(begin, begin + length), st.integers(0, 24 * 60 - 1), st.integers(1, 24 * 60)
)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(-1, 1), st.lists(SPANS, min_size=1, max_size=3))
def test_it_is_open_in_exactly_the_minutes_that_the_clocks_show(
    zone_name: str, change: date, shift: int, some: list[Span]
) -> None:
    zone, day = ZoneInfo(zone_name), change + timedelta(days=shift)
    hours = OpeningHours(zone, ((),) * 7, {day: tuple(some)})
    expected = set().union(*(looked_up(zone, day, span) for span in some))
    first_s = datetime.combine(day - timedelta(days=1), datetime.min.time(), UTC).timestamp()
    found = {
        minute_s for minute_s in (first_s + 60 * number for number in range(4 * 24 * 60)) if hours.is_open(minute_s)
    }
    assert found == expected


def test_a_week_has_several_spans_a_day_and_goes_over_midnight() -> None:
    week = (spans("09:00-12:30", "13:30-19:00"), (), (), (), spans("20:00-02:00"), (), ())
    hours = OpeningHours(BERLIN, week)
    monday, friday = "2026-06-01", "2026-06-05"
    shown = {
        time: hours.is_open(at(f"{monday}T{time}")) for time in ("08:59", "09:00", "12:29", "12:30", "13:30", "19:00")
    }
    assert shown == {"08:59": False, "09:00": True, "12:29": True, "12:30": False, "13:30": True, "19:00": False}
    assert hours.is_open(at(f"{friday}T23:59"))
    assert hours.is_open(at("2026-06-06T01:59"))
    assert not hours.is_open(at("2026-06-06T02:00"))


def test_an_exception_replaces_the_spans_of_its_date_only() -> None:
    hours = OpeningHours(BERLIN, (spans("22:00-03:00"),) * 7, {date(2026, 12, 25): ()})
    assert hours.is_open(at("2026-12-25T02:00"))
    assert not hours.is_open(at("2026-12-25T23:00"))
    assert not hours.is_open(at("2026-12-26T02:00"))
    assert hours.is_open(at("2026-12-26T22:00"))


def test_a_night_in_which_the_clocks_are_put_back_has_no_gap() -> None:
    hours = OpeningHours(BERLIN, (spans("20:00-02:30"),) * 7)
    assert hours.is_open(at("2026-10-25T02:45", fold=0))
    assert hours.is_open(at("2026-10-25T02:15", fold=1))
    assert not hours.is_open(at("2026-10-25T02:45", fold=1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('monday = ["9-18"]', "'9-18' is no span of time; write it like '09:00-18:30'"),
        ('monday = ["09:00-25:00"]', "'09:00-25:00' has a time that no clock shows"),
        ('monday = ["09:00-09:00"]', "'09:00-09:00' is empty"),
        ('monday = ["09:00-18:00"]\ntime_zone = "Europe/Berlni"', "time zone 'Europe/Berlni' is not known here"),
        ('exceptions = {"2026-02-30" = []}\nmonday = ["09:00-18:00"]', "'2026-02-30' is no date"),
        ("", "no day has a span"),
        ('mnday = ["09:00-18:00"]', "the nearest valid key is 'monday'"),
    ],
)
def test_hours_that_cannot_be_are_told_in_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "kiosk.toml"
    zone = "" if "time_zone" in text else 'time_zone = "Europe/Berlin"\n'
    file.write_text(f"[hours]\n{zone}{text}\n")
    with pytest.raises(settings_file.SettingsError) as error:
        settings_file.load(file, KioskSettings)
    assert told in str(error.value)
    assert "hours" in str(error.value)


def test_the_settings_give_the_hours(tmp_path: Path) -> None:
    file = tmp_path / "kiosk.toml"
    file.write_text(
        '[hours]\ntime_zone = "Europe/Berlin"\nsaturday = ["10:00-16:00"]\n'
        'exceptions = {"2026-06-06" = ["12:00-13:00"]}\n'
    )
    found = settings_file.load(file, KioskSettings).hours
    assert found is not None
    hours = found.opening()
    assert hours.is_open(at("2026-05-30T10:00"))
    assert not hours.is_open(at("2026-06-06T10:00"))
    assert hours.is_open(at("2026-06-06T12:00"))
