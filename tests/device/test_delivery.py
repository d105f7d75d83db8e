"""Which record is sent next."""

from hypothesis import given
from hypothesis import strategies as st

from device.backoff import Backoff
from device.delivery import Window


def test_records_are_sent_in_order_and_never_more_than_the_window_holds() -> None:
    window = Window(size=2)
    assert window.fresh(["a", "b", "c"]) == ["a", "b"]
    window.sent("a", 0.0)
    window.sent("b", 0.0)
    assert window.fresh(["a", "b", "c"]) == []
    assert window.settled("a")
    assert window.fresh(["b", "c"]) == ["c"]


def test_a_record_without_a_receipt_is_due_again_after_the_timeout_and_not_before() -> None:
    window = Window(timeout_s=15)
    window.sent("a", 100.0)
    assert window.overdue(114.9) == []
    assert window.overdue(115.0) == ["a"]
    window.sent("a", 115.0)
    assert window.overdue(116.0) == []
    assert window.next_due_s() == 130.0


def test_a_receipt_for_a_record_that_is_not_on_its_way_is_no_error() -> None:
    assert not Window().settled("unknown")
    assert Window().next_due_s() is None


@given(st.integers(0, 50), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=80))
def test_the_back_off_is_bounded_in_rate_and_never_gives_up(resets_at: int, draws: list[float]) -> None:
    backoff = Backoff(draw=iter(draws).__next__)
    for number in range(len(draws)):
        if number == resets_at:
            backoff.reset()
        tries = number - resets_at if number >= resets_at else number
        delay_s = backoff.next_s()
        assert backoff.floor_s <= delay_s <= max(backoff.floor_s, min(60.0, 1.0 * 2**tries))
