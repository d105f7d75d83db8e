"""The agent's events for programs on the same machine."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.event_feed import MAX_READERS, EventFeed


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[EventFeed]:
    feed = EventFeed(tmp_path / "run")
    feed.start()
    yield feed
    feed.stop()


def connect(feed: EventFeed) -> socket.socket:
    reader = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    reader.settimeout(5)
    reader.connect(str(feed.path))
    return reader


def test_a_reader_gets_the_present_state_and_then_what_happens(feed: EventFeed) -> None:
    feed.publish("scene", state="scene", scene="idle")
    feed.publish("scene", state="scene", scene="recording")
    feed.publish("partial", text="passing words")
    with connect(feed) as reader, reader.makefile("r") as lines:
        assert json.loads(lines.readline())["scene"] == "recording"
        feed.publish("partial", text="größer \u2028 \ud800")
        event = json.loads(lines.readline())
    assert event["event"] == "partial"
    assert event["text"] == "größer \u2028 ?"


def test_only_the_agents_own_user_may_read(feed: EventFeed) -> None:
    assert feed.path.stat().st_mode & 0o777 == 0o600
    assert feed.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_reader_that_does_not_keep_up_is_dropped_and_does_not_delay_the_agent(feed: EventFeed) -> None:
    feed.publish("scene", state="scene", scene="idle")
    with connect(feed) as reader:
        reader.recv(1)
        for _ in range(200):
            feed.publish("partial", text="x" * 10_000)
        received = b"".join(iter(lambda: reader.recv(1 << 20), b""))
    assert received.count(b"\n") < 200


def test_more_readers_than_allowed_are_turned_away(feed: EventFeed) -> None:
    feed.publish("scene", state="scene", scene="idle")
    readers = [connect(feed) for _ in range(MAX_READERS)]
    for reader in readers:
        assert reader.recv(1)
    with connect(feed) as late:
        assert b"".join(iter(lambda: late.recv(4096), b"")).count(b"\n") <= 1
    for reader in readers:
        reader.close()


def test_stopping_ends_the_readers_and_removes_the_socket(tmp_path: Path) -> None:
    feed = EventFeed(tmp_path / "run")
    feed.start()
    feed.publish("scene", state="scene", scene="idle")
    with connect(feed) as reader:
        assert reader.recv(1)
        feed.stop()
        while reader.recv(4096):
            pass
    assert not feed.path.exists()
    assert "event-feed" not in [thread.name for thread in threading.enumerate()]


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.sock").touch()
    feed = EventFeed(tmp_path / "run")
    feed.start()
    with connect(feed):
        pass
    feed.stop()
