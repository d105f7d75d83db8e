"""Which record goes to the gateway next: a window of records without a receipt, in order, repeated slowly.

Pure: no broker and no clock; times are seconds of one monotonic clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

WINDOW = 20
"""Records on their way at once; bounds the broker's and the client's memory."""
RECEIPT_TIMEOUT_S = 15.0
"""After this time without a receipt a record is sent again on the same connection."""


@dataclass(slots=True)
class Window:
    """What one connection has sent and has no receipt for."""

    size: int = WINDOW
    timeout_s: float = RECEIPT_TIMEOUT_S
    _sent_at: dict[str, float] = field(default_factory=dict)
    """In the order of sending."""

    @property
    def free(self) -> int:
        """How many records may be sent now."""
        return self.size - len(self._sent_at)

    def sent(self, record_id: str, now_s: float) -> None:
        """A record was sent, or sent again."""
        self._sent_at.pop(record_id, None)
        self._sent_at[record_id] = now_s

    def settled(self, record_id: str) -> bool:
        """A receipt came, or the record is gone; tell whether it was on its way."""
        return self._sent_at.pop(record_id, None) is not None

    def overdue(self, now_s: float) -> list[str]:
        """Return the records to send again, the longest waiting first."""
        return [record_id for record_id, at_s in self._sent_at.items() if now_s - at_s >= self.timeout_s]

    def next_due_s(self) -> float | None:
        """Return when a record will be overdue next, or None if none is on its way."""
        return min(self._sent_at.values()) + self.timeout_s if self._sent_at else None

    def fresh(self, record_ids: Iterable[str]) -> list[str]:
        """Return those that are not on their way, in the given order, as many as there is room for."""
        return [record_id for record_id in record_ids if record_id not in self._sent_at][: max(0, self.free)]
