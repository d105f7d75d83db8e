"""Which record goes to the gateway next: a window of records without a receipt, in order, repeated slowly.

Pure: no broker and no clock; times are seconds of one monotonic clock.
"""

from dataclasses import dataclass, field

WINDOW = 20
"""Records on their way at once; bounds the broker's and the client's memory."""
RECEIPT_TIMEOUT_S = 15.0
"""After this time without a receipt a record is sent again on the same connection."""


@dataclass(frozen=True, slots=True)
class _Sent:
    message: bytes
    at_s: float


@dataclass(slots=True)
class Window:
    """What one connection has sent and has no receipt for."""

    size: int = WINDOW
    timeout_s: float = RECEIPT_TIMEOUT_S
    _sent: dict[str, _Sent] = field(default_factory=dict)
    """In the order of sending."""
    _last_sequence: int = 0

    @property
    def free(self) -> int:
        """How many records may be sent now."""
        return max(0, self.size - len(self._sent))

    @property
    def in_flight(self) -> int:
        """How many records are on their way."""
        return len(self._sent)

    @property
    def after_sequence(self) -> int:
        """After which record of the spool the next ones are.

        From the beginning when none is on its way: what then waits there was put back by an operator.
        """
        return self._last_sequence if self._sent else 0

    def sent(self, record_id: str, sequence: int, message: bytes, now_s: float) -> None:
        """A record was sent for the first time on this connection."""
        self._sent[record_id] = _Sent(message, now_s)
        self._last_sequence = sequence

    def settled(self, record_id: str) -> bool:
        """A receipt came; tell whether the record was on its way."""
        return self._sent.pop(record_id, None) is not None

    def overdue(self, now_s: float) -> list[bytes]:
        """Return the messages to send again, the longest waiting first; they then count as sent now."""
        due = [(record_id, sent) for record_id, sent in self._sent.items() if now_s - sent.at_s >= self.timeout_s]
        for record_id, sent in due:
            del self._sent[record_id]
            self._sent[record_id] = _Sent(sent.message, now_s)
        return [sent.message for _, sent in due]

    def next_due_s(self) -> float | None:
        """Return when a record will be overdue next, or None if none is on its way."""
        return min(sent.at_s for sent in self._sent.values()) + self.timeout_s if self._sent else None
