"""The real gateway with its real broker, in processes of their own."""

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract import messages, topics
from contract.credentials import BrokerCredentials
from contract.messages import MAX_MESSAGE_BYTES
from contract.topics import Channel
from tests.contract.example_health import WELL
from tests.gateway.support import (
    GatewayProcess,
    KioskClient,
    Receiver,
    feedback_message,
    is_dead,
    kill,
    reply_message,
    status_message,
    wait_until,
)

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = GatewayProcess(tmp_path_factory.mktemp("gateway"))
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def one(gateway: GatewayProcess) -> BrokerCredentials:
    return gateway.add_kiosk("shop-1")


@pytest.fixture(scope="module")
def two(gateway: GatewayProcess) -> BrokerCredentials:
    return gateway.add_kiosk("shop-2")


@pytest.fixture
def kiosk(one: BrokerCredentials) -> Iterator[KioskClient]:
    """A connected kiosk; the broker learns of a new one within a second."""
    with connected(one) as client:
        yield client


def connected(access: BrokerCredentials, **options: messages.Status) -> KioskClient:
    def attempt() -> KioskClient | None:
        client = KioskClient(access, **options)
        client.connect()
        if not client.refused:
            return client
        client.close()
        return None

    return wait_until(attempt)


def rows(gateway: GatewayProcess, query: str, *values: object) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{gateway.state / 'gateway.sqlite3'}?mode=ro", uri=True) as database:
        found = database.execute(query, values).fetchall()
    database.close()
    return found


def count_of(gateway: GatewayProcess, key: str) -> int:
    (found,) = rows(gateway, "SELECT count(*) FROM feedback_feedback WHERE id = ?", key.replace("-", ""))
    return int(str(found[0]))


def test_the_receipt_comes_after_the_feedback_is_stored(gateway: GatewayProcess, kiosk: KioskClient) -> None:
    message = feedback_message()
    begin = time.monotonic()
    kiosk.send(message)
    receipt = kiosk.wait_for_receipt(message.id)
    assert time.monotonic() - begin < 1
    assert receipt.outcome == "stored"
    assert count_of(gateway, message.id) == 1
    assert gateway.logged("feedback stored", feedback=message.id, kiosk="shop-1")
    assert wait_until(lambda: gateway.logged("feedback analysed", feedback=message.id))


def test_a_flood_of_health_is_kept_as_its_newest_and_holds_no_feedback_up(
    gateway: GatewayProcess, kiosk: KioskClient
) -> None:
    topic = topics.topic("shop-1", Channel.HEALTH)
    health = msgspec.structs.replace(WELL, kiosk="shop-1")
    told = feedback_message()
    for number in range(3000):
        newest = msgspec.structs.replace(health, session=number)
        payload = messages.encode(newest) if number % 3 else b"rubbish"
        kiosk.client.publish(topic, payload, qos=0)
        if number % 1000 == 500:
            # Again and again, as a kiosk does that has no receipt yet.
            kiosk.client.publish(topics.topic("shop-1", Channel.FEEDBACK), messages.encode(told), qos=1)
    assert kiosk.wait_for_receipt(told.id).outcome == "stored"
    kiosk.client.publish(topic, messages.encode(msgspec.structs.replace(health, session=99_999)), qos=0)

    def shown() -> dict[str, Any] | None:
        fields: dict[str, Any] = json.loads(gateway.cli("kiosk", "show", "shop-1", "--json").stdout)
        return fields if fields["health"] and fields["health"]["session"] == 99_999 else None

    fields = wait_until(shown, 30)
    assert (fields["state"], fields["problems"], fields["online"]) == ("ok", 0, False)
    assert rows(gateway, "SELECT count(*) FROM feedback_quarantine WHERE topic LIKE '%health'") == [(0,)]
    assert "ok" in gateway.cli("kiosk", "list").stdout


def test_a_kiosk_cannot_tell_the_health_of_another(gateway: GatewayProcess, kiosk: KioskClient) -> None:
    other = topics.topic("shop-2", Channel.HEALTH)
    assert kiosk.publish(other, messages.encode(msgspec.structs.replace(WELL, kiosk="shop-2"))) == "Not authorized"


