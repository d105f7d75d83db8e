"""Opening hours: what a settings file can say, and the next change to the minute, whatever the clocks do."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract import settings_file
from contract.settings_file import SettingsError
from device import hours as opening_hours
from device.clock import Stamp
from device.hours import LOOK_S, WEEKDAYS, Hours, HoursError, Span, look, parse
from device.settings import KioskSettings

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
SHOP = parse(
    "Europe/Berlin",
    {"monday": ["09:00-13:00", "14:00-18:30"], "friday": ["09:00-18:00", "22:00-02:00"], "saturday": ["10:00-24:00"]},
    {"2026-12-25": [], "2026-12-27": ["13:00-18:00"]},
)


def local(text: str, fold: int = 0) -> datetime:
    """Return a time of Berlin in UTC: Python calls no times of two zones equal where one of them comes twice."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def shop() -> Hours:
    assert SHOP is not None
    return SHOP


@pytest.mark.parametrize(
    ("at", "is_open", "changes"),
    [
        ("2026-11-30T08:59", False, "2026-11-30T09:00"),
        ("2026-11-30T09:00", True, "2026-11-30T13:00"),
        ("2026-11-30T13:00", False, "2026-11-30T14:00"),
        ("2026-11-30T18:30", False, "2026-12-04T09:00"),
        ("2026-12-04T23:30", True, "2026-12-05T02:00"),
        ("2026-12-05T01:59", True, "2026-12-05T02:00"),
        ("2026-12-05T12:00", True, "2026-12-06T00:00"),
        ("2026-12-24T12:00", False, "2026-12-26T10:00"),
        ("2026-12-25T10:00", False, "2026-12-26T10:00"),
        ("2026-12-27T12:59", False, "2026-12-27T13:00"),
    ],
)
def test_a_week_with_breaks_a_late_night_and_holidays(at: str, is_open: bool, changes: str) -> None:
    assert shop().is_open(local(at)) is is_open
    assert shop().next_change(local(at)) == local(changes)


def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    holiday = parse("Europe/Berlin", {"thursday": ["22:00-02:00"], "friday": ["22:00-02:00"]}, {"2026-12-25": []})
    assert holiday is not None
    assert holiday.is_open(local("2026-12-25T01:00"))
    assert not holiday.is_open(local("2026-12-25T23:00"))


def test_spans_that_meet_are_one() -> None:
    always = parse("Europe/Berlin", {day: ["00:00-24:00"] for day in WEEKDAYS}, {})
    assert always is not None
    assert always.next_change(local("2026-11-30T09:00")) is None
    night = parse("Europe/Berlin", {"monday": ["20:00-24:00"], "tuesday": ["00:00-03:00"]}, {})
    assert night is not None
    assert night.next_change(local("2026-11-30T21:00")) == local("2026-12-01T03:00")


def test_exceptions_alone_leave_every_other_day_open() -> None:
    hours = parse("Europe/Berlin", {}, {"2026-12-25": [], "2026-12-26": []})
    assert hours is not None
    assert hours.is_open(local("2026-12-24T23:59"))
    assert hours.next_change(local("2026-12-24T12:00")) == local("2026-12-25T00:00")
    assert hours.next_change(local("2026-12-25T12:00")) == local("2026-12-27T00:00")


def test_a_shop_that_never_opens_again_has_no_next_change() -> None:
    hours = Hours(BERLIN, ((),) * 7, {date(2026, 11, 29): (Span(0, 60),)})
    assert not hours.is_open(local("2026-11-30T12:00"))
    assert hours.next_change(local("2026-11-30T12:00")) is None


def test_when_the_clock_is_put_back_a_night_lasts_an_hour_longer_and_has_no_hole() -> None:
    hours = parse("Europe/Berlin", {"saturday": ["22:00-02:30"]}, {})
    assert hours is not None
    first, second = local("2026-10-25T02:45"), local("2026-10-25T02:15", fold=1)
    assert hours.is_open(first)
    assert hours.is_open(second)
    assert hours.next_change(first) == local("2026-10-25T02:30", fold=1)


def test_when_the_clock_is_put_forward_a_time_that_is_left_out_is_the_moment_of_the_change() -> None:
    hours = parse("Europe/Berlin", {"sunday": ["02:30-05:00"]}, {})
    assert hours is not None
    assert hours.next_change(local("2026-03-29T01:00")) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


# ---------------------------------------------------------------- against an oracle

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC")
MINUTES = st.integers(0, 24 * 60 - 1).map(lambda minute: minute - minute % 15)
SPANS = st.tuples(MINUTES, st.integers(1, 96)).map(lambda pair: Span(pair[0], pair[0] + 15 * pair[1]))
CHANGES = (
    datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    datetime(2026, 3, 8, 6, 30, tzinfo=UTC),
    datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
    datetime(2026, 4, 4, 14, 30, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 0, tzinfo=UTC),
    datetime(2011, 12, 30, 9, 30, tzinfo=UTC),
    datetime(2026, 6, 15, 12, 0, tzinfo=UTC),
)


