"""What was refused: listed, shown without words, replayed, dropped."""

import json
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from contract import messages, topics
from contract.topics import Channel
from gateway.feedback import quarantine, store
from gateway.feedback.ingest import Arrival
from gateway.feedback.models import Feedback, Quarantine
from tests.gateway.support import NOW, Shell, feedback_message, make_kiosk, reply_message

pytestmark = pytest.mark.django_db(transaction=True)


def refuse(payload: bytes, kiosk: str = "shop-1", channel: Channel = Channel.FEEDBACK) -> Quarantine:
    store.commit([Arrival(topics.topic(kiosk, channel), payload, NOW)])
    return Quarantine.objects.latest("pk")


def test_a_kiosk_that_was_added_late_gets_what_it_had_sent_before_by_a_replay(shell: Shell) -> None:
    sent = [feedback_message(sequence=number) for number in (1, 2)]
    for message in sent:
        refuse(messages.encode(message))
    one, two = Quarantine.objects.order_by("pk").values_list("pk", flat=True)
    status, out, err = shell("quarantine", "replay", "--all")
    assert (status, err) == (1, "")
    assert out.count("refused again: this kiosk is not known here") == 2
    assert set(Quarantine.objects.values_list("times", flat=True)) == {1}
    make_kiosk("shop-1")
    assert shell("quarantine", "replay", "--all") == (0, f"{one}: stored\n{two}: stored\n", "")
    assert {str(row.pk) for row in Feedback.objects.all()} == {message.id for message in sent}
    assert Feedback.objects.first().received_at == NOW  # type: ignore[union-attr]
    assert not Quarantine.objects.exists()


def test_a_message_can_be_put_right_and_replayed(shell: Shell) -> None:
    make_kiosk("shop-1")
    message = feedback_message()
    entry = refuse(messages.encode(message).replace(b'"speech_s":1.5', b'"speech_s":-1'))
    assert "speech_s" in shell("quarantine", "list")[1]
    right = shell.folder / "right.json"
    right.write_bytes(messages.encode(message))
    assert shell("quarantine", "replay", str(entry.pk), "--payload", str(right))[0] == 0
    assert str(Feedback.objects.get().pk) == message.id
    assert not Quarantine.objects.exists()


def test_a_conflict_stays_a_conflict_and_is_not_counted_by_a_replay(shell: Shell) -> None:
    make_kiosk("shop-1")
    message = feedback_message()
    store.commit([Arrival(topics.topic("shop-1", Channel.FEEDBACK), messages.encode(message), NOW)])
    entry = refuse(messages.encode(msgspec.structs.replace(message, transcript="forged")))
    status, out, err = shell("quarantine", "replay", str(entry.pk))
    assert (status, err) == (1, "")
    assert "another feedback has this id already" in out
    assert (Quarantine.objects.get().times, Feedback.objects.get().transcript) == (1, message.transcript)


def test_a_message_of_which_only_the_beginning_was_kept_is_not_replayed() -> None:
    make_kiosk("shop-1")
    entry = refuse(messages.encode(feedback_message()).ljust(messages.MAX_MESSAGE_BYTES + 1))
    assert "beginning" in (quarantine.replay(entry) or "")


def test_showing_hides_what_was_said_unless_it_is_asked_for(shell: Shell) -> None:
    words = (messages.Word(word="unmistakable", start_s=0, end_s=1, confidence=1),)
    message = feedback_message(transcript="unmistakable words", words=words)
    payload = messages.encode(message)[:-1] + b',"unmistakable":"unmistakable"}'
    reply = messages.encode(reply_message(message.id, user_email="unmistakable@example.org", kiosk="shop-2"))
    for entry in (refuse(payload), refuse(reply, channel=Channel.REPLY), refuse(b"unmistakable")):
        assert "unmistakable" not in shell("quarantine", "show", str(entry.pk))[1]
        assert shell("quarantine", "show", str(entry.pk), "--words")[1].encode() == bytes(entry.raw)
    shown = quarantine.without_words(payload)
    assert json.loads(shown)["id"] == message.id
    assert json.loads(shown)["transcript"] == "<18 characters>"


def test_entries_are_dropped_by_number_by_kiosk_and_by_age(shell: Shell) -> None:
    one, two, three, _, five = (refuse(f"no. {n}".encode(), kiosk=f"shop-{n % 2 + 1}").pk for n in range(5))
    assert shell("quarantine", "drop", str(two))[:2] == (0, "1 entries are dropped\n")
    assert shell("quarantine", "drop", "--all", "--kiosk", "shop-2")[1] == "1 entries are dropped\n"
    assert set(Quarantine.objects.values_list("pk", flat=True)) == {one, three, five}
    Quarantine.objects.exclude(pk=five).update(last_received_at=datetime.now(UTC))
    assert shell("quarantine", "drop", "--all", "--older-than", "1")[1] == "1 entries are dropped\n"
    assert set(Quarantine.objects.values_list("pk", flat=True)) == {one, three}


@pytest.mark.parametrize("arguments", [("replay",), ("replay", "1", "--all"), ("drop",)])
def test_a_choice_that_makes_no_sense_is_one_sentence(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert "--all" in shell.fails("quarantine", *arguments, status=2)


def test_a_number_that_is_not_there_is_one_sentence(shell: Shell) -> None:
    assert "no entry 700" in shell.fails("quarantine", "show", "700")


def test_programs_can_read_the_list(shell: Shell) -> None:
    message = feedback_message()
    refuse(messages.encode(message))
    (line,) = shell("quarantine", "list", "--json")[1].splitlines()
    listed = json.loads(line)
    assert (UUID(listed["message_id"]), listed["kiosk"], listed["times"]) == (UUID(message.id), "shop-1", 1)


def test_one_kiosk_cannot_fill_the_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_QUARANTINED", 3)
    make_kiosk("shop-1")
    for number in range(5):
        message = feedback_message(sequence=number + 1)
        (answer,) = store.commit(
            [Arrival(topics.topic("shop-1", Channel.FEEDBACK), messages.encode(message)[:-2], NOW)]
        )
        assert answer is not None
        assert answer.receipt.outcome == "refused"
    refuse(b"another's", kiosk="shop-2")
    assert [row.kiosk for row in Quarantine.objects.order_by("pk")] == ["shop-1"] * 3 + ["shop-2"]
