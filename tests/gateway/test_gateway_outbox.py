"""Claims, leases, fences, order."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from contract.webhook import FeedbackNew, FeedbackWantsReply
from gateway.feedback.models import Feedback
from gateway.kiosks.models import Kiosk
from gateway.webhooks import endpoints, outbox
from gateway.webhooks.dialling import Fault
from gateway.webhooks.models import Attempt, Delivery, Endpoint
from gateway.webhooks.outbox import IN_FLIGHT_PER_ENDPOINT, Claim
from gateway.webhooks.retry import Accepted, Decision, Exhausted, Gone, RetryAfter
from gateway.webhooks.secrets import SecretBox
from gateway.webhooks.sender import Outcome
from tests.gateway.support import NOW

pytestmark = pytest.mark.usefixtures("each_database")

LEASE_S = 50.0
LATER = NOW + timedelta(seconds=LEASE_S + 1)


@pytest.fixture
def hook(shop: Kiosk, box: SecretBox) -> Endpoint:
    endpoints.add(endpoints.NewEndpoint("hook", "https://example.org/hook", "a secret that is long"), box, now=NOW)
    return Endpoint.objects.get()


def feedback() -> Feedback:
    return Feedback.objects.create(
        id=uuid4(),
        kiosk_id="shop-1",
        created_at=NOW,
        created_at_source="kiosk",
        kiosk_created_at=NOW,
        clock="synchronised",
        received_at=NOW,
        speech_s=1,
        audio_s=1,
        sequence=1,
    )


def enqueue(row: Feedback | None = None) -> Feedback:
    row = row or feedback()
    payload = FeedbackNew(
        id=str(row.pk),
        transcript=None,
        sentiment=None,
        category=None,
        summary=None,
        emotion=None,
        intensity=None,
        is_testimonial_candidate=False,
        page_url="https://gw/k/shop-1",
        created_at="2026-03-01T12:00:00Z",
    )
    outbox.enqueue(payload, now=NOW)
    return row


def enqueue_reply(row: Feedback) -> None:
    payload = FeedbackWantsReply(
        id=str(row.pk),
        user_email="visitor@example.org",
        wants_reply=True,
        transcript=None,
        sentiment=None,
        category=None,
        summary=None,
        page_url="https://gw/k/shop-1",
        created_at="2026-03-01T12:00:00Z",
    )
    outbox.enqueue(payload, now=NOW)


def claim(box: SecretBox, *, now: datetime = NOW, most: int = 100) -> list[Claim]:
    return outbox.claim(most, box, now=now, lease_s=LEASE_S)


def outcome(status: int | None = 200, fault: Fault | None = None) -> Outcome:
    return Outcome(NOW, 12, status, fault, "" if fault is None else "it failed")


def end(claimed: Claim, decision: Decision, *, status: int | None = 200, now: datetime = NOW) -> bool:
    fault = None if isinstance(decision, Accepted) else Fault.STATUS
    return outbox.record(claimed, outcome(status, fault), decision, now=now)


def test_a_claim_carries_what_the_sender_needs(hook: Endpoint, box: SecretBox) -> None:
    row = enqueue()
    (claimed,) = claim(box)
    assert (claimed.number, claimed.event, claimed.feedback) == (1, "feedback.new", row.pk)
    assert claimed.request.secrets == ("a secret that is long",)
    assert claimed.request.body == bytes(Delivery.objects.get().body)
    assert claimed.request.webhook_id == Delivery.objects.get().webhook_id


def test_what_is_claimed_is_not_claimed_again_until_its_lease_ends(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    assert len(claim(box)) == 1
    assert claim(box) == []
    assert len(claim(box, now=LATER)) == 1


def test_a_delivery_is_ended_with_its_attempt(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (claimed,) = claim(box)
    assert end(claimed, Accepted())
    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.last_status, row.next_due_at, row.lease_until) == (
        "delivered",
        1,
        200,
        None,
        None,
    )
    assert list(Attempt.objects.values_list("number", "status", "fault")) == [(1, 200, "")]
    assert claim(box, now=LATER) == []


def test_the_result_of_a_claim_that_was_lost_does_not_count(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (slow,) = claim(box)
    (fast,) = claim(box, now=LATER)
    assert not end(slow, Exhausted(), status=500)
    assert end(fast, Accepted(), now=LATER)
    assert not end(slow, Accepted())
    assert Delivery.objects.get().state == "delivered"
    assert Attempt.objects.count() == 1


def test_a_retry_is_due_when_it_was_said_under_the_same_webhook_id(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (first,) = claim(box)
    end(first, RetryAfter(30), status=503)
    assert claim(box, now=NOW + timedelta(seconds=29)) == []
    (second,) = claim(box, now=NOW + timedelta(seconds=31))
    assert (second.number, second.request.webhook_id) == (2, first.request.webhook_id)
    assert second.request.body == first.request.body


def test_what_is_exhausted_stays(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (claimed,) = claim(box)
    end(claimed, Exhausted(), status=500)
    row = Delivery.objects.get()
    assert (row.state, row.last_status, row.last_error) == ("exhausted", 500, "it failed")
    assert claim(box, now=LATER) == []


def test_gone_disables_the_endpoint_and_what_is_pending_waits(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    enqueue()
    (first, _second) = claim(box)
    end(first, Gone(), status=410)
    hook.refresh_from_db()
    assert not hook.enabled
    assert "410" in hook.disabled_reason
    assert claim(box, now=LATER) == []
    endpoints.switch("hook", enabled=True)
    assert len(claim(box, now=LATER)) == 1


def test_enqueued_twice_there_is_one_delivery(hook: Endpoint, box: SecretBox) -> None:
    row = enqueue()
    enqueue(row)
    assert Delivery.objects.count() == 1


def test_the_database_itself_holds_one_delivery_for_each_event(hook: Endpoint) -> None:
    row = Delivery.objects.get(feedback=enqueue())
    row.pk, row.webhook_id = None, "other"
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize(
    "broken",
    [
        {"state": "lost"},
        {"next_due_at": None},
        {"state": "delivered"},
        {"state": "delivered", "next_due_at": None},
        {"body": b"x" * 100_001},
    ],
)
def test_the_database_refuses_a_delivery_in_an_impossible_state(hook: Endpoint, broken: dict[str, object]) -> None:
    enqueue()
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.update(**broken)


def test_no_more_than_a_few_are_in_flight_for_one_endpoint(hook: Endpoint, box: SecretBox) -> None:
    other = Endpoint.objects.create(name="other", url="https://example.org/", created_at=NOW)
    for _ in range(IN_FLIGHT_PER_ENDPOINT + 3):
        enqueue()
    claims = claim(box)
    assert sorted(each.endpoint for each in claims) == sorted([hook.pk, other.pk] * IN_FLIGHT_PER_ENDPOINT)
    assert claim(box) == []
    end(claims[0], Accepted())
    assert [each.endpoint for each in claim(box)] == [claims[0].endpoint]


def test_no_more_is_claimed_than_there_is_room_for(hook: Endpoint, box: SecretBox) -> None:
    for _ in range(3):
        enqueue()
    assert len(claim(box, most=2)) == 2


def test_the_second_event_waits_until_the_first_has_ended(hook: Endpoint, box: SecretBox) -> None:
    row = enqueue()
    enqueue_reply(row)
    (first,) = claim(box)
    assert first.event == "feedback.new"
    end(first, RetryAfter(5), status=500)
    soon = NOW + timedelta(seconds=6)
    (again,) = claim(box, now=soon)
    assert again.event == "feedback.new"
    assert end(again, Accepted(), now=soon)
    (second,) = claim(box, now=soon)
    assert second.event == "feedback.wants_reply"


def test_the_second_event_goes_even_if_the_first_was_exhausted(hook: Endpoint, box: SecretBox) -> None:
    row = enqueue()
    enqueue_reply(row)
    (first,) = claim(box)
    end(first, Exhausted(), status=500)
    assert [each.event for each in claim(box)] == ["feedback.wants_reply"]


def test_a_secret_that_cannot_be_decrypted_is_an_attempts_problem_not_the_workers(
    hook: Endpoint, box: SecretBox
) -> None:
    enqueue()
    Endpoint.objects.update(secret=b"damaged")
    (claimed,) = claim(box)
    assert claimed.request.problem is not None
    assert claimed.request.secrets == ()


def test_the_leases_of_a_process_that_died_are_freed_and_its_results_no_longer_count(
    hook: Endpoint, box: SecretBox
) -> None:
    enqueue()
    (ghost,) = claim(box)
    assert outbox.forget_leases() == 1
    (claimed,) = claim(box)
    assert not end(ghost, Accepted())
    assert end(claimed, Accepted())


def test_a_removed_endpoint_has_no_secret_and_nothing_pending(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (claimed,) = claim(box)
    assert endpoints.remove("hook", now=NOW) == 1
    hook.refresh_from_db()
    assert (hook.secret, hook.enabled) == (None, False)
    assert not end(claimed, Accepted())
    assert Delivery.objects.get().state == "cancelled"
    endpoints.add(endpoints.NewEndpoint("hook", "https://example.org/new", None), box, now=datetime.now(UTC))