def test_a_repetition_gives_one_row_and_two_receipts(gateway: GatewayProcess, kiosk: KioskClient) -> None:
    message = feedback_message()
    kiosk.send(message)
    kiosk.wait_for_receipt(message.id)
    kiosk.send(message)
    assert kiosk.wait_for_receipt(message.id, 2).outcome == "stored"
    assert count_of(gateway, message.id) == 1


def test_other_content_under_the_same_id_is_refused(gateway: GatewayProcess, kiosk: KioskClient) -> None:
    message = feedback_message()
    kiosk.send(message)
    kiosk.wait_for_receipt(message.id)
    kiosk.send(msgspec.structs.replace(message, transcript="forged"))
    receipt = kiosk.wait_for_receipt(message.id, 2)
    assert receipt.outcome == "refused"
    assert receipt.reason == "another feedback has this id already"


def test_an_undecodable_message_is_quarantined_and_refused_and_holds_nothing_up(
    gateway: GatewayProcess, kiosk: KioskClient
) -> None:
    bad, good = feedback_message(), feedback_message()
    topic = topics.topic("shop-1", Channel.FEEDBACK)
    assert kiosk.publish(topic, b"\x00\xff") == "Success"
    kiosk.publish(topic, messages.encode(bad)[:-1])
    assert kiosk.wait_for_receipt(bad.id).outcome == "refused"
    kiosk.send(good)
    assert kiosk.wait_for_receipt(good.id).outcome == "stored"
    reasons = rows(gateway, "SELECT reason FROM feedback_quarantine WHERE message_id = ?", bad.id.replace("-", ""))
    assert "no JSON" in str(reasons[0][0])


def test_a_message_of_the_largest_size_passes_and_one_byte_more_leaves_everything_alive(
    gateway: GatewayProcess, kiosk: KioskClient
) -> None:
    topic = topics.topic("shop-1", Channel.FEEDBACK)
    fits, over, after = feedback_message(), feedback_message(), feedback_message()
    kiosk.publish(topic, messages.encode(fits).ljust(MAX_MESSAGE_BYTES))
    assert kiosk.wait_for_receipt(fits.id).outcome == "stored"
    kiosk.publish(topic, messages.encode(over).ljust(MAX_MESSAGE_BYTES + 1))
    assert kiosk.wait_for_receipt(over.id).outcome == "refused"
    kiosk.send(after)
    assert kiosk.wait_for_receipt(after.id).outcome == "stored"


def test_a_packet_far_too_large_costs_the_sender_its_connection_and_nobody_else(
    gateway: GatewayProcess, one: BrokerCredentials, two: BrokerCredentials
) -> None:
    with connected(two) as other:
        flooding = connected(one)
        flooding.publish(topics.topic("shop-1", Channel.FEEDBACK), b"x" * 400_000)
        flooding.close()
        message = feedback_message(kiosk="shop-2")
        other.send(message)
        assert other.wait_for_receipt(message.id).outcome == "stored"


def test_a_burst_far_beyond_the_window_is_receipted_to_the_last(kiosk: KioskClient, gateway: GatewayProcess) -> None:
    sent = [feedback_message(sequence=number) for number in range(1, 3_001)]
    topic = topics.topic("shop-1", Channel.FEEDBACK)
    for message in sent:
        kiosk.client.publish(topic, messages.encode(message), qos=1)
    wait_until(lambda: len(kiosk.received) >= len(sent), 30)
    receipts = [msgspec.json.decode(payload, type=messages.Receipt) for _, payload in kiosk.received]
    assert {(receipt.id, receipt.outcome) for receipt in receipts} == {(message.id, "stored") for message in sent}
    assert not gateway.logged("messages cannot be stored at present; kiosks will send them again")


def test_a_kiosk_cannot_write_what_is_anothers(
    gateway: GatewayProcess, kiosk: KioskClient, two: BrokerCredentials
) -> None:
    message = feedback_message(kiosk="shop-2")
    for channel in Channel:
        assert kiosk.publish(topics.topic("shop-2", channel), messages.encode(message)) == "Not authorized"
    assert kiosk.publish("anything", b"x") == "Not authorized"
    assert kiosk.publish("$SYS/broker", b"x") == "Not authorized"
    assert count_of(gateway, message.id) == 0


