"""Repeater: sends one message at a time, again and again, until it is acknowledged."""

import math

from firmware_bridge.frame import encode
from firmware_bridge.messages import to_frame
from firmware_bridge.timing import REPEAT_S
from firmware_bridge.wire import Message


class Repeater:
    """The sending half of stop-and-wait, for either side; time is passed in.

    A serial line keeps its order, so one sequence number of 8 bits tells a repetition from the next message.
    """

    def __init__(self) -> None:
        self.repeats = 0
        self._sequence = 0
        self._encoded = b""
        self._due_s = math.inf
        self._tries = 0
        self._sent_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether a message waits for its acknowledgement."""
        return bool(self._encoded)

    @property
    def deadline_s(self) -> float:
        """When `due` has bytes again; infinite when nothing waits."""
        return self._due_s

    def send(self, message: Message, now_s: float) -> None:
        """Take `message` as the one to deliver, due at once; it replaces one that is not acknowledged yet."""
        self._sequence = (self._sequence + 1) % 256
        self._encoded = encode(to_frame(message, self._sequence))
        self._due_s = now_s
        self._tries = 0

    def due(self, now_s: float) -> bytes:
        """Return the bytes to send now, if any."""
        if now_s < self._due_s:
            return b""
        self.repeats += self._tries > 0
        self._tries += 1
        self._sent_s = now_s
        self._due_s = now_s + REPEAT_S
        return self._encoded

    def round_trip_s(self, now_s: float) -> float | None:
        """Return how long the message that waits has been under way; None where it was sent more than once.

        An acknowledgement does not say which of several it answers (Karn's rule).
        """
        return now_s - self._sent_s if self.busy and self._tries == 1 else None

    def acknowledge(self, sequence: int) -> bool:
        """Take an acknowledgement; return whether it was for the message that waits."""
        if not self.busy or sequence != self._sequence:
            return False
        self.cancel()
        return True

    def outdated(self, sequence: int) -> bool:
        """Return whether an older message is acknowledged after the newest one was."""
        return not self.busy and sequence != self._sequence

    def cancel(self) -> None:
        """Give up the message that waits."""
        self._encoded = b""
        self._due_s = math.inf
