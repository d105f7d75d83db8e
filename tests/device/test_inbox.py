"""The agent's queue: in order, bounded, and the newest of what comes often."""

import logging
import threading

import pytest

from audio.protocol import Heartbeat, Level, Partial, SpeechEnded
from device.inbox import MAX_WAITING, Inbox, Stop
from device.parts import PartEvent
from firmware_bridge import Button, ButtonPressed, ButtonReleased

FLOOD = 100_000


def level(number: int) -> Level:
    return Level(dbfs=-float(number % 90), peak=0.5)


def everything(inbox: Inbox) -> list[object]:
    found: list[object] = []
    while (event := inbox.get(0.0)) is not None:
        found.append(event)
    return found


def test_events_come_in_their_order() -> None:
    inbox = Inbox()
    events: list[PartEvent] = [ButtonPressed(Button.RECORD), SpeechEnded(visit="v"), ButtonReleased(Button.RECORD)]
    for event in events:
        inbox.put(event)
    assert everything(inbox) == events


def test_of_a_flood_of_levels_the_newest_waits_and_nothing_else_is_kept_from_its_turn() -> None:
    inbox = Inbox()
    for number in range(FLOOD):
        inbox.put(level(number))
        if number == FLOOD // 2:
            inbox.put(ButtonPressed(Button.RECORD))
    assert len(inbox) == 2
    assert everything(inbox) == [level(FLOOD - 1), ButtonPressed(Button.RECORD)]
    inbox.put(level(7))
    assert everything(inbox) == [level(7)]


def test_partial_words_and_heartbeats_wait_once_each() -> None:
    inbox = Inbox()
    for number in range(1000):
        inbox.put(Partial(visit="v", text=f"word {number}"))
        inbox.put(Heartbeat(blocks=number, overflows=0, backlog_s=0.0))
    assert everything(inbox) == [
        Partial(visit="v", text="word 999"),
        Heartbeat(blocks=999, overflows=0, backlog_s=0.0),
    ]


def test_a_queue_that_nobody_reads_is_bounded_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    inbox = Inbox()
    for _ in range(MAX_WAITING + 500):
        inbox.put(SpeechEnded(visit="v"))
    assert (len(inbox), inbox.dropped) == (MAX_WAITING, 500)
    inbox.stop()
    assert isinstance(everything(inbox)[-1], Stop)
    inbox.put(SpeechEnded(visit="v"))
    assert everything(inbox) == [SpeechEnded(visit="v")]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_many_writers_lose_nothing() -> None:
    inbox = Inbox()

    def write(name: str) -> None:
        for number in range(500):
            inbox.put(SpeechEnded(visit=f"{name}{number}"))
            inbox.put(level(number))

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    found: list[object] = []
    while any(writer.is_alive() for writer in writers) or len(inbox):
        if (event := inbox.get(0.01)) is not None:
            found.append(event)
    visits = [event.visit for event in found if isinstance(event, SpeechEnded)]
    assert len(visits) == 2000
    for name in "abcd":
        assert [visit for visit in visits if visit.startswith(name)] == [f"{name}{number}" for number in range(500)]
