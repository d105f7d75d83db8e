"""Claims due deliveries, lets threads attempt them, and writes down what came of it."""

import logging
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter

from gateway.configuration import WebhookSettings
from gateway.webhooks import endpoints, outbox
from gateway.webhooks.attempt import Outcome
from gateway.webhooks.outbox import RULES, Claim, Rules
from gateway.webhooks.results import Result, record
from gateway.webhooks.retry import Accepted, Decision, Gone, RetryAfter, decide
from gateway.webhooks.secrets import SecretBox
from gateway.webhooks.sender import Sender
from gateway.webhooks.standing import Limits, Notice

logger = logging.getLogger(__name__)

MAX_SLOTS = 32
"""How many attempts are under way at once; an endpoint that does not answer soon has only one of them."""

POLL_S = 1.0
DRAIN_S = 3.0

LINGER_S = 0.02
"""What ended within this time is written down together."""

SLOT_S = 0.25
"""About how long the deliveries of one slot should take; so many are claimed together."""

MAX_ROWS_IN_SLOT = 64
_SMOOTHING = 0.2

_EPISODE_ENDS = frozenset({Notice.WORKS_AGAIN})


class Point:
    """Moments at which a process may die; tests do it there."""

    CLAIMED = "claimed"
    POSTING = "posting"
    POSTED = "posted"
    RECORDING = "recording"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class _SlotEnded:
    unsent: Sequence[Claim]


@dataclass(frozen=True, slots=True)
class _AttemptEnded:
    claim: Claim
    outcome: Outcome


def rules_of(settings: WebhookSettings) -> Rules:
    """Return what the settings say of claims."""
    limits = Limits(silences=settings.pause_after_silences, disable_after_s=settings.disable_after_s)
    return Rules(per_endpoint=settings.in_flight_per_endpoint, limits=limits)


