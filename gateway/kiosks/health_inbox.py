"""Where the newest health of each kiosk lies until it is stored. Putting it there never waits and never raises.

Whatever kiosks send, feedback goes first: of a kiosk that sends without end the newest message is kept, and what is
too much is dropped. Health is sent again within a minute.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

MAX_INBOX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HealthArrival:
    """One message as it came in; nothing in it is believed."""

    topic: str
    payload: bytes
    received_at: datetime


class HealthInbox:
    """Safe for one thread that puts and one that takes."""

    def __init__(self, most_bytes: int = MAX_INBOX_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._newest: dict[str, HealthArrival] = {}
        self._bytes = 0
        self._dropped = 0

    def put(self, arrival: HealthArrival) -> None:
        """Keep a message until it is taken, in the place of an earlier one on the same topic."""
        with self._lock:
            before = self._newest.get(arrival.topic)
            size = self._bytes + len(arrival.payload) - (len(before.payload) if before else 0)
            if size > self._most_bytes:
                self._dropped += 1
                return
            self._newest[arrival.topic] = arrival
            self._bytes = size

    def take(self) -> tuple[Mapping[str, HealthArrival], int]:
        """Return what has come by topic, and how many messages were dropped, since the last time."""
        with self._lock:
            newest, self._newest = self._newest, {}
            dropped, self._dropped = self._dropped, 0
            self._bytes = 0
            return newest, dropped
