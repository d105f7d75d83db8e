"""How an endpoint stands after what its attempts have brought."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.webhooks.standing import (
    FIRST_PAUSE_S,
    GOOD,
    LAST_PAUSE_S,
    Accepted,
    Event,
    Limits,
    Notice,
    Refused,
    Silent,
    Standing,
    room,
    step,
)
from tests.gateway.support import NOW

LIMITS = Limits(silences=3, disable_after_s=86_400)


def after(*events: Event, standing: Standing = GOOD) -> tuple[Standing, list[Notice]]:
    told: list[Notice] = []
    for event in events:
        standing, notices = step(standing, event, now=NOW, limits=LIMITS, chance=0.0)
        told += notices
    return standing, told


def test_a_failure_begins_an_episode_that_is_told_once_and_a_success_ends_it() -> None:
    standing, told = after(Refused(500), Refused(500), Silent(), Accepted(), Accepted())
    assert standing == GOOD
    assert told == [Notice.FAILING, Notice.WORKS_AGAIN]


def test_after_a_few_silences_it_is_left_alone_for_growing_times() -> None:
    standing, told = after(Silent(), Silent())
    assert (standing.paused_until, room(standing, 4, now=NOW)) == (None, 1)
    pauses = []
    for _ in range(8):
        standing, more = after(Silent(), standing=standing)
        told += more
        assert standing.paused_until is not None
        pauses.append((standing.paused_until - NOW).total_seconds())
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LAST_PAUSE_S
    assert told == [Notice.FAILING, Notice.SILENT]
    assert room(standing, 4, now=NOW) == 0
    assert room(standing, 4, now=NOW + timedelta(seconds=LAST_PAUSE_S)) == 1


def test_an_answer_of_any_kind_ends_the_silence() -> None:
    standing, _ = after(Silent(), Silent(), Refused(500), Silent(), Silent())
    assert standing.paused_until is None


def test_a_retry_after_pauses_only_with_429_and_503_and_within_an_hour() -> None:
    assert after(Refused(500, 60.0))[0].paused_until is None
    assert after(Refused(503, 60.0))[0].paused_until == NOW + timedelta(seconds=60)
    assert after(Refused(429, 1e6))[0].paused_until == NOW + timedelta(hours=1)


def test_a_pause_that_is_asked_for_is_told_once_in_an_episode() -> None:
    assert after(*[Refused(503, 60.0)] * 3)[1] == [Notice.FAILING, Notice.PAUSED]
    assert after(Silent(), Silent(), Silent(), Silent())[1] == [Notice.FAILING, Notice.SILENT]


def test_it_is_never_disabled_where_that_is_switched_off() -> None:
    standing = GOOD
    for day in range(100):
        moment = NOW + timedelta(days=day)
        standing, told = step(standing, Silent(), now=moment, limits=Limits(3, 0), chance=1.0)
        assert Notice.DISABLED not in told


def test_two_failures_a_week_apart_do_not_disable_it() -> None:
    standing, _ = after(Refused(500))
    week = NOW + timedelta(days=7)
    assert step(standing, Refused(500), now=week, limits=LIMITS, chance=0.0)[1] == []


events = st.one_of(
    st.just(Accepted()),
    st.just(Silent()),
    st.builds(Refused, st.integers(300, 599), st.none() | st.floats(0, 1e9)),
)


@given(st.lists(st.tuples(events, st.floats(0, 1e5), st.floats(0, 1)), max_size=60))
def test_a_pause_is_bounded_and_only_a_success_forgives(history: list[tuple[Event, float, float]]) -> None:
    standing, now = GOOD, NOW
    for event, wait_s, chance in history:
        now += timedelta(seconds=wait_s)
        before = standing
        standing, told = step(standing, event, now=now, limits=LIMITS, chance=chance)
        if isinstance(event, Accepted):
            assert standing == GOOD
        else:
            assert standing.failing_since == (before.failing_since or now)
            assert told.count(Notice.FAILING) == (before.failing_since is None)
        if standing.paused_until is not None:
            assert (standing.paused_until - now).total_seconds() <= 3_600 * 1.2
