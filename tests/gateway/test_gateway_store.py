"""Messages in the database."""

import json
from datetime import timedelta

import msgspec
import pytest
from django.db import OperationalError

from contract import messages, topics
from contract.messages import MAX_MESSAGE_BYTES, Receipt
from contract.topics import Channel
from gateway.feedback import store
from gateway.feedback.ingest import Arrival
from gateway.feedback.models import Feedback, Quarantine, Reply
from gateway.kiosks.models import Kiosk
from tests.gateway.support import NOW, feedback_message, make_kiosk, reply_message, status_message

pytestmark = pytest.mark.usefixtures("each_database", "shop")


def arrival(message: messages.Message, channel: Channel = Channel.FEEDBACK, kiosk: str = "shop-1") -> Arrival:
    return Arrival(topics.topic(kiosk, channel), messages.encode(message), NOW)


def raw(payload: bytes) -> Arrival:
    return Arrival(topics.topic("shop-1", Channel.FEEDBACK), payload, NOW)


def receipts(*arrivals: Arrival) -> list[Receipt | None]:
    return [None if answer is None else answer.receipt for answer in store.commit(arrivals)]


def test_a_feedback_is_stored_with_every_field() -> None:
    word = messages.Word(word="kind", start_s=0.5, end_s=0.9, confidence=0.8)
    message = feedback_message(words=(word,), consent_version="2026-01")
    assert receipts(arrival(message)) == [Receipt(id=message.id, outcome="stored")]
    row = Feedback.objects.get(pk=message.id)
    assert row.transcript == message.transcript
    assert row.words == [msgspec.to_builtins(word)]
    assert (row.created_at, row.created_at_source, row.received_at) == (NOW, "kiosk", NOW)
    assert (row.state, row.sequence, row.consent_version) == ("received", 1, "2026-01")


def test_a_repetition_is_receipted_again_and_stored_once() -> None:
    message = feedback_message()
    later = msgspec.structs.replace(message, agent_version="0.2.0")
    stored = Receipt(id=message.id, outcome="stored")
    assert receipts(arrival(message)) == [stored]
    assert receipts(arrival(later), arrival(message)) == [stored, stored]
    assert Feedback.objects.count() == 1
    assert Quarantine.objects.count() == 0


def test_a_repetition_within_one_batch_is_stored_once() -> None:
    message = feedback_message()
    assert [receipt and receipt.outcome for receipt in receipts(arrival(message), arrival(message))] == ["stored"] * 2
    assert Feedback.objects.count() == 1


def test_the_same_id_with_other_content_is_quarantined_and_refused() -> None:
    message = feedback_message()
    other = msgspec.structs.replace(message, transcript="something else")
    first, second = receipts(arrival(message), arrival(other))
    assert first is not None
    assert first.outcome == "stored"
    assert second is not None
    assert second.outcome == "refused"
    assert Feedback.objects.get().transcript == message.transcript
    row = Quarantine.objects.get()
    assert bytes(row.raw) == messages.encode(other)
    assert str(row.message_id) == message.id


def test_another_kiosk_cannot_claim_an_id_that_is_taken() -> None:
    make_kiosk("shop-2")
    message = feedback_message()
    receipts(arrival(message))
    theirs = msgspec.structs.replace(message, kiosk="shop-2")
    (receipt,) = receipts(arrival(theirs, kiosk="shop-2"))
    assert receipt is not None
    assert receipt.outcome == "refused"


def test_an_undecodable_message_is_quarantined_bounded_and_counted() -> None:
    payload = b"\xff" * (MAX_MESSAGE_BYTES + 7)
    assert receipts(raw(payload)) == [None]
    assert receipts(raw(payload)) == [None]
    row = Quarantine.objects.get()
    assert (row.times, row.raw_bytes, len(row.raw)) == (2, MAX_MESSAGE_BYTES + 7, MAX_MESSAGE_BYTES)
    assert "at most" in row.reason


def test_one_bad_message_does_not_take_its_batch_down() -> None:
    good = [feedback_message(sequence=number) for number in (1, 2)]
    outcomes = receipts(arrival(good[0]), raw(b"nonsense"), arrival(good[1]))
    assert [receipt and receipt.outcome for receipt in outcomes] == ["stored", None, "stored"]
    assert Feedback.objects.count() == 2


