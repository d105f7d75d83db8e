"""Which record is sent next, and when the next connection is tried."""

from hypothesis import given
from hypothesis import strategies as st

from device.backoff import Backoff
from device.delivery import Window


def test_a_window_has_room_for_so_many_records_without_a_receipt() -> None:
    window = Window(size=2)
    assert window.free == 2
    window.sent("a", 1, b"A", 0.0)
    window.sent("b", 2, b"B", 0.0)
    assert (window.free, window.in_flight) == (0, 2)
    assert window.settled("a")
    assert (window.free, window.in_flight) == (1, 1)


def test_the_next_records_are_those_after_the_last_that_was_sent() -> None:
    window = Window(size=3)
    assert window.after_sequence == 0
    window.sent("a", 7, b"A", 0.0)
    window.sent("b", 9, b"B", 0.0)
    window.settled("b")
    assert window.after_sequence == 9


def test_when_nothing_is_on_its_way_the_next_record_may_be_one_that_was_put_back() -> None:
    window = Window()
    window.sent("a", 7, b"A", 0.0)
    window.settled("a")
    assert window.after_sequence == 0


def test_a_record_without_a_receipt_is_due_again_after_the_timeout_and_not_before() -> None:
    window = Window(timeout_s=15)
    window.sent("a", 1, b"A", 100.0)
    window.sent("b", 2, b"B", 105.0)
    assert window.overdue(114.9) == []
    assert window.overdue(115.0) == [b"A"]
    assert window.overdue(116.0) == []
    assert window.next_due_s() == 120.0
    assert window.overdue(130.0) == [b"B", b"A"]
    assert window.in_flight == 2


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