def test_a_kiosk_cannot_speak_for_another_within_its_own_topic(
    kiosk: KioskClient, gateway: GatewayProcess, two: BrokerCredentials
) -> None:
    message = feedback_message(kiosk="shop-2")
    kiosk.send(message)
    assert kiosk.wait_for_receipt(message.id).outcome == "refused"
    assert count_of(gateway, message.id) == 0


def test_a_kiosk_cannot_write_its_own_receipts(kiosk: KioskClient) -> None:
    receipt = messages.Receipt(id=feedback_message().id, outcome="stored")
    assert kiosk.publish(topics.topic("shop-1", Channel.RECEIPT), messages.encode(receipt)) == "Not authorized"


def test_a_kiosk_can_neither_read_nor_intercept_what_is_anothers(kiosk: KioskClient, two: BrokerCredentials) -> None:
    for each in ("#", "$share/ingest/#", "$SYS/#", "$share/ingest/voiseback/v1/kiosks/+/feedback"):
        kiosk.client.subscribe(each, 1)
    theirs, mine = [feedback_message(kiosk="shop-2") for _ in range(5)], feedback_message()
    with connected(two) as other:
        for message in theirs:
            other.send(message)
        other.send(status_message(kiosk="shop-2"), Channel.STATUS)
        for message in theirs:
            assert other.wait_for_receipt(message.id).outcome == "stored"
    kiosk.send(mine)
    kiosk.wait_for_receipt(mine.id)
    assert {topic for topic, _ in kiosk.received} == {topics.topic("shop-1", Channel.RECEIPT)}


@pytest.mark.parametrize("username", ["shop-1", "shop-9", "_gateway", ""])
def test_without_the_right_password_nobody_comes_in(one: BrokerCredentials, username: str) -> None:
    client = KioskClient(one)
    client.client.username_pw_set(username, "wrong password here")
    client.connect()
    client.close()
    assert client.refused == ["Not authorized"]


def test_the_status_and_the_will_of_a_kiosk_are_seen(gateway: GatewayProcess, two: BrokerCredentials) -> None:
    def is_online() -> bool:
        return rows(gateway, "SELECT online FROM kiosks_kiosk WHERE id = 'shop-2'") == [(1,)]

    client = connected(two, will=status_message(kiosk="shop-2", state="offline", session=9))
    client.send(status_message(kiosk="shop-2", session=9), Channel.STATUS)
    wait_until(is_online)
    client.close(silently=True)
    wait_until(lambda: not is_online())


def test_a_removed_kiosk_loses_its_connection_and_cannot_come_back(gateway: GatewayProcess) -> None:
    access = gateway.add_kiosk("shop-3")
    client = connected(access)
    gateway.cli("kiosk", "remove", "shop-3")
    wait_until(client.disconnected.is_set)
    client.close()
    again = KioskClient(access)
    again.connect()
    again.close()
    assert again.refused


def test_a_renewed_kiosk_needs_its_new_password(gateway: GatewayProcess) -> None:
    before = gateway.add_kiosk("shop-4")
    connected(before).close()
    path = gateway.folder / "renewed.toml"
    gateway.cli("kiosk", "add", "shop-4", "--renew", "--credentials", str(path))

    def refused() -> bool:
        client = KioskClient(before)
        client.connect()
        client.close()
        return bool(client.refused)

    wait_until(refused)


def test_a_second_gateway_on_the_same_state_is_refused(gateway: GatewayProcess) -> None:
    done = gateway.cli("run", check=False)
    assert done.returncode == 1
    assert "another gateway runs" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_secret_and_nothing_said_is_in_the_log_or_the_arguments(
    gateway: GatewayProcess, kiosk: KioskClient
) -> None:
    message = feedback_message(transcript="my unmistakable words")
    kiosk.send(message)
    kiosk.wait_for_receipt(message.id)
    wait_until(lambda: gateway.logged("feedback analysed", feedback=message.id))
    text = (gateway.folder / "log").read_text()
    assert "unmistakable" not in text
    assert kiosk.access.password not in text
    arguments = Path(f"/proc/{gateway.broker_pid}/cmdline").read_bytes()
    assert arguments.endswith(b"mosquitto\0-c\0mosquitto.conf\0")


