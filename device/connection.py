"""One MQTT connection of the kiosk to its gateway's broker: made, used, thrown away.

A connection is never revived, so nothing that paho keeps in memory outlives it: what has no receipt is in the spool.
"""

import contextlib
import logging
import socket
import ssl
import threading
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
from device.dialling import dial

log = logging.getLogger(__name__)

KEEPALIVE_S = 12
"""The broker notices a connection that has gone silent after one and a half times this, the kiosk as `noticed_within_s`
tells."""
GOODBYE_TIMEOUT_S = 2.0
"""How long the broker may take to be told that the kiosk leaves."""
_PAHO_LOOK_S = 1.0
"""How often paho looks whether a ping or its answer is due."""
_CREDENTIAL_REFUSED = frozenset({133, 134, 135, 138, 140})
"""Reason codes of MQTT 5: the client id, the password, the rights; banned; the method."""


def noticed_within_s(keepalive_s: float) -> float:
    """Return how long a silent connection can stay unnoticed.

    paho sends a ping when nothing has come for one keep-alive, and gives up when no answer has come for another one.
    """
    return 2 * (keepalive_s + _PAHO_LOOK_S)


@dataclass(frozen=True, slots=True)
class Up:
    """The broker has accepted the kiosk, and receipts will come."""


@dataclass(frozen=True, slots=True)
class Down:
    """The connection is over."""

    reason: str
    refused: bool = False
    """Whether the broker does not know this kiosk, so that only a person can help."""


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
        keepalive_s: int = KEEPALIVE_S,
    ) -> None:
        self._credentials = credentials
        self._on_event = on_event
        self._keepalive_s = keepalive_s
        self._ended = threading.Event()
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
            keepalive=self._keepalive_s,
            clean_start=True,
            properties=properties,
        )
        self._client.loop_start()

    def send_feedback(self, message: bytes) -> None:
        """Hand one feedback to the broker; only a receipt says that it arrived."""
        self._client.publish(self._feedback_topic, message, qos=1)

    def send_health(self, message: bytes) -> None:
        """Hand one health message to the broker; nobody repeats it if it is lost."""
        self._client.publish(self._health_topic, message, qos=0)

    def close(self) -> None:
        """Say goodbye, if anybody listens, and free everything, within `GOODBYE_TIMEOUT_S`."""
        if self._client.is_connected():
            # A clean disconnect suppresses the will, so the kiosk says itself that it goes.
            self._client.publish(self._status_topic, self._will(), qos=1, retain=True)
        sock = self._client.socket()
        if self._client.disconnect() == mqtt.MQTT_ERR_SUCCESS and not self._ended.wait(GOODBYE_TIMEOUT_S):
            # paho's thread would wait for a peer that takes nothing any more.
            _shut(sock)
        self._client.loop_stop()

    def _make_client(self) -> mqtt.Client:
        context = ssl.create_default_context(cadata=self._credentials.ca_certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        client = _Client(context, self._credentials.kiosk_id)
        # The uplink's window is the bound; a limit of paho's would hold the goodbye back behind the feedback.
        client.max_inflight_messages_set(0)
        client.username_pw_set(self._credentials.username, self._credentials.password)
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
            refused = reason.value in _CREDENTIAL_REFUSED
            self._on_event(self, Down(f"the broker refused the kiosk: {reason}", refused=refused))
            return
        client.subscribe(self._receipt_topic, qos=1)

    def _subscribed(
        self, client: mqtt.Client, _data: object, _mid: int, codes: list[ReasonCode], _props: object
    ) -> None:
        if any(code.is_failure for code in codes):
            reason = "the broker refuses receipts to this kiosk; check its access rules"
            self._on_event(self, Down(reason, refused=True))
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
        self._ended.set()
        self._on_event(self, Down(str(reason)))


class _Client(mqtt.Client):
    """paho's client with a way to the broker of its own.

    paho's takes no deadline for the lookup of the name, and leaves the socket open when the handshake fails.
    """

    def __init__(self, context: ssl.SSLContext, client_id: str) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        self._context = context
        # Should a later paho ask for its socket in another way, no password goes out in the clear.
        self.tls_set_context(context)

    def _create_socket(self) -> ssl.SSLSocket:
        return dial(self._host, self._port, self._context)


def _send_at_once(_client: mqtt.Client, _data: object, sock: socket.socket) -> None:
    """Switch Nagle's algorithm off: it holds a message back for 40 ms behind one that is not acknowledged yet."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _shut(sock: object) -> None:
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
