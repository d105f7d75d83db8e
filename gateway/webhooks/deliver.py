"""Claims due deliveries, lets threads attempt them, and writes down what came of it."""

import logging
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.webhooks import outbox
from gateway.webhooks.outbox import Claim
from gateway.webhooks.retry import Accepted, Decision, Gone, RetryAfter, decide
from gateway.webhooks.secrets import SecretBox
from gateway.webhooks.sender import Outcome, Sender

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT = 32
"""Eight endpoints may hang at once before a healthy one has to wait."""

POLL_S = 1.0
DRAIN_S = 3.0


class Deliverer:
    """The outbox's only hand in this process; `turn` is to be run by a `gateway.loop.Loop`.

    Only its thread touches the database; the attempts' threads do nothing but send.
    """

    def __init__(self, sender: Sender, box: SecretBox, *, delays_s: Sequence[float], deadline_s: float) -> None:
        self._sender = sender
        self._box = box
        self._delays_s = tuple(delays_s)
        self._lease_s = outbox.lease_s(deadline_s)
        self._in_flight = 0
        # None says that there is something new to claim.
        self._events: queue.SimpleQueue[tuple[Claim, Outcome] | None] = queue.SimpleQueue()
        self._ended: deque[tuple[Claim, Outcome]] = deque()

    def wake(self) -> None:
        """Look for due deliveries now; from any thread."""
        self._events.put(None)

    def turn(self, stop: threading.Event) -> None:
        """Write down what has ended, claim what is due, and wait a second at most."""
        self._record_ended()
        if not stop.is_set():
            self._begin()
        self._wait(POLL_S)

    def drain(self) -> None:
        """Give what is under way a moment to end, cut the rest, and write all of it down."""
        end = time.monotonic() + DRAIN_S
        while self._in_flight and time.monotonic() < end:
            self._wait(max(end - time.monotonic(), 0.0))
            self._record_ended()
        if self._in_flight:
            # Not written down: their leases say that nobody knows, and they are sent again under the same id.
            self._sender.abort()

    def _begin(self) -> None:
        room = MAX_IN_FLIGHT - self._in_flight
        if room <= 0:
            return
        for claimed in outbox.claim(room, self._box, now=datetime.now(UTC), lease_s=self._lease_s):
            self._in_flight += 1
            threading.Thread(target=self._attempt, args=(claimed,), name="attempt", daemon=True).start()

    def _attempt(self, claimed: Claim) -> None:
        self._events.put((claimed, self._sender.send(claimed.request)))

    def _wait(self, timeout_s: float) -> None:
        try:
            event = self._events.get(timeout=timeout_s)
            while True:
                if event is not None:
                    self._in_flight -= 1
                    self._ended.append(event)
                event = self._events.get_nowait()
        except queue.Empty:
            return

    def _record_ended(self) -> None:
        while self._ended:
            claimed, outcome = self._ended[0]
            self._record(claimed, outcome)
            self._ended.popleft()

    def _record(self, claimed: Claim, outcome: Outcome) -> None:
        decision = decide(
            status=outcome.status,
            failed=not outcome.is_answer,
            number=claimed.number,
            delays_s=self._delays_s,
            retry_after_s=outcome.retry_after_s,
            chance=random.random(),  # noqa: S311
        )
        counted = outbox.record(claimed, outcome, decision, now=datetime.now(UTC))
        if not counted:
            logger.info("webhook result came too late", extra={"webhook_id": claimed.request.webhook_id})
            return
        _tell(claimed, outcome, decision)


def _tell(claimed: Claim, outcome: Outcome, decision: Decision) -> None:
    fields: dict[str, object] = {
        "feedback": str(claimed.feedback),
        "event": claimed.event,
        "endpoint": claimed.endpoint_name,
        "webhook_id": claimed.request.webhook_id,
        "status": outcome.status,
        "attempt": claimed.number,
        "ms": outcome.duration_ms,
    }
    if isinstance(decision, Accepted):
        logger.info("webhook delivered", extra=fields)
        return
    next_s = round(decision.delay_s, 1) if isinstance(decision, RetryAfter) else None
    logger.info("webhook attempt failed", extra={**fields, "reason": outcome.error, "next_attempt_s": next_s})
    if isinstance(decision, Gone):
        logger.warning("endpoint disabled: it answered 410", extra={"endpoint": claimed.endpoint_name})
    elif next_s is None:
        logger.warning("webhook given up", extra=fields)
