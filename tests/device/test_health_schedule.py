"""When the health is looked at and told."""

from hypothesis import given
from hypothesis import strategies as st

from device.health_schedule import LEAST_S, LOOK_S, NEWS_S, Schedule

INTERVAL_S = 60.0


def test_the_first_look_is_at_once_and_is_told() -> None:
    schedule = Schedule(INTERVAL_S)
    assert schedule.wait_s(0.0) == 0
    assert schedule.looked("well", 0.0)


def test_without_a_change_it_is_told_at_the_interval() -> None:
    schedule = Schedule(INTERVAL_S)
    told_s = [now_s for now_s in range(0, 301, int(LOOK_S)) if schedule.looked("well", float(now_s))]
    assert told_s == [0, 60, 120, 180, 240, 300]


def test_a_change_is_told_at_the_next_look() -> None:
    schedule = Schedule(INTERVAL_S)
    assert schedule.looked("well", 0.0)
    assert schedule.looked("ill", LEAST_S)
    assert not schedule.looked("ill", 2 * LEAST_S)


def test_news_bring_the_next_look_forward_and_a_loose_plug_does_not_bring_a_storm() -> None:
    schedule = Schedule(INTERVAL_S)
    schedule.looked("well", 0.0)
    assert schedule.wait_s(0.0) == LOOK_S
    schedule.news()
    assert schedule.wait_s(0.5) == NEWS_S - 0.5
    assert schedule.wait_s(7.0) == 0
    schedule.failed(7.0)
    assert schedule.wait_s(7.0) == LOOK_S


@given(st.lists(st.tuples(st.floats(0.01, 10.0), st.integers(0, 2)), max_size=200))
def test_it_is_told_neither_too_often_nor_too_rarely_whatever_changes(looks: list[tuple[float, int]]) -> None:
    schedule = Schedule(INTERVAL_S)
    now_s, told_s, told = 0.0, -1e9, -1
    for pause_s, states in looks:
        now_s += pause_s
        if schedule.looked(states, now_s):
            assert now_s - told_s >= LEAST_S
            told_s, told = now_s, states
        else:
            assert now_s - told_s < INTERVAL_S
            assert states == told or now_s - told_s < LEAST_S
