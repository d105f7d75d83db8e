"""Commits what the subscriber took, then sends the receipts, then acknowledges: in this order, at any instruction."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from gateway.feedback import store
from gateway.feedback.limits import DiskRoom, RateLimit
from gateway.feedback.store import Answer
from gateway.feedback.subscriber import Delivered, Subscriber

logger = logging.getLogger(__name__)

BATCH_MESSAGES = 64
"""One commit for so many at most; more gain nothing and make the first one wait."""

WAIT_S = 0.5
MAX_KIOSK_CHARS = 63


class Committer:
    """Stores messages in batches; `turn` is to be run by a `gateway.loop.Loop`."""

    def __init__(self, subscriber: Subscriber, *, rate: RateLimit, room: DiskRoom, stored: Callable[[], None]) -> None:
        """Make one.

        Args:
            subscriber: gives the messages and sends the receipts.
            rate: of each kiosk; what is over it is not stored.
            room: on the disk; without it nothing is stored.
            stored: is called after each commit, so that the analysis need not wait.
        """
        self._subscriber = subscriber
        self._rate = rate
        self._room = room
        self._stored = stored
        self._batch: list[Delivered] = []
        self.counts: Counter[str] = Counter()
        """Messages by what became of them: stored, refused, noted, too_fast, disk_full."""
        self.commits = 0
        self.commit_s = 0.0
        """What all commits took together."""

    def turn(self, _stop: threading.Event) -> None:
        """Take one batch, or the one that could not be stored before, to its end.

        Raises:
            django.db.OperationalError: the database cannot be written; the batch is kept for the next turn.
        """
        if not self._batch:
            self._batch = self._within_limits(self._subscriber.take(BATCH_MESSAGES, WAIT_S))
        if not self._batch:
            return
        began_s = time.monotonic()
        answers = store.commit([delivered.arrival for delivered in self._batch])
        self.commits += 1
        self.commit_s += time.monotonic() - began_s
        batch, self._batch = self._batch, []
        for answer in filter(None, answers):
            self._subscriber.answer(answer.kiosk, answer.receipt)
        for delivered in batch:
            delivered.acknowledge()
        self.counts.update(_outcome(answer) for answer in answers)
        self._stored()

    def _within_limits(self, taken: list[Delivered]) -> list[Delivered]:
        """Return what may be stored now; the rest is acknowledged without a receipt, so that its kiosk repeats it."""
        now_s = time.monotonic()
        kept = []
        for delivered in taken:
            if not self._room.is_enough(now_s):
                self.counts["disk_full"] += 1
            elif not self._rate.allow((delivered.arrival.sender or "")[:MAX_KIOSK_CHARS], now_s):
                self.counts["too_fast"] += 1
            else:
                kept.append(delivered)
                continue
            delivered.acknowledge()
        return kept


def _outcome(answer: Answer | None) -> str:
    return "noted" if answer is None else str(answer.receipt.outcome)
