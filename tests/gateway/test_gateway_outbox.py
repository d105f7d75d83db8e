"""Claims, leases, fences, order."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from contract.webhook import FeedbackNew, FeedbackWantsReply
from gateway.errors import GatewayError
from gateway.feedback.models import Feedback
from gateway.kiosks.models import Kiosk
from gateway.webhooks import access, endpoints, outbox, replay
from gateway.webhooks.attempt import Fault, Form, MailAccess, Outcome
from gateway.webhooks.filters import Filters
from gateway.webhooks.models import Attempt, Delivery, Endpoint
from gateway.webhooks.outbox import Claim, Rules
from gateway.webhooks.results import Result, record
from gateway.webhooks.retry import Accepted, Decision, Exhausted, Gone, RetryAfter
from gateway.webhooks.secrets import SecretBox
from gateway.webhooks.standing import Notice
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
    (counted,) = record([Result(claimed, outcome(status, fault), decision)], now=now).counted
    return counted


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


def test_gone_disables_the_endpoint_and_holds_back_what_is_pending_until_it_is_resumed(
    hook: Endpoint, box: SecretBox
) -> None:
    enqueue()
    enqueue()
    (first, second) = claim(box)
    end(first, Gone(), status=410)
    hook.refresh_from_db()
    assert not hook.enabled
    assert "410" in hook.disabled_reason
    assert claim(box, now=LATER) == []
    assert sorted(Delivery.objects.values_list("state", "cancelled_because")) == [
        ("cancelled", "disabled"),
        ("exhausted", ""),
    ]
    assert replay.resume(hook, now=LATER) == 1
    (again,) = claim(box, now=LATER)
    assert again.request.webhook_id == second.request.webhook_id


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
    for _ in range(Rules().per_endpoint + 3):
        enqueue()
    claims = claim(box)
    assert sorted(each.endpoint for each in claims) == sorted([hook.pk, other.pk] * Rules().per_endpoint)
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
    assert not end(claimed, Exhausted(), status=500)
    assert Delivery.objects.get().state == "cancelled"
    endpoints.add(endpoints.NewEndpoint("hook", "https://example.org/new", None), box, now=datetime.now(UTC))


def test_a_success_during_the_cancelling_counts_so_that_it_is_not_sent_again(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (claimed,) = claim(box)
    assert endpoints.disable("hook", now=NOW) == 1
    assert end(claimed, Accepted())
    assert Delivery.objects.get().state == "delivered"
    assert replay.resume(hook, now=LATER) == 0


def test_what_comes_while_an_endpoint_is_disabled_is_kept_and_sent_when_it_is_resumed(
    hook: Endpoint, box: SecretBox
) -> None:
    endpoints.disable("hook", now=NOW)
    enqueue()
    assert claim(box) == []
    assert Delivery.objects.get().state == "cancelled"
    endpoints.enable("hook")
    assert claim(box) == []
    assert replay.resume(hook, now=NOW) == 1
    assert len(claim(box)) == 1


def test_the_deliveries_of_one_slot_are_claimed_together_and_share_what_there_is(
    hook: Endpoint, box: SecretBox
) -> None:
    for _ in range(10):
        enqueue()
    claims = outbox.claim(100, box, now=NOW, lease_s=LEASE_S, rows=lambda _endpoint: 8)
    sizes = [len([each for each in claims if each.slot == slot]) for slot in {each.slot for each in claims}]
    assert sorted(sizes) == [1, 3, 3, 3]
    assert claim(box) == []
    first = [each for each in claims if each.slot == claims[0].slot]
    outbox.give_back(first)
    assert [each.delivery for each in claim(box)] == [first[0].delivery]


def test_what_was_given_back_late_stays_with_the_one_that_has_claimed_it_since(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (slow,) = claim(box)
    (fast,) = claim(box, now=LATER)
    outbox.give_back([slow])
    assert claim(box, now=LATER) == []
    assert end(fast, Accepted(), now=LATER)


def test_results_of_one_batch_are_written_down_each_by_itself(hook: Endpoint, box: SecretBox) -> None:
    for _ in range(4):
        enqueue()
    first, second, third, fourth = claim(box)
    outbox.give_back([third])
    claim(box, now=NOW)
    results = [
        Result(first, outcome(), Accepted()),
        Result(second, outcome(500, Fault.STATUS), RetryAfter(60)),
        Result(third, outcome(), Accepted()),
        Result(fourth, outcome(204), Accepted()),
    ]
    assert record(results, now=NOW).counted == [True, True, False, True]
    rows = Delivery.objects.order_by("pk").values_list("state", "attempts", "last_status")
    assert list(rows) == [("delivered", 1, 200), ("pending", 1, 500), ("pending", 0, None), ("delivered", 1, 204)]
    assert Attempt.objects.count() == 3


SILENT = [outcome(None, Fault.CONNECT)] * 5


def fall_silent(box: SecretBox, moment: datetime = NOW) -> None:
    for each in SILENT:
        claimed, *rest = claim(box, now=moment)
        outbox.give_back(rest)
        record([Result(claimed, each, RetryAfter(0))], now=moment, chance=lambda: 0.0)


def test_an_endpoint_that_does_not_answer_is_left_alone_and_then_asked_once(hook: Endpoint, box: SecretBox) -> None:
    for _ in range(3):
        enqueue()
    fall_silent(box)
    assert claim(box) == []
    soon = NOW + timedelta(seconds=16)
    (probe,) = claim(box, now=soon)
    assert claim(box, now=soon) == []
    record([Result(probe, outcome(None, Fault.TIMEOUT), RetryAfter(0))], now=soon, chance=lambda: 0.0)
    assert claim(box, now=soon + timedelta(seconds=29)) == []
    later = soon + timedelta(seconds=31)
    (probe,) = claim(box, now=later)
    assert end(probe, Accepted(), now=later)
    assert len(claim(box, now=later)) == 2


def test_a_pause_of_one_endpoint_delays_no_other(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    fall_silent(box)
    other = Endpoint.objects.create(name="other", url="https://example.org/", created_at=NOW)
    enqueue()
    assert [each.endpoint for each in claim(box)] == [other.pk]


def test_a_receiver_that_is_overloaded_gets_the_pause_it_asks_for(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    enqueue()
    first, second = claim(box)
    outbox.give_back([second])
    asked = Outcome(NOW, 1, 429, Fault.STATUS, "the receiver answered 429", retry_after_s=120.0)
    record([Result(first, asked, RetryAfter(120))], now=NOW, chance=lambda: 0.0)
    assert claim(box, now=NOW + timedelta(seconds=119)) == []
    assert len(claim(box, now=NOW + timedelta(seconds=121))) == 2


def test_an_endpoint_that_accepts_nothing_for_days_is_disabled_after_a_warning(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    told: list[Notice] = []
    for hours in range(0, 140, 10):
        moment = NOW + timedelta(hours=hours)
        claims = claim(box, now=moment)
        results = [Result(each, outcome(503, Fault.STATUS), RetryAfter(0)) for each in claims]
        told += [notice for _, notice in record(results, now=moment).notices]
    assert told == [Notice.FAILING, Notice.WILL_BE_DISABLED, Notice.DISABLED]
    hook.refresh_from_db()
    assert (hook.enabled, hook.disabled_reason) == (False, "it has accepted nothing since 2026-03-01 12:00 UTC")
    assert replay.resume(hook, now=NOW) == 1
    hook.refresh_from_db()
    assert (hook.enabled, hook.failing_since, hook.failures) == (True, None, 0)


def test_a_fault_on_this_side_is_not_the_endpoints(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (claimed,) = claim(box)
    record([Result(claimed, outcome(None, Fault.PROXY), RetryAfter(0))], now=NOW)
    hook.refresh_from_db()
    assert hook.failing_since is None


def test_one_delivery_is_sent_again_under_its_id_and_begins_the_schedule_anew(hook: Endpoint, box: SecretBox) -> None:
    enqueue()
    (first,) = claim(box)
    end(first, Exhausted(), status=500)
    replay.one(first.request.webhook_id, now=LATER)
    (again,) = claim(box, now=LATER)
    assert (again.number, again.tries) == (2, 0)
    assert again.request.webhook_id == first.request.webhook_id
    assert again.request.body == first.request.body
    with pytest.raises(GatewayError, match="not at its end"):
        replay.one(first.request.webhook_id, now=LATER)
    with pytest.raises(GatewayError, match="no delivery"):
        replay.one("nothing", now=LATER)


def test_deliveries_are_sent_again_by_filter_and_by_window(hook: Endpoint, box: SecretBox) -> None:
    other = Endpoint.objects.create(name="other", url="https://example.org/", created_at=NOW)
    for _ in range(3):
        enqueue()
    for each in claim(box):
        end(each, Exhausted() if each.endpoint == hook.pk else Accepted(), status=500)
    Delivery.objects.filter(pk=Delivery.objects.filter(endpoint=hook).first().pk).update(  # type: ignore[union-attr]
        created_at=NOW - timedelta(days=2)
    )

    def replayed(**kinds: Any) -> int:
        with transaction.atomic():
            done = replay.several(replay.Selection(**kinds), now=LATER)
            transaction.set_rollback(True)
        return done

    assert replayed() == 3
    assert replayed(endpoint=other) == 0
    assert replayed(endpoint=other, states=("delivered",)) == 3
    assert replayed(states=("cancelled",)) == 0
    assert replayed(since=NOW - timedelta(days=1)) == 2
    assert replayed(until=NOW - timedelta(days=1)) == 1
    assert replayed(since=NOW - timedelta(days=3), until=NOW - timedelta(days=2)) == 0
    endpoints.disable("hook", now=NOW)
    assert replayed() == 0
    with pytest.raises(GatewayError, match="endpoint resume hook"):
        replayed(endpoint=Endpoint.objects.get(name="hook"))


def test_while_secrets_are_exchanged_both_sign_and_the_receivers_own_stands_last(
    hook: Endpoint, box: SecretBox
) -> None:
    old, new = "a secret that is long", "another secret, as long"

    def signing(moment: datetime = NOW) -> tuple[str, ...]:
        return access.secrets(Endpoint.objects.get(), box, now=moment)

    endpoints.rotate("hook", new, box, now=NOW)
    assert signing() == (new, old)
    assert signing(NOW + timedelta(days=300)) == (new, old)
    with pytest.raises(GatewayError, match="already"):
        endpoints.rotate("hook", "a third secret, as long", box, now=NOW)
    until = endpoints.confirm_rotation("hook", overlap_s=3_600, now=NOW)
    assert signing() == (old, new)
    assert signing(until) == (new,)
    assert endpoints.forget_old_secrets(now=NOW) == []
    assert endpoints.forget_old_secrets(now=until) == ["hook"]
    assert Endpoint.objects.get().overlap_secret is None
    endpoints.rotate("hook", old, box, now=until)
    endpoints.undo_rotation("hook", now=until)
    assert signing() == (new,)


def test_an_endpoint_gets_what_its_filters_let_through(shop: Kiosk, box: SecretBox) -> None:
    def add(name: str, **kinds: Any) -> None:
        endpoints.add(endpoints.NewEndpoint(name, "https://example.org/", filters=Filters(**kinds)), box, now=NOW)

    add("all")
    add("replies", events=("feedback.wants_reply",))
    add("here", kiosks=("shop-1",))
    add("there", kiosks=("shop-2",))
    add("unknown", sentiments=("none",))
    add("angry", sentiments=("negative",))
    add("quotable", testimonial="yes")
    enqueue_reply(enqueue())
    found: dict[str, list[str]] = {}
    for name, event in Delivery.objects.order_by("pk").values_list("endpoint__name", "event"):
        found.setdefault(name, []).append(event)
    both = ["feedback.new", "feedback.wants_reply"]
    assert found == {"all": both, "replies": both[1:], "here": both, "unknown": both}


def test_headers_and_secrets_lie_encrypted_in_the_database(hook: Endpoint, box: SecretBox) -> None:
    endpoints.change("hook", endpoints.Change(headers={"Authorization": "Bearer hidden"}), box, now=NOW)
    row = Endpoint.objects.get()
    assert row.private is not None
    assert b"hidden" not in bytes(row.private)
    enqueue()
    (claimed,) = claim(box)
    assert claimed.request.headers == {"Authorization": "Bearer hidden"}
    assert "hidden" not in repr(claimed)


def test_each_form_has_bytes_of_its_own_which_are_frozen(hook: Endpoint, box: SecretBox) -> None:
    slack = endpoints.NewEndpoint("team", "https://hooks.slack.com/services/hidden", form=Form.SLACK)
    mail = MailAccess("kiosk@shop.example", ("boss@shop.example",))
    endpoints.add(slack, box, now=NOW)
    endpoints.add(endpoints.NewEndpoint("boss", "smtps://mail.example", form=Form.MAIL, mail=mail), box, now=NOW)
    enqueue()
    requests = {each.endpoint_name: each.request for each in claim(box)}
    assert requests["hook"].body.startswith(b'{"event":"feedback.new"')
    assert requests["team"].body.startswith(b'{"text":')
    assert requests["team"].url == "https://hooks.slack.com/services/hidden"
    assert requests["boss"].body.startswith(b"Subject: New feedback")
    assert requests["boss"].mail == mail
    assert (requests["team"].secrets, requests["boss"].secrets) == ((), ())
