"""Analyses what was received and, in the same transaction, puts the webhooks into the outbox."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import get_args
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet

from contract import text, webhook
from contract.webhook import MAX_EMOTION_CHARS
from gateway import database
from gateway.analysis.engine import Analysis, Engine
from gateway.analysis.models import FeedbackAnalysis
from gateway.feedback.models import Feedback, Reply
from gateway.kiosks.models import Kiosk
from gateway.webhooks import outbox, payloads

logger = logging.getLogger(__name__)

BATCH_ROWS = 32
CLAIM_ROWS = 8
"""How many one process takes at once where several share the work; few, for they wait if it dies."""

CLAIM_S = 60.0
"""After that the process that claimed them is believed to be dead, and another one takes them."""

POLL_S = 1.0
POSTPONE_S = 60.0
"""How long a row that cannot be written is left alone, so that the others get their turn."""

PageUrl = Callable[[str], str]


class Analyst:
    """Takes feedback and replies through; `turn` is to be run by a `gateway.loop.Loop`.

    What is open is read from the database alone, so that a death at any instruction loses nothing.
    """

    def __init__(self, engine: Engine, *, page_url: PageUrl, enqueued: Callable[[], None]) -> None:
        """Make one.

        Args:
            engine: does the analysis.
            page_url: gives the ``page_url`` of a kiosk that has none of its own.
            enqueued: is called when there is something to deliver.
        """
        self._engine = engine
        self._page_url = page_url
        self._enqueued = enqueued
        self._awake = threading.Event()
        self._postponed: dict[UUID, float] = {}
        self._claimed: set[UUID] = set()

    def wake(self) -> None:
        """Look for new feedback now; from any thread."""
        self._awake.set()

    def turn(self, stop: threading.Event) -> None:
        """Take a batch through; if there is nothing, wait a second at most."""
        self._awake.clear()
        if not self.work(stop):
            self._awake.wait(POLL_S)

    def work(self, stop: threading.Event) -> int:
        """Take a batch of feedback and of replies through; return how many rows."""
        done = 0
        for feedback in self._open_feedback():
            if stop.is_set():
                self._let_go()
                return done
            done += self._take_through(feedback.pk, partial(self._analyse, feedback))
        for reply in self._open_replies():
            if stop.is_set():
                return done
            done += self._take_through(reply.pk, partial(self._settle, reply))
        return done

    def _open_feedback(self) -> list[Feedback]:
        rows = Feedback.objects.filter(state=Feedback.State.RECEIVED).exclude(pk__in=self._now_postponed())
        rows = rows.select_related("kiosk").order_by("received_at")
        return self._claim(rows) if database.is_postgresql() else list(rows[:BATCH_ROWS])

    def _claim(self, rows: QuerySet[Feedback]) -> list[Feedback]:
        now = datetime.now(UTC)
        # What was claimed and then failed with the database is still ours.
        free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=now) | Q(pk__in=self._claimed)
        with transaction.atomic():
            found = list(database.for_update(rows.filter(free))[:CLAIM_ROWS])
            self._claimed = {row.pk for row in found}
            until = now + timedelta(seconds=CLAIM_S)
            Feedback.objects.filter(pk__in=self._claimed).update(claimed_until=until)
        return found

    def _let_go(self) -> None:
        mine = Feedback.objects.filter(pk__in=self._claimed, state=Feedback.State.RECEIVED)
        mine.update(claimed_until=None)
        self._claimed = set()

    def _open_replies(self) -> list[Reply]:
        ready = Feedback.objects.filter(state=Feedback.State.ANALYSED).values("pk")
        rows = Reply.objects.filter(state=Reply.State.RECEIVED, feedback_id__in=ready)
        return list(rows.exclude(pk__in=self._now_postponed()).order_by("received_at")[:BATCH_ROWS])

    def _now_postponed(self) -> list[UUID]:
        now = time.monotonic()
        self._postponed = {key: until for key, until in self._postponed.items() if until > now}
        return list(self._postponed)

    def _take_through(self, key: UUID, act: Callable[[], None]) -> int:
        try:
            act()
        except (OperationalError, InterfaceError):
            # The database, not the row: everything waits.
            raise
        except Exception:
            logger.exception("a row cannot be taken through; it waits", extra={"row": str(key), "pause_s": POSTPONE_S})
            self._postponed[key] = time.monotonic() + POSTPONE_S
            return 0
        return 1

    def _analyse(self, feedback: Feedback) -> None:
        begin = time.monotonic()
        status, found = self._ask_engine(feedback)
        duration_ms = round((time.monotonic() - begin) * 1_000)
        now = datetime.now(UTC)
        with transaction.atomic():
            mine = Feedback.objects.filter(pk=feedback.pk, state=Feedback.State.RECEIVED)
            if not mine.update(state=Feedback.State.ANALYSED, claimed_until=None):
                return
            analysis = FeedbackAnalysis.objects.create(
                feedback=feedback,
                status=status,
                engine=self._engine.name,
                finished_at=now,
                duration_ms=duration_ms,
                sentiment=found.sentiment,
                category=found.category,
                summary=found.summary,
                emotion=found.emotion,
                intensity=found.intensity,
                is_testimonial_candidate=found.is_testimonial_candidate,
            )
            payload = payloads.feedback_new(feedback, analysis, self._page_url_of(feedback.kiosk))
            made = outbox.enqueue(payload, now=now)
        fields = {"feedback": str(feedback.pk), "engine": self._engine.name, "status": status, "ms": duration_ms}
        logger.info("feedback analysed", extra=fields)
        if made:
            self._enqueued()

    def _ask_engine(self, feedback: Feedback) -> tuple[FeedbackAnalysis.Status, Analysis]:
        if feedback.transcript is None:
            return FeedbackAnalysis.Status.UNAVAILABLE, Analysis()
        try:
            return FeedbackAnalysis.Status.DONE, checked(self._engine.analyse(feedback.transcript))
        except Exception as error:  # noqa: BLE001 (whatever the engine does, the webhook is sent)
            # Without the traceback's values: they could hold what the visitor said.
            logger.error(  # noqa: TRY400
                "analysis failed; the webhook goes without it",
                extra={"feedback": str(feedback.pk), "engine": self._engine.name, "error": type(error).__name__},
            )
            return FeedbackAnalysis.Status.UNAVAILABLE, Analysis()

    def _settle(self, reply: Reply) -> None:
        now = datetime.now(UTC)
        made = 0
        with transaction.atomic():
            if database.for_update(Reply.objects.filter(pk=reply.pk, state=Reply.State.RECEIVED)).first() is None:
                return
            feedback = Feedback.objects.select_related("kiosk", "analysis").get(pk=reply.feedback_id)
            fits = feedback.kiosk_id == reply.kiosk_id
            state = Reply.State.SETTLED if fits else Reply.State.MISMATCHED
            if not Reply.objects.filter(pk=reply.pk, state=Reply.State.RECEIVED).update(state=state):
                return
            if fits and reply.wants_reply:
                page_url = self._page_url_of(feedback.kiosk)
                made = outbox.enqueue(payloads.wants_reply(feedback, feedback.analysis, reply, page_url), now=now)
        if not fits:
            logger.warning("reply names another kiosk's feedback", extra={"kiosk": reply.kiosk_id})
        if made:
            self._enqueued()

    def _page_url_of(self, kiosk: Kiosk) -> str:
        return kiosk.page_url or self._page_url(kiosk.pk)


def checked(found: Analysis) -> Analysis:
    """Return what an engine said, as the contract can carry it.

    Raises:
        ValueError: a value that the contract does not know.
    """
    for value, kinds in (
        (found.sentiment, webhook.Sentiment),
        (found.category, webhook.Category),
        (found.intensity, webhook.Intensity),
    ):
        if value is not None and value not in get_args(kinds):
            raise ValueError("the engine gave a value that is not of the contract")
    return Analysis(
        sentiment=found.sentiment,
        category=found.category,
        summary=None if found.summary is None else text.clean(found.summary, webhook.MAX_SUMMARY_CHARS),
        emotion=None if found.emotion is None else text.clean(found.emotion, MAX_EMOTION_CHARS),
        intensity=found.intensity,
        is_testimonial_candidate=bool(found.is_testimonial_candidate),
    )
