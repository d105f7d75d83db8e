"""From stored feedback to the outbox."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import DatabaseError

from contract import messages, topics
from contract.topics import Channel
from gateway import database
from gateway.analysis.engine import Analysis
from gateway.analysis.models import FeedbackAnalysis
from gateway.analysis.worker import Analyst
from gateway.feedback import store
from gateway.feedback.ingest import Arrival
from gateway.feedback.models import Feedback, Reply
from gateway.kiosks.models import Kiosk
from gateway.webhooks import outbox
from gateway.webhooks.models import Delivery, Endpoint
from tests.gateway.support import NOW, feedback_message, make_kiosk, reply_message

pytestmark = pytest.mark.usefixtures("each_database", "shop")

FOUND = Analysis(
    sentiment="positive",
    category="praise",
    summary="The staff was kind.",
    emotion="satisfied",
    intensity="moderate",
    is_testimonial_candidate=True,
)


class StubEngine:
    name = "stub-1"

    def __init__(self, act: Callable[[str], Analysis] = lambda _text: FOUND) -> None:
        self._act = act

    def analyse(self, text: str) -> Analysis:
        return self._act(text)


def put(message: messages.Message, channel: Channel = Channel.FEEDBACK, kiosk: str = "shop-1") -> None:
    store.commit([Arrival(topics.topic(kiosk, channel), messages.encode(message), NOW)])


def work(engine: StubEngine | None = None) -> int:
    analyst = Analyst(engine or StubEngine(), page_url=lambda kiosk: f"https://gw/k/{kiosk}", enqueued=lambda: None)
    return analyst.work(threading.Event())


def endpoint(name: str = "hook") -> Endpoint:
    return Endpoint.objects.create(name=name, url="https://example.org/", created_at=NOW)


def let_claims_run_out() -> None:
    Feedback.objects.update(claimed_until=None)


def bodies() -> list[dict[str, object]]:
    return [json.loads(bytes(row.body)) for row in Delivery.objects.order_by("pk")]


def test_the_analysis_and_the_webhook_bytes_are_those_of_the_contract() -> None:
    endpoint()
    message = feedback_message(transcript="the staff was „very“ kind \u2028 🙂")
    put(message)
    assert work() == 1
    assert bytes(Delivery.objects.get().body).decode() == (
        '{"event":"feedback.new","feedback":{"id":"' + message.id + '",'
        '"transcript":"the staff was „very“ kind \u2028 🙂","sentiment":"positive","category":"praise",'
        '"summary":"The staff was kind.","emotion":"satisfied","intensity":"moderate",'
        '"is_testimonial_candidate":true,"page_url":"https://gw/k/shop-1","created_at":"2026-03-01T12:00:00Z"}}'
    )
    row = FeedbackAnalysis.objects.get()
    assert (row.status, row.engine) == ("done", "stub-1")


def test_there_is_one_delivery_for_each_endpoint_and_it_is_held_back_for_one_that_is_disabled() -> None:
    one, two = endpoint("one"), endpoint("two")
    off = Endpoint.objects.create(name="off", url="https://example.org/", enabled=False, created_at=NOW)
    put(feedback_message())
    work()
    rows = Delivery.objects.all()
    states = {row.endpoint_id: row.state for row in rows}
    assert states == {one.pk: "pending", two.pk: "pending", off.pk: "cancelled"}
    assert len({row.webhook_id for row in rows}) == 3


def test_the_kiosks_own_page_url_is_taken() -> None:
    endpoint()
    Kiosk.objects.update(page_url="https://shop.example/desk")
    put(feedback_message())
    work()
    assert bodies()[0]["feedback"]["page_url"] == "https://shop.example/desk"  # type: ignore[index]


def test_without_a_transcript_everything_is_null_and_the_webhook_is_sent() -> None:
    endpoint()
    put(feedback_message(transcript=None, confidence=None))
    work()
    feedback = bodies()[0]["feedback"]
    assert isinstance(feedback, dict)
    nulls = [key for key, value in feedback.items() if value is None]
    assert nulls == ["transcript", "sentiment", "category", "summary", "emotion", "intensity"]
    assert feedback["is_testimonial_candidate"] is False
    assert FeedbackAnalysis.objects.get().status == "unavailable"


def _fail(text: str) -> Analysis:
    raise RuntimeError(text)


@pytest.mark.parametrize(
    "act",
    [_fail, lambda _text: Analysis(sentiment="delighted"), lambda _text: Analysis(summary=7)],  # type: ignore[arg-type]
)
def test_an_engine_that_fails_or_talks_nonsense_does_not_hold_the_webhook(
    act: Callable[[str], Analysis], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint()
    put(feedback_message(transcript="my secret words"))
    work(StubEngine(act))
    feedback = bodies()[0]["feedback"]
    assert isinstance(feedback, dict)
    assert feedback["sentiment"] is None
    assert feedback["transcript"] == "my secret words"
    assert FeedbackAnalysis.objects.get().status == "unavailable"
    assert "analysis failed" in caplog.text
    assert "secret words" not in caplog.text


def test_the_longest_texts_still_fit_into_a_body() -> None:
    endpoint()
    put(feedback_message(transcript="\U0001f642" * 20_000))
    work(StubEngine(lambda _text: Analysis(summary="\U0001f642" * 5_000, emotion="\U0001f642" * 500)))
    assert len(bytes(Delivery.objects.get().body)) <= 100_000


def test_done_twice_it_changes_nothing() -> None:
    endpoint()
    put(feedback_message())
    assert work() == 1
    Feedback.objects.update(state="received")
    FeedbackAnalysis.objects.all().delete()
    assert work() == 1
    assert Delivery.objects.count() == 1


def test_a_death_before_the_commit_leaves_nothing_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Death(BaseException):
        pass

    def die(*_args: object, **_kwargs: object) -> int:
        raise Death

    endpoint()
    put(feedback_message())
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "enqueue", die)
        with pytest.raises(Death):
            work()
    assert Feedback.objects.get().state == "received"
    assert FeedbackAnalysis.objects.count() == 0
    let_claims_run_out()
    assert work() == 1
    assert Delivery.objects.count() == 1


def test_what_another_process_has_claimed_is_left_alone_until_its_claim_runs_out() -> None:
    put(feedback_message())
    Feedback.objects.update(claimed_until=datetime.now(UTC) + timedelta(seconds=30))
    assert work() == (0 if database.is_postgresql() else 1)
    Feedback.objects.update(claimed_until=datetime.now(UTC) - timedelta(seconds=1))
    assert work() == (1 if database.is_postgresql() else 0)


def test_what_is_not_begun_before_the_stop_is_free_for_others() -> None:
    stop = threading.Event()

    def act(_text: str) -> Analysis:
        stop.set()
        return FOUND

    for number in range(1, 4):
        put(feedback_message(sequence=number))
    analyst = Analyst(StubEngine(act), page_url=str, enqueued=lambda: None)
    assert analyst.work(stop) == 1
    assert work() == 2


def test_a_row_that_cannot_be_taken_through_does_not_hold_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint()
    bad, good = feedback_message(), feedback_message()
    put(bad)
    put(good)
    real = outbox.enqueue

    def enqueue(payload: object, **kwargs: object) -> int:
        if getattr(payload, "id", None) == bad.id:
            raise DatabaseError("no")
        return real(payload, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(outbox, "enqueue", enqueue)
    assert work() == 1
    assert Feedback.objects.get(pk=bad.id).state == "received"
    assert Feedback.objects.get(pk=good.id).state == "analysed"


def test_a_reply_makes_the_second_webhook_which_comes_after_the_first() -> None:
    endpoint()
    message = feedback_message()
    put(message)
    put(reply_message(message.id), Channel.REPLY)
    work()
    first, second = Delivery.objects.order_by("pk")
    assert (first.event, second.event) == ("feedback.new", "feedback.wants_reply")
    assert second.after_id == first.pk
    assert bytes(second.body).decode() == (
        '{"event":"feedback.wants_reply","feedback":{"id":"' + message.id + '","user_email":"visitor@example.org",'
        '"wants_reply":true,"transcript":"the staff was very kind","sentiment":"positive","category":"praise",'
        '"summary":"The staff was kind.","page_url":"https://gw/k/shop-1","created_at":"2026-03-01T12:00:00Z"}}'
    )


def test_a_reply_waits_for_its_feedback() -> None:
    endpoint()
    message = feedback_message()
    put(reply_message(message.id), Channel.REPLY)
    assert work() == 0
    assert Reply.objects.get().state == "received"
    put(message)
    work()
    assert [body["event"] for body in bodies()] == ["feedback.new", "feedback.wants_reply"]
    assert Reply.objects.get().state == "settled"


def test_an_address_without_the_wish_for_a_reply_sends_nothing() -> None:
    endpoint()
    message = feedback_message()
    put(message)
    put(reply_message(message.id, wants_reply=False), Channel.REPLY)
    work()
    assert [body["event"] for body in bodies()] == ["feedback.new"]
    assert Reply.objects.get().state == "settled"


def test_a_kiosk_cannot_reply_to_the_feedback_of_another() -> None:
    endpoint()
    make_kiosk("shop-2")
    message = feedback_message()
    put(message)
    put(reply_message(message.id, kiosk="shop-2"), Channel.REPLY, "shop-2")
    work()
    assert [body["event"] for body in bodies()] == ["feedback.new"]
    assert Reply.objects.get().state == "mismatched"
    put(reply_message(message.id), Channel.REPLY)
    work()
    assert [body["event"] for body in bodies()] == ["feedback.new", "feedback.wants_reply"]


def test_what_a_worker_left_is_found_in_the_database_alone() -> None:
    messages_put = [feedback_message(sequence=number) for number in range(1, 40)]
    for message in messages_put:
        put(message)
    done = 0
    while step := work():
        done += step
    assert done == len(messages_put)
    assert {row.feedback_id for row in FeedbackAnalysis.objects.all()} == {UUID(each.id) for each in messages_put}