def test_a_message_that_the_database_does_not_take_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    poison, good = feedback_message(sequence=5), feedback_message()
    make = Feedback

    def refuse(**fields: object) -> Feedback:
        return make(**{**fields, **({"language": None} if fields["sequence"] == 5 else {})})

    refuse.objects = Feedback.objects  # type: ignore[attr-defined]
    monkeypatch.setattr(store, "Feedback", refuse)
    first, second = receipts(arrival(poison), arrival(good))
    assert first is not None
    assert (first.outcome, first.id) == ("refused", poison.id)
    assert second == Receipt(id=good.id, outcome="stored")
    assert [str(row.pk) for row in Feedback.objects.all()] == [good.id]
    assert Quarantine.objects.count() == 1


def test_a_database_that_cannot_be_written_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_rows: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(Feedback.objects, "bulk_create", full)
    with pytest.raises(OperationalError):
        store.commit([arrival(feedback_message())])
    assert Quarantine.objects.count() == 0


def test_a_removed_kiosk_is_refused() -> None:
    Kiosk.objects.filter(pk="shop-1").update(removed_at=NOW, credential="")
    (receipt,) = receipts(arrival(feedback_message()))
    assert receipt is not None
    assert receipt.outcome == "refused"


def test_a_reply_may_come_before_its_feedback_and_is_stored_once() -> None:
    message = reply_message(feedback_message().id)
    stored = Receipt(id=message.id, outcome="stored")
    assert receipts(arrival(message, Channel.REPLY)) == [stored]
    assert receipts(arrival(message, Channel.REPLY)) == [stored]
    assert Reply.objects.get().user_email == "visitor@example.org"


def test_a_second_reply_to_one_feedback_is_refused() -> None:
    first = reply_message(feedback_message().id)
    second = reply_message(first.feedback_id, user_email="other@example.org")
    outcomes = receipts(arrival(first, Channel.REPLY), arrival(second, Channel.REPLY))
    assert [receipt and receipt.outcome for receipt in outcomes] == ["stored", "refused"]


def test_a_status_changes_the_kiosk_and_has_no_receipt() -> None:
    assert receipts(arrival(status_message(session=4), Channel.STATUS)) == [None]
    row = Kiosk.objects.get(pk="shop-1")
    assert (row.online, row.session, row.agent_version, row.address) == (True, 4, "0.1.0", "10.0.0.7")
    assert row.last_seen_at == NOW
    receipts(arrival(status_message(session=3, state="offline"), Channel.STATUS))
    assert Kiosk.objects.get(pk="shop-1").online
    receipts(arrival(status_message(session=4, state="offline"), Channel.STATUS))
    assert not Kiosk.objects.get(pk="shop-1").online


def test_since_when_a_kiosk_is_online_or_offline_changes_with_its_connection_alone() -> None:
    def since_s_after(session: int, state: str, at_s: float) -> float:
        said = messages.encode(status_message(session=session, state=state))
        at = NOW + timedelta(seconds=at_s)
        store.commit([Arrival(topics.topic("shop-1", Channel.STATUS), said, at)])
        since = Kiosk.objects.get(pk="shop-1").presence_changed_at
        assert since is not None
        return (since - NOW).total_seconds()

    assert since_s_after(4, "online", 0) == 0
    assert since_s_after(4, "online", 10) == 0
    assert since_s_after(3, "offline", 20) == 0
    assert since_s_after(5, "online", 30) == 30
    assert since_s_after(5, "offline", 40) == 40
    assert since_s_after(5, "offline", 50) == 40


def test_a_status_that_the_broker_had_kept_does_not_say_that_the_kiosk_was_seen_now() -> None:
    kept = Arrival(topics.topic("shop-1", Channel.STATUS), messages.encode(status_message()), NOW, retained=True)
    store.commit([kept])
    row = Kiosk.objects.get(pk="shop-1")
    assert row.online
    assert row.last_seen_at is None


def test_a_time_that_is_not_believed_is_kept_beside_the_receipts() -> None:
    message = feedback_message(created_at=NOW + timedelta(days=2))
    receipts(arrival(message))
    row = Feedback.objects.get()
    assert (row.created_at, row.created_at_source, row.kiosk_created_at) == (NOW, "receipt", NOW + timedelta(days=2))


def test_the_log_tells_of_the_feedback_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    message = feedback_message(transcript="my secret words")
    with caplog.at_level("DEBUG"):
        store.commit([arrival(message), raw(json.dumps({"transcript": "more secret words"}).encode())])
    lines = [record for record in caplog.records if record.getMessage() == "feedback stored"]
    assert [(vars(line)["feedback"], vars(line)["kiosk"]) for line in lines] == [(message.id, "shop-1")]
    assert "secret words" not in "".join(str(vars(record)) for record in caplog.records if record.name != "django.db")
