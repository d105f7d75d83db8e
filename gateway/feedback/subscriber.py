"""Takes the kiosks' messages from the broker and hands them, as bytes, to the committer.

Nothing is decided in paho's callbacks: one that raises would end its thread without a word.
"""

import contextlib
import logging
import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from contract import messages, topics
from contract.messages import MAX_MESSAGE_BYTES, Receipt
from contract.topics import Channel
from gateway.feedback.ingest import Arrival
from gateway.kiosks.health_inbox import HealthArrival, HealthInbox
from gateway.loop import Backoff

logger = logging.getLogger(__name__)

RECEIVE_MAXIMUM = 100
"""How many messages the broker may have under way to us without an acknowledgement."""

QUEUE_MESSAGES = 2 * RECEIVE_MAXIMUM
"""At most 25 MiB. It has to be a limit of our own: mosquitto 2.0.11 sends far more than the receive maximum as soon as
it has a backlog, and does not count messages of QoS 0 at all."""

FULL_WAIT_S = 2.0
"""How long nothing is read from the broker when the queue is full, so that the broker keeps what comes then."""

MAX_PACKET_BYTES = MAX_MESSAGE_BYTES + 16 * 1024
KEEP_ALIVE_S = 20
CONNECT_TIMEOUT_S = 10.0
LOOK_S = 0.1
STUCK_S = 30.0
"""A network thread that has not come round for so long is left behind with its connection."""

_HEALTH_END = f"/{Channel.HEALTH}"


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where the broker is and as whom the gateway connects."""

    host: str
    port: int
    username: str
    password: str
    ca: Path
    group: str
    """Of the shared subscription. The broker lets anybody subscribe to anything and checks only what it delivers: a
    kiosk that knew the name could join, and messages would be given to it, refused, and so lost."""

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"BrokerAccess({self.host}:{self.port} as {self.username})"


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message and the connection on which it has to be acknowledged."""

    arrival: Arrival
    client: mqtt.Client
    mid: int
    qos: int

    def acknowledge(self) -> None:
        """Tell the broker that it may forget the message; without effect if the connection has gone."""
        if self.qos:
            self.client.ack(self.mid, self.qos)


