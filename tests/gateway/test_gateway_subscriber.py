"""The connection to a real broker, and whatever may happen to its thread."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import credentials, messages, topics
from contract.credentials import BrokerCredentials
from contract.messages import Feedback
from contract.topics import Channel
from gateway.feedback import subscriber as module
from gateway.feedback.subscriber import QUEUE_MESSAGES, RECEIVE_MAXIMUM, BrokerAccess, Subscriber
from gateway.kiosks.health_inbox import HealthInbox
from gateway.loop import Loop
from tests.gateway.external_broker import PASSWORD, ExternalBroker
from tests.gateway.support import KioskClient, feedback_message, wait_until

pytestmark = [
    pytest.mark.servers,
    # A thread that is made to die is what these tests are about.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ExternalBroker]:
    """One that knows the kiosk from its start."""
    made = ExternalBroker(tmp_path)
    access = BrokerCredentials(
        kiosk_id="shop-1",
        host="127.0.0.1",
        port=made.port,
        username="shop-1",
        password="the-password-of-a-kiosk",
        ca_certificate=(tmp_path / "tls" / "ca.pem").read_text(),
    )
    credentials.write(tmp_path / "shop-1.toml", access)
    made.admit(tmp_path / "shop-1.toml")
    with made:
        yield made


@pytest.fixture
def kiosk(tmp_path: Path, broker: ExternalBroker) -> Iterator[KioskClient]:
    with KioskClient(credentials.load(tmp_path / "shop-1.toml")) as client:
        yield client


@pytest.fixture
def subscriber(tmp_path: Path, broker: ExternalBroker) -> Iterator[Subscriber]:
    access = BrokerAccess("127.0.0.1", broker.port, "_gateway", PASSWORD, tmp_path / "tls" / "ca.pem", "group")
    made = Subscriber(access, HealthInbox())
    loop = Loop("subscribe", made.turn, at_end=lambda: None)
    loop.start()
    assert made.wait_until_subscribed(10)
    yield made
    loop.ask_to_stop()
    made.disconnect()
    assert loop.join(10)


def arrive(kiosk: KioskClient, subscriber: Subscriber) -> Feedback:
    """Send a feedback until it has come through, as a kiosk does; return it."""
    message = feedback_message()

    def came() -> bool:
        kiosk.send(message)
        batch = subscriber.take(100, 0.5)
        for delivered in batch:
            delivered.acknowledge()
        return any(delivered.arrival.payload == messages.encode(message) for delivered in batch)

    wait_until(came)
    return message


def test_a_connection_whose_thread_has_died_is_replaced(kiosk: KioskClient, subscriber: Subscriber) -> None:
    arrive(kiosk, subscriber)
    client = subscriber._client
    assert client is not None

    def die(*_: object) -> None:
        raise SystemExit

    client.on_message = die
    arrive(kiosk, subscriber)
    assert subscriber._client is not client


def test_a_connection_whose_thread_hangs_is_replaced(
    kiosk: KioskClient, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    arrive(kiosk, subscriber)
    client = subscriber._client
    assert client is not None
    release = threading.Event()

    def hang(*_: object) -> None:
        release.wait(30)

    client.on_message = hang
    monkeypatch.setattr(module, "STUCK_S", 2.0)
    arrive(kiosk, subscriber)
    assert subscriber._client is not client
    assert any(vars(record).get("reason") == "the connection's thread hangs" for record in caplog.records)
    release.set()


def test_a_callback_that_fails_stops_nothing(
    kiosk: KioskClient, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = subscriber._client

    class Broken(queue.Queue[object]):
        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            raise RuntimeError("broken")

    with monkeypatch.context() as broken:
        broken.setattr(subscriber, "_queue", Broken())
        assert kiosk.send(feedback_message()) == "Success"
    arrive(kiosk, subscriber)
    assert subscriber._client is client


def test_what_is_not_acknowledged_is_kept_back_by_the_broker_and_comes_when_it_can_be_stored(
    kiosk: KioskClient, subscriber: Subscriber
) -> None:
    topic = topics.topic("shop-1", Channel.FEEDBACK)
    for number in range(RECEIVE_MAXIMUM + 50):
        kiosk.client.publish(topic, f"no. {number}", qos=1)
    wait_until(lambda: len(kiosk.published) == RECEIVE_MAXIMUM + 50)
    assert subscriber._queue.qsize() <= QUEUE_MESSAGES
    came: set[bytes] = set()

    def take() -> bool:
        for delivered in subscriber.take(10, 0.5):
            came.add(delivered.arrival.payload)
            delivered.acknowledge()
        return len(came) == RECEIVE_MAXIMUM + 50

    wait_until(take)
    assert subscriber.dropped == 0


def test_memory_is_bounded_whatever_the_broker_sends_and_what_is_dropped_can_come_again(
    kiosk: KioskClient, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_WAIT_S", 0.1)
    topic = topics.topic("shop-1", Channel.FEEDBACK)
    # The receive maximum does not hold for these.
    for number in range(2 * QUEUE_MESSAGES):
        kiosk.client.publish(topic, f"no. {number}", qos=0)
    wait_until(lambda: subscriber.dropped > 0)
    assert subscriber._queue.qsize() == QUEUE_MESSAGES
    while subscriber.take(100, 0.3):
        pass
    arrive(kiosk, subscriber)