class Deliverer:
    """The outbox's only hand in this process; `turn` is to be run by a `gateway.loop.Loop`.

    Only its thread touches the database; the attempts' threads do nothing but send. Each of these has one slot: a few
    deliveries for one endpoint, sent one after another until the first that fails.
    """

    def __init__(
        self,
        sender: Sender,
        box: SecretBox,
        *,
        delays_s: Sequence[float],
        deadline_s: float,
        rules: Rules = RULES,
        at: Callable[[str], None] = lambda _point: None,
    ) -> None:
        """Make one.

        Args:
            sender: makes the attempts.
            box: opens the endpoints' secrets.
            delays_s: the wait before each repetition.
            deadline_s: the sender's, which the leases depend on.
            rules: how much is claimed, and when an endpoint is left alone.
            at: is called at each `Point`, from any thread.
        """
        self._sender = sender
        self._box = box
        self._delays_s = tuple(delays_s)
        self._lease_s = outbox.lease_s(deadline_s)
        self._last_start_s = self._lease_s - deadline_s - outbox.LEASE_MARGIN_S / 2
        self._rules = rules
        self._at = at
        self._slots = 0
        self._stopping = False
        # None says that there is something new to claim.
        self._events: queue.SimpleQueue[_AttemptEnded | _SlotEnded | None] = queue.SimpleQueue()
        self._ended: deque[_AttemptEnded] = deque()
        self._unsent: list[Claim] = []
        self._seconds: dict[int, float] = {}

    def wake(self) -> None:
        """Look for due deliveries now; from any thread."""
        self._events.put(None)

    def turn(self, stop: threading.Event) -> None:
        """Write down what has ended, claim what is due, and wait a second at most."""
        self._stopping = stop.is_set()
        self._record_ended()
        if not self._stopping:
            self._begin()
        self._sender.sweep()
        for name in endpoints.forget_old_secrets(now=datetime.now(UTC)) if self._slots == 0 else ():
            logger.warning("the old secret of an endpoint signs no more", extra={"endpoint": name})
        self._wait(POLL_S)

    def drain(self) -> None:
        """Give what is under way a moment to end, cut the rest, and write all of it down."""
        self._stopping = True
        end_s = time.monotonic() + DRAIN_S
        self._record_ended()
        while self._slots and time.monotonic() < end_s:
            self._wait(max(end_s - time.monotonic(), 0.0))
            self._record_ended()
        if self._slots:
            # Not written down: their leases say that nobody knows, and they are sent again under the same id.
            self._sender.abort()
        self._sender.close()

    def _begin(self) -> None:
        room = MAX_SLOTS - self._slots
        if room <= 0:
            return
        claimed_s = time.monotonic()
        claims = outbox.claim(
            room,
            self._box,
            now=datetime.now(UTC),
            lease_s=self._lease_s,
            rules=self._rules,
            rows=self._rows_in_slot,
        )
        if claims:
            self._at(Point.CLAIMED)
        for _, slot in groupby(claims, attrgetter("slot")):
            self._slots += 1
            args = (list(slot), claimed_s + self._last_start_s)
            threading.Thread(target=self._attempt_each, args=args, name="attempt", daemon=True).start()

    def _rows_in_slot(self, endpoint: int) -> int:
        """Return how many deliveries this endpoint takes in about `SLOT_S`, by what it needed lately."""
        seconds = self._seconds.get(endpoint, SLOT_S)
        return max(1, min(round(SLOT_S / max(seconds, 0.001)), MAX_ROWS_IN_SLOT))

    def _attempt_each(self, slot: Sequence[Claim], last_start_s: float) -> None:
        sent = 0
        try:
            for claim in slot:
                # Nobody else may hold it when the attempt ends.
                if self._stopping or time.monotonic() > last_start_s:
                    return
                sent += 1
                self._at(Point.POSTING)
                outcome = self._sender.send(claim.request)
                self._at(Point.POSTED)
                self._events.put(_AttemptEnded(claim, outcome))
                if outcome.fault is not None:
                    return
        finally:
            self._events.put(_SlotEnded(slot[sent:]))

    def _wait(self, timeout_s: float) -> None:
        try:
            self._take(self._events.get(timeout=timeout_s))
            if self._slots:
                time.sleep(LINGER_S)
            while True:
                self._take(self._events.get_nowait())
        except queue.Empty:
            return

    def _take(self, event: _AttemptEnded | _SlotEnded | None) -> None:
        if isinstance(event, _SlotEnded):
            self._slots -= 1
            self._unsent.extend(event.unsent)
        elif isinstance(event, _AttemptEnded):
            self._ended.append(event)
            endpoint, seconds = event.claim.endpoint, event.outcome.duration_ms / 1_000
            before = self._seconds.get(endpoint, seconds)
            self._seconds[endpoint] = before + _SMOOTHING * (seconds - before)

    def _record_ended(self) -> None:
        if self._ended:
            results = [Result(each.claim, each.outcome, self._decide(each)) for each in self._ended]
            self._at(Point.RECORDING)
            recorded = record(results, now=datetime.now(UTC), rules=self._rules)
            self._at(Point.RECORDED)
            self._ended.clear()
            for result, counted in zip(results, recorded.counted, strict=True):
                _tell(result, counted=counted)
            for name, notice in recorded.notices:
                logger.log(
                    logging.INFO if notice in _EPISODE_ENDS else logging.WARNING, notice.value, extra={"endpoint": name}
                )
        if self._unsent:
            outbox.give_back(self._unsent)
            self._unsent = []

    def _decide(self, ended: _AttemptEnded) -> Decision:
        return decide(
            status=ended.outcome.status,
            failed=not ended.outcome.is_answer,
            number=ended.claim.tries + 1,
            delays_s=self._delays_s,
            retry_after_s=ended.outcome.retry_after_s,
            chance=random.random(),  # noqa: S311
        )


def _tell(result: Result, *, counted: bool) -> None:
    claim, outcome, decision = result.claim, result.outcome, result.decision
    if not counted:
        logger.info("webhook result came too late", extra={"webhook_id": claim.request.webhook_id})
        return
    fields: dict[str, object] = {
        "feedback": str(claim.feedback),
        "event": claim.event,
        "endpoint": claim.endpoint_name,
        "webhook_id": claim.request.webhook_id,
        "status": outcome.status,
        "attempt": claim.number,
        "ms": outcome.duration_ms,
    }
    if isinstance(decision, Accepted):
        logger.info("webhook delivered", extra=fields)
        return
    next_s = round(decision.delay_s, 1) if isinstance(decision, RetryAfter) else None
    logger.info("webhook attempt failed", extra={**fields, "reason": outcome.error, "next_attempt_s": next_s})
    if isinstance(decision, Gone):
        logger.warning("endpoint disabled: it answered 410", extra={"endpoint": claim.endpoint_name})
    elif next_s is None:
        logger.warning("webhook given up", extra=fields)