class _Client(mqtt.Client):
    """A client that tells whether its thread lives and moves."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, manual_ack=True, reconnect_on_failure=False)
        self._turned_s = time.monotonic()

    def loop_misc(self) -> MQTTErrorCode:
        """Note that the thread has come round, as it does at least once a second."""
        self._turned_s = time.monotonic()
        return super().loop_misc()

    @property
    def runs(self) -> bool:
        """Whether the network thread is alive."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def stuck_s(self) -> float:
        """For how long the network thread has not come round."""
        return time.monotonic() - self._turned_s

    def abandon(self) -> None:
        """Close the connection if the thread has not: it died, or it hangs and ends when it moves again."""
        connection = self.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class Subscriber:
    """One connection after another to the broker; `turn` is to be run by a `gateway.loop.Loop`."""

    def __init__(self, access: BrokerAccess, health: HealthInbox) -> None:
        """``health`` gets what kiosks tell of themselves, beside the queue of what has to be stored."""
        self._access = access
        self._health = health
        self._queue: queue.Queue[Delivered] = queue.Queue(QUEUE_MESSAGES)
        self._subscribed = threading.Event()
        self._backoff = Backoff()
        self._client: mqtt.Client | None = None
        self._failing = False
        self._overflowed = False
        self._stopping = False
        self.dropped = 0
        """Messages for which there was no room; each is sent again by its kiosk."""

    @property
    def is_subscribed(self) -> bool:
        """Whether messages can come in now."""
        return self._subscribed.is_set()

    def wait_until_subscribed(self, timeout_s: float) -> bool:
        """Wait until messages can come in; tell whether they can."""
        return self._subscribed.wait(timeout_s)

    def take(self, most: int, timeout_s: float) -> list[Delivered]:
        """Return what has come in, at most ``most``, waiting for the first one only."""
        batch: list[Delivered] = []
        with contextlib.suppress(queue.Empty):
            batch.append(self._queue.get(timeout=timeout_s))
            while len(batch) < most:
                batch.append(self._queue.get_nowait())
        return batch

    def answer(self, kiosk: str, receipt: Receipt) -> None:
        """Send a receipt. One that is lost with the connection is asked for again by the kiosk's repetition."""
        client = self._client
        if client is not None and self._subscribed.is_set():
            client.publish(topics.topic(kiosk, Channel.RECEIPT), messages.encode(receipt), qos=1)

    def turn(self, stop: threading.Event) -> None:
        """Live one connection from its beginning to its end, and wait before the next."""
        client = self._make_client()
        try:
            client.connect(
                self._access.host,
                self._access.port,
                KEEP_ALIVE_S,
                clean_start=True,
                properties=_connect_properties(),
            )
            self._client = client
            client.loop_start()
            # Not `is_connected`, which stays true when paho's thread has died.
            while client.runs:
                if client.stuck_s > STUCK_S:
                    self._tell_of_failure("the connection's thread hangs")
                    break
                time.sleep(LOOK_S)
        except OSError as error:
            self._tell_of_failure(str(error))
        finally:
            self._subscribed.clear()
            self._client = None
            client.abandon()
        if not self._stopping:
            stop.wait(self._backoff.next_s())

    def disconnect(self) -> None:
        """End the present connection for good."""
        self._stopping = True
        client = self._client
        if client is not None:
            client.disconnect()

    def _make_client(self) -> "_Client":
        client = _Client()
        client.username_pw_set(self._access.username, self._access.password)
        client.tls_set_context(ssl.create_default_context(cafile=str(self._access.ca)))
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.suppress_exceptions = True
        client.max_inflight_messages_set(RECEIVE_MAXIMUM)
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        try:
            if reason.is_failure:
                self._tell_of_failure(str(reason))
                return
            options = SubscribeOptions(qos=1)
            filters = [
                f"$share/{self._access.group}/{topics.every_kiosk(channel)}"
                for channel in (Channel.FEEDBACK, Channel.REPLY)
            ]
            filters.append(topics.every_kiosk(Channel.STATUS))
            health = f"$share/{self._access.group}/{topics.every_kiosk(Channel.HEALTH)}"
            client.subscribe([*((each, options) for each in filters), (health, SubscribeOptions(qos=0))])
        except Exception:
            logger.exception("subscribing failed")
            client.disconnect()

    def _on_subscribe(
        self,
        client: mqtt.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._tell_of_failure(f"the broker refuses a subscription: {', '.join(map(str, reasons))}")
            client.disconnect()
            return
        logger.info("connected to the broker again" if self._failing else "subscribed to the broker")
        self._failing = False
        self._backoff.reset()
        self._subscribed.set()

    def _on_message(self, client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            if message.topic.endswith(_HEALTH_END):
                # It must neither wait for room in the queue nor take any.
                self._health.put(HealthArrival(message.topic, bytes(message.payload), datetime.now(UTC)))
                return
            arrival = Arrival(message.topic, bytes(message.payload), datetime.now(UTC), bool(message.retain))
            delivered = Delivered(arrival, client, message.mid, message.qos)
            self._queue.put(delivered, timeout=0.0 if self._overflowed else FULL_WAIT_S)
            if self._overflowed:
                logger.info("messages can be stored again")
            self._overflowed = False
        except queue.Full:
            self._drop(client, message)
        except Exception:
            logger.exception("a message could not be taken")
            client.ack(message.mid, message.qos)

    def _drop(self, client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
        if not self._overflowed:
            logger.warning("messages cannot be stored at present; kiosks will send them again")
        self._overflowed = True
        self.dropped += 1
        # Acknowledged without a receipt: the kiosk repeats it, while an unacknowledged one would block the connection.
        client.ack(message.mid, message.qos)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._subscribed.clear()
        if not self._stopping:
            self._tell_of_failure(str(reason))

    def _tell_of_failure(self, reason: str) -> None:
        if not self._failing and not self._stopping:
            logger.warning("no connection to the broker; trying again until there is one", extra={"reason": reason})
        self._failing = True


def _send_at_once(_client: mqtt.Client, _userdata: object, connection: object) -> None:
    # A receipt and an acknowledgement are two small packets: without this the second waits 40 ms for the first.
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    # With a session that outlives the connection, the broker would keep feedback for a worker that is gone.
    properties.SessionExpiryInterval = 0
    return properties
