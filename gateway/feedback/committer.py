"""Commits what the subscriber took, then sends the receipts, then acknowledges: in this order, at any instruction."""

import logging
import threading
from collections.abc import Callable

from gateway.feedback import store
from gateway.feedback.subscriber import Delivered, Subscriber

logger = logging.getLogger(__name__)

BATCH_MESSAGES = 64
"""One commit for so many at most; more gain nothing and make the first one wait."""

WAIT_S = 0.5


class Committer:
    """Stores messages in batches; `turn` is to be run by a `gateway.loop.Loop`."""

    def __init__(self, subscriber: Subscriber, stored: Callable[[], None]) -> None:
        """``stored`` is called after each commit, so that the analysis need not wait."""
        self._subscriber = subscriber
        self._stored = stored
        self._batch: list[Delivered] = []

    def turn(self, _stop: threading.Event) -> None:
        """Take one batch, or the one that could not be stored before, to its end.

        Raises:
            django.db.OperationalError: the database cannot be written; the batch is kept for the next turn.
        """
        if not self._batch:
            self._batch = self._subscriber.take(BATCH_MESSAGES, WAIT_S)
        if not self._batch:
            return
        answers = store.commit([delivered.arrival for delivered in self._batch])
        batch, self._batch = self._batch, []
        for answer in filter(None, answers):
            self._subscriber.answer(answer.kiosk, answer.receipt)
        for delivered in batch:
            delivered.acknowledge()
        self._stored()