def test_a_feedback_and_its_reply_reach_the_receiver_in_order_and_after_a_failure(
    tmp_path: Path, receiver: Receiver
) -> None:
    gateway = GatewayProcess(tmp_path, extra="retry_delays_s = [1, 1]\n")
    access = gateway.add_kiosk("shop-1")
    gateway.cli("endpoint", "add", "hook", receiver.url, "--generate-secret", str(tmp_path / "secret"))
    receiver.answers = [(500, {})]
    gateway.start()
    with connected(access) as kiosk:
        message = feedback_message()
        kiosk.send(reply_message(message.id), Channel.REPLY)
        kiosk.send(message)
        wait_until(lambda: len(receiver.requests) == 3)
    assert receiver.events() == ["feedback.new", "feedback.new", "feedback.wants_reply"]
    (failed,) = wait_until(lambda: gateway.logged("webhook attempt failed"))
    assert failed["next_attempt_s"] >= 1
    wait_until(lambda: len(gateway.logged("webhook delivered", feedback=message.id)) == 2)
    listed = [json.loads(line) for line in gateway.cli("deliveries", "list", "--json").stdout.splitlines()]
    assert [(each["state"], each["attempts"]) for each in listed] == [("delivered", 2), ("delivered", 1)]
    begin = time.monotonic()
    broker = gateway.broker_pid
    assert gateway.stop() == 0
    assert time.monotonic() - begin < 5
    assert is_dead(broker)


# paho leaves a socket open whose handshake failed, as it does while the broker comes back.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_broker_and_gateway_can_be_killed_and_nothing_that_was_receipted_is_lost(
    tmp_path: Path, receiver: Receiver
) -> None:
    gateway = GatewayProcess(tmp_path)
    access = gateway.add_kiosk("shop-1")
    gateway.cli("endpoint", "add", "hook", receiver.url)
    gateway.start()
    sent: list[str] = []

    def send_one() -> None:
        message = feedback_message(sequence=len(sent) + 1)
        sent.append(message.id)
        with connected_again(access) as kiosk:

            def receipted() -> bool:
                kiosk.send(message)
                return bool(kiosk.receipts(message.id)) or bool(wait_briefly(kiosk, message.id))

            wait_until(receipted)

    send_one()
    broker = gateway.broker_pid
    kill(broker)
    send_one()
    assert gateway.broker_pid != broker
    assert gateway.logged("the broker ended by itself and is started again")
    wait_until(lambda: gateway.logged("connected to the broker again"))

    broker = gateway.broker_pid
    gateway.kill()
    wait_until(lambda: is_dead(broker), 5)
    gateway.start()
    send_one()
    wait_until(lambda: len({json.loads(body)["feedback"]["id"] for _, body in list(receiver.requests)}) == 3)
    assert {count_of(gateway, key) for key in sent} == {1}
    assert gateway.stop() == 0


def connected_again(access: BrokerCredentials) -> KioskClient:
    """Return a client whose ``with`` block connects as soon as the broker is back."""

    class Patient(KioskClient):
        def connect(self) -> KioskClient:
            def attempt() -> bool:
                try:
                    super(Patient, self).connect()
                except OSError:
                    return False
                return True

            wait_until(attempt)
            return self

    return Patient(access)


def wait_briefly(kiosk: KioskClient, key: str) -> bool:
    """Wait a moment for a receipt before the record is sent again, as a kiosk does."""
    end = time.monotonic() + 1
    while time.monotonic() < end and not kiosk.receipts(key):
        time.sleep(0.02)
    return bool(kiosk.receipts(key))


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, receiver: Receiver) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    gateway = GatewayProcess(tmp_path)
    gateway.config.write_text(gateway.config.read_text().replace("port = 0", f"port = {port}"))
    done = gateway.cli("run", check=False)
    assert done.returncode == 1
    assert f"cannot have port {port}" in done.stderr
    assert "Traceback" not in done.stderr
