"""One MQTT connection of the kiosk to its gateway's broker: made, used, thrown away.

A connection is never revived, so nothing that paho keeps in memory outlives it: what has no receipt is in the spool.
"""

import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from msgspec import structs
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contract import messages, topics
from contract.credentials import BrokerCredentials
from contract.messages import Receipt, Status

log = logging.getLogger(__name__)

KEEPALIVE_S = 15
"""A half-open connection is noticed after at most one and a half times this."""
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Up:
    """The broker has accepted the kiosk, and receipts will come."""


@dataclass(frozen=True, slots=True)
class Down:
    """The connection is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A receipt came."""

    receipt: Receipt


ConnectionEvent = Up | Down | Received
ConnectionHandler = Callable[[object, ConnectionEvent], None]
"""Gets each event together with the connection that it is from."""


class Connection:
    """One connection; its events come on paho's thread and must not block it."""

    def __init__(
        self,
        credentials: BrokerCredentials,
        *,
        session: int,
        agent_version: str,
        on_event: ConnectionHandler,
    ) -> None:
        self._credentials = credentials
        self._on_event = on_event
        self._status = Status(
            kiosk=credentials.kiosk_id, state="online", session=session, agent_version=agent_version, address=None
        )
        self._receipt_topic = topics.topic(credentials.kiosk_id, topics.Channel.RECEIPT)
        self._status_topic = topics.topic(credentials.kiosk_id, topics.Channel.STATUS)
        self._feedback_topic = topics.topic(credentials.kiosk_id, topics.Channel.FEEDBACK)
        self._health_topic = topics.topic(credentials.kiosk_id, topics.Channel.HEALTH)
        self._client = self._make_client()

    def open(self) -> None:
        """Connect; `Up` or `Down` follows.

        Raises:
            OSError: no address, no route, refused, timed out, or a certificate that is not the gateway's.
        """
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self._client.connect(
            self._credentials.host,
            self._credentials.port,
            keepalive=KEEPALIVE_S,
            clean_start=True,
            properties=properties,
        )
        self._client.loop_start()

    def send_feedback(self, message: bytes) -> None:
        """Hand one feedback to the broker; only a receipt says that it arrived."""
        self._client.publish(self._feedback_topic, message, qos=1)

    def send_health(self, message: bytes) -> None:
        """Hand the kiosk's health to the broker, once; any thread."""
        self._client.publish(self._health_topic, message, qos=0)

    def close(self) -> None:
        """Say goodbye, if anybody listens, and free everything."""
        if self._client.is_connected():
            # A clean disconnect suppresses the will, so the kiosk says itself that it goes.
            self._client.publish(self._status_topic, self._will(), qos=1, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._credentials.kiosk_id,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.username_pw_set(self._credentials.username, self._credentials.password)
        context = ssl.create_default_context(cadata=self._credentials.ca_certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        client.tls_set_context(context)
        client.will_set(self._status_topic, self._will(), qos=1, retain=True)
        client.on_socket_open = self._guarded(_send_at_once)
        client.on_connect = self._guarded(self._connected)
        client.on_subscribe = self._guarded(self._subscribed)
        client.on_message = self._guarded(self._message)
        client.on_disconnect = self._guarded(self._disconnected)
        return client

    def _will(self) -> bytes:
        return messages.encode(structs.replace(self._status, state="offline"))

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Wrap a callback: an exception in one would end paho's thread without a word."""

        def guarded(*args: Any) -> None:
            try:
                callback(*args)
            except Exception:
                log.exception("A callback of the broker connection failed")

        return guarded

    def _connected(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _props: object
    ) -> None:
        if reason.is_failure:
            self._on_event(self, Down(f"the broker refused the kiosk: {reason}"))
            return
        client.subscribe(self._receipt_topic, qos=1)

    def _subscribed(
        self, client: mqtt.Client, _data: object, _mid: int, codes: list[ReasonCode], _props: object
    ) -> None:
        if any(code.is_failure for code in codes):
            self._on_event(self, Down("the broker refuses receipts to this kiosk; check its access rules"))
            return
        sock = client.socket()
        address = sock.getsockname()[0] if isinstance(sock, socket.socket) else None
        online = messages.encode(structs.replace(self._status, address=address))
        client.publish(self._status_topic, online, qos=1, retain=True)
        self._on_event(self, Up())

    def _message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            receipt = messages.decode(Receipt, bytes(message.payload))
        except messages.MessageError as error:
            log.warning("A receipt could not be read and is ignored: %s", error)
            return
        self._on_event(self, Received(receipt))

    def _disconnected(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _p: object
    ) -> None:
        self._on_event(self, Down(str(reason)))


def _send_at_once(_client: mqtt.Client, _data: object, sock: socket.socket) -> None:
    """Switch Nagle's algorithm off: it holds a message back for 40 ms behind one that is not acknowledged yet."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
