"""What follows from an attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webhooks.retry import MAX_JITTER_S, Accepted, Decision, Exhausted, Gone, RetryAfter, decide

DELAYS_S = (5, 300, 1_800)


def after(
    status: int | None,
    number: int = 1,
    *,
    failed: bool = False,
    retry_after_s: float | None = None,
    chance: float = 0.0,
    delays_s: tuple[int, ...] = DELAYS_S,
) -> Decision:
    return decide(
        status=status,
        failed=failed,
        number=number,
        delays_s=delays_s,
        retry_after_s=retry_after_s,
        chance=chance,
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    assert after(status) == Accepted()


def test_a_2xx_read_before_the_deadline_cut_the_answer_is_a_failure() -> None:
    assert after(200, failed=True) == RetryAfter(5)


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 400, 401, 404, 408, 429, 500, 503])
def test_everything_else_is_tried_again_as_scheduled(status: int | None) -> None:
    assert [after(status, number) for number in (1, 2, 3)] == [RetryAfter(5), RetryAfter(300), RetryAfter(1_800)]


def test_after_the_last_delay_it_is_exhausted() -> None:
    assert after(500, 4) == Exhausted()


def test_without_delays_one_attempt_is_all() -> None:
    assert after(500, 1, delays_s=()) == Exhausted()


def test_410_ends_the_endpoint_but_not_if_the_answer_was_cut() -> None:
    assert after(410) == Gone()
    assert after(410, failed=True) == RetryAfter(5)


@pytest.mark.parametrize(("asked_s", "given_s"), [(0, 5), (3, 5), (60, 60), (86_400, 86_400), (1e9, 86_400)])
def test_retry_after_lengthens_the_wait_within_a_day_and_never_shortens_it(asked_s: float, given_s: float) -> None:
    assert after(503, retry_after_s=asked_s) == RetryAfter(given_s)


def test_retry_after_grants_no_attempt_beyond_the_last() -> None:
    assert after(503, 4, retry_after_s=10) == Exhausted()


@given(number=st.integers(1, 3), chance=st.floats(0, 1), asked_s=st.none() | st.floats(0, 1e6))
def test_jitter_only_adds_and_is_bounded(number: int, chance: float, asked_s: float | None) -> None:
    plain = after(500, number, retry_after_s=asked_s)
    jittered = after(500, number, retry_after_s=asked_s, chance=chance)
    assert isinstance(plain, RetryAfter)
    assert isinstance(jittered, RetryAfter)
    assert plain.delay_s <= jittered.delay_s <= min(plain.delay_s * 1.1, plain.delay_s + MAX_JITTER_S) + 1e-6
