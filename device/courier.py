"""The courier: brings the spool's records over one connection, in order, and settles what the gateway answered.

Both in batches: one transaction freezes the bytes of all that there is room for, one settles all receipts that came.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from contract.messages import MessageError, Receipt, encode_feedback
from device.delivery import Window
from device.record import feedback_of
from device.spool import Entry, Outcome, Spool, SpoolError
from device.timekeeper import Timekeeper

log = logging.getLogger(__name__)

IDLE_S = 30.0
"""How often the spool is looked at without being told."""
SPOOL_RETRY_S = 5.0
RECEIPTS_MAX = 1_000
"""Receipts kept while the spool cannot be written; those beyond come again, for their records are sent again."""


class Carrier(Protocol):
    """What takes a message to the broker."""

    def send_feedback(self, message: bytes) -> None:
        """Hand one message to the broker."""
        ...


@dataclass(slots=True)
class Tally:
    """What was sent and answered since the start of the agent; written by one thread, read by any."""

    sent: int = 0
    stored: int = 0
    refused: int = 0
    stray_receipts: int = 0
    last_receipt_at_s: float | None = None


class Courier:
    """Lives as long as one connection; belongs to one thread."""

    def __init__(
        self,
        spool: Spool,
        timekeeper: Timekeeper,
        carrier: Carrier,
        *,
        kiosk: str,
        tally: Tally,
        on_settled: Callable[[Outcome], None],
        window: Window,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._timekeeper = timekeeper
        self._carrier = carrier
        self._kiosk = kiosk
        self._tally = tally
        self._on_settled = on_settled
        self._monotonic = monotonic
        self._window = window
        self._receipts: dict[str, Receipt] = {}
        self._retry_at_s: float | None = None

    @property
    def in_flight(self) -> int:
        """How many records were sent and have no receipt yet."""
        return self._window.in_flight

    @property
    def unsettled(self) -> int:
        """How many receipts were taken since the last work."""
        return len(self._receipts)

    def take(self, receipt: Receipt) -> None:
        """Take a receipt; `work` settles it."""
        self._tally.last_receipt_at_s = self._monotonic()
        earlier = self._receipts.get(receipt.id)
        if earlier is not None:
            self._tally.stray_receipts += 1
        # Of a record that was sent twice the gateway may refuse one copy and store the other.
        if receipt.outcome == "stored" if earlier is not None else len(self._receipts) < RECEIPTS_MAX:
            self._receipts[receipt.id] = receipt

    def work(self) -> float:
        """Settle what came and send what is due; return after how many seconds to work again."""
        now_s = self._monotonic()
        if self._retry_at_s is not None and now_s < self._retry_at_s:
            return self._retry_at_s - now_s
        try:
            self._settle_receipts()
            self._repeat(now_s)
            wait_s = self._fill(now_s)
        except SpoolError as error:
            if self._retry_at_s is None:
                log.warning("The spool fails, delivery waits and it is tried again: %s", error)
            self._retry_at_s = now_s + SPOOL_RETRY_S
            return SPOOL_RETRY_S
        if self._retry_at_s is not None:
            log.info("The spool works again, delivery goes on")
            self._retry_at_s = None
        due_s = self._window.next_due_s()
        return wait_s if due_s is None else min(wait_s, max(0.0, due_s - self._monotonic()))

    def finish(self) -> None:
        """Settle what came; the connection is over."""
        try:
            self._settle_receipts()
        except SpoolError as error:
            log.debug("Receipts were lost, their records will be sent again: %s", error)

    def _settle_receipts(self) -> None:
        if not self._receipts:
            return
        known = self._settle([_outcome(receipt) for receipt in self._receipts.values()])
        self._tally.stray_receipts += len(self._receipts) - known
        for record_id in self._receipts:
            self._window.settled(record_id)
        self._receipts.clear()

    def _settle(self, outcomes: list[Outcome]) -> int:
        """Note outcomes in the spool; return how many of their records waited there."""
        known = self._spool.settle(outcomes)
        for outcome in known:
            if outcome.stored:
                self._tally.stored += 1
            else:
                self._tally.refused += 1
                log.warning("Record %s was refused and is kept on the shelf: %s", outcome.record_id, outcome.reason)
            self._on_settled(outcome)
        return len(known)

    def _repeat(self, now_s: float) -> None:
        for message in self._window.overdue(now_s):
            self._carrier.send_feedback(message)
            self._tally.sent += 1

    def _fill(self, now_s: float) -> float:
        """Send as many of the next records as there is room for; return after how many seconds to look for more."""
        room = self._window.free
        if not room:
            return IDLE_S
        entries = self._spool.waiting(limit=room, after_sequence=self._window.after_sequence)
        sendable = self._sendable(entries)
        poison: list[Outcome] = []
        messages = [(entry, message) for entry in sendable if (message := self._message(entry, poison)) is not None]
        fresh = [(entry.id, message) for entry, message in messages if entry.message is None]
        if fresh:
            self._spool.freeze_all(fresh)
        if poison:
            self._settle(poison)
        for entry, message in messages:
            assert entry.sequence is not None, "the spool numbers what it releases"
            self._carrier.send_feedback(message)
            self._window.sent(entry.id, entry.sequence, message, now_s)
            self._tally.sent += 1
        return 0.0 if poison else IDLE_S

    def _sendable(self, entries: list[Entry]) -> list[Entry]:
        """Return those before the first whose right time may come to be known soon."""
        for number, entry in enumerate(entries):
            if entry.message is None and self._timekeeper.is_worth_waiting_for(entry.record.pressed):
                return entries[:number]
        return entries

    def _message(self, entry: Entry, poison: list[Outcome]) -> bytes | None:
        """Return the bytes to send for a record, or add it to ``poison`` if there can be none."""
        if entry.message is not None:
            return entry.message
        try:
            assert entry.sequence is not None, "the spool numbers what it releases"
            time_of_visit = self._timekeeper.time_of(entry.record.pressed)
            return encode_feedback(
                feedback_of(entry.record, kiosk=self._kiosk, sequence=entry.sequence, time=time_of_visit)
            )
        except (MessageError, ValueError) as error:
            poison.append(Outcome(entry.id, stored=False, reason=f"it cannot be sent: {error}"))
        except Exception as error:
            # A defect that one record wakes must not stand in the way of all behind it.
            log.exception("Record %s cannot be made a message", entry.id)
            poison.append(Outcome(entry.id, stored=False, reason=f"it cannot be sent: {type(error).__name__}"))
        return None


def _outcome(receipt: Receipt) -> Outcome:
    if receipt.outcome == "stored":
        return Outcome(receipt.id, stored=True, reason=None)
    return Outcome(receipt.id, stored=False, reason=receipt.reason or "the gateway gave no reason")
