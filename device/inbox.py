"""The agent's queue of events. It is bounded: a part that talks too much is heard less, and nobody waits for it."""

import logging
import queue
import threading

from audio.protocol import Heartbeat, Level, Partial
from device.parts import PartEvent

log = logging.getLogger(__name__)

LATEST_WINS = (Level, Heartbeat, Partial)
"""Only the newest of each of these counts: one of each waits at most."""
MAX_WAITING = 4096
"""More events wait only behind an agent that stands, which the watchdog restarts; further ones are dropped."""


class Stop:
    """The agent shall end."""


Latest = type[Level] | type[Heartbeat] | type[Partial]


class Inbox:
    """Many threads put events in, one takes them out in order."""

    def __init__(self) -> None:
        # Its `put` may be called in a signal handler, whatever the thread is doing: nothing else here may.
        self._queue: queue.SimpleQueue[PartEvent | Stop | Latest] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._latest: dict[Latest, Level | Heartbeat | Partial] = {}
        self._is_full = False
        self.dropped = 0
        """Events that found no room."""

    def __len__(self) -> int:
        """Return how many events wait."""
        return self._queue.qsize()

    def put(self, event: PartEvent) -> None:
        """Let an event wait for its turn; any thread."""
        with self._lock:
            if isinstance(event, LATEST_WINS):
                waits = type(event) in self._latest
                self._latest[type(event)] = event
                if not waits:
                    self._queue.put(type(event))
            elif self._has_room():
                self._queue.put(event)

    def stop(self) -> None:
        """Let the reader find a `Stop` behind all that waits; any thread, also a signal handler."""
        self._queue.put(Stop())

    def get(self, timeout_s: float) -> PartEvent | Stop | None:
        """Return the next event, or None if there is none for so long."""
        try:
            found = self._queue.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if isinstance(found, type):
            with self._lock:
                return self._latest.pop(found)
        return found

    def _has_room(self) -> bool:
        has_room = self._queue.qsize() < MAX_WAITING
        if not has_room:
            self.dropped += 1
        if has_room is self._is_full:
            self._is_full = not has_room
            if has_room:
                log.info("The agent takes events again; %d were dropped since its start", self.dropped)
            else:
                log.warning("%d events wait for the agent: further ones are dropped until it takes them", MAX_WAITING)
        return has_room
