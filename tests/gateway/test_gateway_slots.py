"""A slot between the thread that sends and the one that claims."""

import threading
from collections.abc import Sequence
from uuid import UUID

from gateway.webhooks.attempt import Request
from gateway.webhooks.outbox import Claim
from gateway.webhooks.slots import Slot


def claims(*deliveries: int) -> list[Claim]:
    request = Request("https://example.org/", "webhook-1", b"{}")
    return [Claim(each, 1, 7, 1, 0, "feedback.new", UUID(int=each), 1, "hook", request) for each in deliveries]


def taken(slot: Slot) -> int | None:
    turn = slot.next()
    return None if turn is None else turn[0].delivery


def test_what_it_was_given_is_taken_in_order_and_each_with_its_own_latest_start() -> None:
    slot = Slot(7, 1, claims(1, 2), 10.0)
    assert slot.add(claims(3), 20.0)
    found = [slot.next() for _ in range(4)]
    assert [turn and (turn[0].delivery, turn[1]) for turn in found] == [(1, 10.0), (2, 10.0), (3, 20.0), None]


def test_at_half_it_asks_once_for_more_and_wants_it_until_it_is_given() -> None:
    slot = Slot(7, 1, claims(1, 2, 3, 4, 5, 6), 10.0)
    asks = [turn[2] for turn in (slot.next() for _ in range(4)) if turn]
    assert asks == [False, False, True, False]
    assert slot.wants_more()
    slot.add(claims(7, 8, 9, 10), 10.0)
    assert not slot.wants_more()


def test_a_slot_of_one_asks_for_nothing() -> None:
    slot = Slot(7, 1, claims(1), 10.0)
    assert slot.next() == (claims(1)[0], 10.0, False)
    assert not slot.wants_more()


def test_after_its_end_nothing_can_be_added_so_that_nothing_is_forgotten() -> None:
    slot = Slot(7, 1, claims(1), 10.0)
    assert [taken(slot), taken(slot)] == [1, None]
    assert not slot.add(claims(2), 10.0)


def test_what_is_given_up_is_told() -> None:
    slot = Slot(7, 1, claims(1, 2, 3), 10.0)
    assert taken(slot) == 1
    assert [each.delivery for each in slot.give_up()] == [2, 3]
    assert taken(slot) is None
    assert not slot.add(claims(4), 10.0)


def test_of_what_two_threads_give_and_take_nothing_is_lost_or_taken_twice() -> None:
    slot, sent, late = Slot(7, 1, claims(0), 10.0), list[int](), list[int]()

    def send() -> None:
        while (found := taken(slot)) is not None:
            sent.append(found)

    def give(numbers: Sequence[int]) -> None:
        for number in numbers:
            if not slot.add(claims(number), 10.0):
                late.append(number)

    threads = [threading.Thread(target=send), threading.Thread(target=give, args=(range(1, 2_000),))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(sent + late) == list(range(2_000))