def minutes_open(hours: Hours, begin: datetime, count: int) -> list[bool]:
    """Look at the shop's clock every minute: a span holds from the first minute that it shows in it to the last."""
    shown = [(begin + timedelta(minutes=number)).astimezone(hours.zone).replace(tzinfo=None) for number in range(count)]
    is_open = [False] * count
    for day in {moment.date() + timedelta(days=days) for moment in shown for days in (-2, -1, 0)}:
        for span in hours.exceptions.get(day, hours.week[day.weekday()]):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001
            start, end = (midnight + timedelta(minutes=minute) for minute in (span.start_min, span.end_min))
            within = [number for number, moment in enumerate(shown) if start <= moment < end]
            for number in range(min(within), max(within) + 1) if within else ():
                is_open[number] = True
    return is_open


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    week=st.lists(st.lists(SPANS, max_size=2), min_size=7, max_size=7),
    change=st.sampled_from(CHANGES),
    exceptions=st.dictionaries(st.integers(-2, 3), st.lists(SPANS, max_size=1), max_size=2),
)
@example(zone="Pacific/Apia", week=[[Span(600, 2000)]] * 7, change=CHANGES[6], exceptions={})
@example(zone="Europe/Berlin", week=[[Span(135, 165)]] * 7, change=CHANGES[0], exceptions={})
@example(zone="Europe/Berlin", week=[[Span(150, 300)]] * 7, change=CHANGES[1], exceptions={})
def test_open_and_next_change_are_what_looking_every_minute_finds(
    zone: str, week: list[list[Span]], change: datetime, exceptions: dict[int, list[Span]]
) -> None:
    hours = Hours(
        zoneinfo.ZoneInfo(zone),
        tuple(map(tuple, week)),
        {(change + timedelta(days=days)).date(): tuple(spans) for days, spans in exceptions.items()},
    )
    # Two more days on either side, so that no span is cut where it is looked at.
    before, looked_at = 3 * 24 * 60, 8 * 60
    begin = change - timedelta(minutes=before + looked_at // 2)
    found = minutes_open(hours, begin, 2 * before + looked_at)
    for number in range(before, before + looked_at, 5):
        at = begin + timedelta(minutes=number)
        assert hours.is_open(at) is found[number], at
        following = next((later for later in range(number, len(found)) if found[later] is not found[number]), None)
        if following is not None and following < before + looked_at + 24 * 60:
            assert hours.next_change(at) == begin + timedelta(minutes=following)


@given(st.lists(st.lists(SPANS, max_size=2), min_size=7, max_size=7), st.integers(0, 2_000_000))
@settings(max_examples=50, deadline=None)
def test_between_now_and_the_next_change_nothing_changes(week: list[list[Span]], minutes: int) -> None:
    hours = Hours(BERLIN, tuple(map(tuple, week)))
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    changes = hours.next_change(at)
    if changes is None:
        return
    assert changes > at
    assert hours.is_open(changes) is not hours.is_open(at)
    assert hours.is_open(changes - timedelta(seconds=1)) is hours.is_open(at)


# ---------------------------------------------------------------- the kiosk's clock


def stamp(at: datetime, *, synchronised: bool = True) -> Stamp:
    return Stamp(boot_id="boot", since_boot_s=1.0, wall_s=at.timestamp(), synchronised=synchronised)


def test_a_kiosk_that_does_not_know_the_time_is_open() -> None:
    night = local("2026-12-25T03:00")
    assert not look(SHOP, stamp(night)).is_open
    assert look(SHOP, stamp(night, synchronised=False)).is_open


def test_a_kiosk_without_opening_hours_is_always_open() -> None:
    assert look(None, stamp(local("2026-12-25T03:00"))).is_open


@pytest.mark.parametrize(("at", "look_s"), [("2026-11-30T08:00", LOOK_S), ("2026-11-30T08:59:50", 10.0)])
def test_the_clock_is_looked_at_again_at_the_next_change_and_soon_anyway(at: str, look_s: float) -> None:
    assert look(SHOP, stamp(local(at))).look_s == pytest.approx(look_s)


@pytest.mark.parametrize("wall_s", [-1e12, 0.0, 1e11, 1e18])
def test_no_clock_is_too_wrong_to_be_looked_at(wall_s: float) -> None:
    moment = Stamp(boot_id="boot", since_boot_s=1.0, wall_s=wall_s, synchronised=True)
    assert 0 < look(SHOP, moment).look_s <= LOOK_S


# ---------------------------------------------------------------- what a settings file can say


@pytest.mark.parametrize(
    ("zone", "week", "exceptions", "complaint"),
    [
        (None, {"monday": ["09:00-17:00"]}, {}, r'^time_zone: is missing; name the shop\'s, .*"Europe/Berlin"'),
        (
            "Europe/Berln",
            {"monday": ["09:00-17:00"]},
            {},
            '^time_zone: there is no .* "Europe/Berln"; .* "Europe/Berlin"',
        ),
        ("../etc/passwd", {"monday": ["09:00-17:00"]}, {}, "^time_zone: there is no time zone"),
        ("Europe/Berlin", {}, {}, "^time_zone: says nothing without opening hours"),
        ("UTC", {"monday": []}, {}, r"^no day has a span; leave \[hours\] out"),
        ("UTC", {"monday": ["9-17"]}, {}, '^monday: "9-17" is no span of time; write it as "09:00-17:30"'),
        ("UTC", {"sunday": ["09:00-25:00"]}, {}, '^sunday: "09:00-25:00" has a time that no clock shows'),
        ("UTC", {"sunday": ["09:60-11:00"]}, {}, "^sunday: .* no clock shows"),
        ("UTC", {"sunday": ["24:00-25:00"]}, {}, "^sunday: .* no clock shows"),
        ("UTC", {"friday": ["09:00-09:00"]}, {}, '^friday: "09:00-09:00" ends as it begins; .*"00:00-24:00"'),
        ("UTC", {"friday": ["09:00-12:00", "11:00-13:00"]}, {}, '^friday: "11:00-13:00" begins before "09:00-12:00"'),
        ("UTC", {}, {"2026-02-30": []}, '^exceptions: "2026-02-30" is no date; write it as 2026-12-25'),
        ("UTC", {}, {"2026-12-24": ["nine"]}, '^exceptions: 2026-12-24: "nine" is no span'),
    ],
)
def test_hours_that_mean_nothing_are_one_sentence_that_names_the_key(
    zone: str | None, week: dict[str, list[str]], exceptions: dict[str, list[str]], complaint: str
) -> None:
    with pytest.raises(HoursError, match=complaint):
        parse(zone, week, exceptions)


def test_a_machine_without_time_zone_data_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        ZoneInfoNotFoundError = zoneinfo.ZoneInfoNotFoundError

        def ZoneInfo(self, name: str) -> zoneinfo.ZoneInfo:  # noqa: N802
            raise zoneinfo.ZoneInfoNotFoundError(name)

        def available_timezones(self) -> set[str]:
            return set()

    monkeypatch.setattr(opening_hours, "zoneinfo", Bare())
    with pytest.raises(HoursError, match=r"^time_zone: this machine has no time zone data; .* apt install tzdata$"):
        parse("Europe/Berlin", {"monday": ["09:00-17:00"]}, {})


def test_days_are_read_as_a_person_writes_them() -> None:
    hours = parse("UTC", {"monday": [" 9:00 - 17:00 "]}, {})
    assert hours is not None
    assert hours.week[0] == (Span(540, 1020),)
    assert hours.week[1] == ()
    assert date(2026, 12, 25) in shop().exceptions


# ---------------------------------------------------------------- the settings file


def settings_of(tmp_path: Path, text: str) -> KioskSettings:
    path = tmp_path / "kiosk.toml"
    path.write_text(text, encoding="utf-8")
    return settings_file.load(path, KioskSettings)


def test_the_settings_file_gives_the_hours(tmp_path: Path) -> None:
    text = '[hours]\ntime_zone = "Europe/Berlin"\nmonday = ["09:00-17:00"]\n[hours.exceptions]\n2026-12-28 = []\n'
    hours = settings_of(tmp_path, text).hours.hours()
    assert hours is not None
    assert hours.is_open(local("2026-12-21T10:00"))
    assert not hours.is_open(local("2026-12-28T10:00"))
    assert KioskSettings().hours.hours() is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[hours]\nmonday = ["09:00-17:00"]', r"kiosk\.toml: hours: time_zone: is missing"),
        ('[hours]\ntime_zone = "UTC"\nmonday = ["9"]', r'kiosk\.toml: hours: monday: "9" is no span of time'),
        ('[hours]\ntime_zone = "UTC"\nmonnday = []', r"unknown key 'monnday' in \[hours\]; .* 'monday'"),
        ('[hours]\ntime_zone = "UTC"\nmonday = "09:00-17:00"', r"kiosk\.toml: hours\.monday: Expected `array"),
        ("[visit]\ninterval_s = -1", r"kiosk\.toml: visit\.interval_s: "),
        ("[visit]\nstuck_s = 1", r"kiosk\.toml: visit\.stuck_s: "),
    ],
)
def test_settings_that_mean_nothing_are_one_sentence_with_the_file_and_the_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        settings_of(tmp_path, text)
