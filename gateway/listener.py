"""A local receiver for webhooks: it verifies, tells what came, and answers as a backend would.

`Inbox` judges one request without any port or clock; `Listener` is the HTTP server around it. The listener is a
developer's tool, but what it receives is untrusted: size, time and the number of connections are bounded.
"""

import io
import json
import logging
import socket
import socketserver
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Any, Self

from contract import signature

MAX_BODY_BYTES = 1024 * 1024
"""Ten times what the contract allows, so that a sender's mistake is seen rather than cut."""

REQUEST_DEADLINE_S = 10.0
"""From the connection to the last byte of the request, however slowly it drips."""

LAST_ANSWERS_S = 1.0
"""How long a listener that ends waits for the connections that it still has."""

MAX_CONNECTIONS = 32
MAX_REMEMBERED_IDS = 10_000
NO_SECRET = "no secret given"  # noqa: S105 - a sentence
"""The reason of a webhook that nothing could verify, because the listener has no secret."""

_DRAIN_BYTES = 4 * MAX_BODY_BYTES
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_POLL_S = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request as it was received and judged."""

    received_at: datetime
    """When the last byte had arrived; UTC."""
    webhook_id: str | None
    event: str | None
    """Null if the body is no JSON object with an ``event``."""
    feedback: str | None
    """The id of the feedback."""
    verified: bool
    reason: str | None
    """Why it is not verified, or not usable; null if all is well."""
    repeated: bool
    """Whether this ``Webhook-Id`` was received before: a retry, to be answered and otherwise ignored."""
    body: str
    """As received; bytes that are no UTF-8 are shown as ``\\xNN``."""
    headers: dict[str, str]
    """Under the names that were sent; a header that was sent twice is joined with a comma."""
    status: int
    """What was answered."""

    @property
    def verdict(self) -> str:
        """Whether it is verified, and what is wrong with it if anything is."""
        verdict = "verified" if self.verified else "not verified"
        return f"{verdict}: {self.reason}" if self.reason else verdict


class Inbox:
    """Judges webhooks one after the other, and remembers their ids.

    Args:
        secret: what the webhooks are signed with; None accepts every webhook as not verified.
        forced_status: the answer to every webhook, whatever it is worth, to see a sender's retries.
    """

    def __init__(self, secret: str | None, forced_status: int | None = None) -> None:
        self._secret = secret
        self._forced_status = forced_status
        self._seen: OrderedDict[str, None] = OrderedDict()

    def judge(self, headers: Mapping[str, str], body: bytes, now_s: float) -> Webhook:
        """Return what the request is worth and the status to answer with.

        Args:
            headers: as received; names in any case.
            body: the raw bytes.
            now_s: seconds since 1970 in UTC.
        """
        by_name = {name.lower(): value for name, value in headers.items()}
        webhook_id = by_name.get(signature.ID_HEADER.lower())
        tree = _parse(body)
        verified, reason = self._verify(by_name.get(signature.SIGNATURE_HEADER.lower()), body, now_s)
        status = HTTPStatus.OK if verified or self._secret is None else HTTPStatus.UNAUTHORIZED
        if tree is None and status == HTTPStatus.OK:
            status, reason = HTTPStatus.BAD_REQUEST, "the body is no JSON object"
        return Webhook(
            received_at=datetime.fromtimestamp(now_s, UTC),
            webhook_id=webhook_id,
            event=_text(tree, "event"),
            feedback=_text((tree or {}).get("feedback"), "id"),
            verified=verified,
            reason=reason,
            repeated=self._is_repeated(webhook_id),
            body=body.decode("utf-8", "backslashreplace"),
            headers=dict(headers),
            status=int(status if self._forced_status is None else self._forced_status),
        )

    def _verify(self, header: str | None, body: bytes, now_s: float) -> tuple[bool, str | None]:
        if self._secret is None:
            return False, NO_SECRET
        try:
            signature.verify(body, header, self._secret, now_s=now_s)
        except signature.SignatureError as error:
            return False, str(error)
        return True, None

    def _is_repeated(self, webhook_id: str | None) -> bool:
        if webhook_id is None:
            return False
        repeated = webhook_id in self._seen
        self._seen[webhook_id] = None
        self._seen.move_to_end(webhook_id)
        if len(self._seen) > MAX_REMEMBERED_IDS:
            self._seen.popitem(last=False)
        return repeated


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        tree = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def _text(tree: object, key: str) -> str | None:
    value = tree.get(key) if isinstance(tree, dict) else None
    return value if isinstance(value, str) else None


class Listener:
    """The HTTP server: hands every webhook to ``report`` before it answers; use it in a ``with`` statement.

    Args:
        inbox: judges the requests.
        report: called with each webhook, by one thread at a time.
        host: an address of this machine, or a name of it.
        port: 0 picks a free one; `url` tells it.
        request_deadline_s: how long one request may take to arrive.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(
        self,
        inbox: Inbox,
        report: Callable[[Webhook], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        request_deadline_s: float = REQUEST_DEADLINE_S,
    ) -> None:
        self._host = host
        self._server = _Server((host, port), inbox, report, request_deadline_s)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="listener", daemon=True
        )

    @property
    def url(self) -> str:
        """Where webhooks can be sent to."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.answer_the_last(LAST_ANSWERS_S)
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], inbox: Inbox, report: Callable[[Webhook], None], request_deadline_s: float
    ) -> None:
        self.request_deadline_s = request_deadline_s
        self._inbox = inbox
        self._report = report
        self._one_at_a_time = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would ask the name service for the address, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            _log.debug("a connection was closed: %d are open", MAX_CONNECTIONS)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._places.release()
            raise

    def answer_the_last(self, timeout_s: float) -> None:
        """Let the connections that are open get their answers: a webhook that was reported must not look refused."""
        end_s = time.monotonic() + timeout_s
        for _ in range(MAX_CONNECTIONS):
            if not self._places.acquire(timeout=max(0.0, end_s - time.monotonic())):
                return

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - named by socketserver
        _log.debug("a connection ended early", exc_info=True)

    def receive(self, headers: Mapping[str, str], body: bytes) -> Webhook:
        with self._one_at_a_time:
            webhook = self._inbox.judge(headers, body, time.time())
            self._report(webhook)
        return webhook


class _Handler(BaseHTTPRequestHandler):
    """One request for each connection: POST, and a sentence for everything else."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "kiosk-gateway-listen"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        reader = _DeadlineReader(self.connection, time.monotonic() + self.server.request_deadline_s)
        self.rfile = io.BufferedReader(reader)

    def parse_request(self) -> bool:
        understood = super().parse_request()
        self.close_connection = True
        if understood and self.command != "POST":
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "only POST is answered here", ("Allow", "POST"))
            return False
        return understood

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "send the body with its Content-Length")
            return
        # Twelve digits are more than any body here may have, and never too long to be a number.
        if len(length) > 12 or int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
            self._drain()
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return
        webhook = self.server.receive(_joined(self.headers.items()), body)
        self._answer(webhook.status, webhook.verdict)

    def _refuse(self, status: HTTPStatus, sentence: str, *headers: tuple[str, str]) -> None:
        _log.warning("a request was answered with %d: %s", status, sentence)
        self._answer(status, sentence, *headers)

    def _answer(self, status: int, sentence: str, *headers: tuple[str, str]) -> None:
        content = b"" if status in _WITHOUT_BODY or self.command == "HEAD" else f"{sentence}\n".encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in _WITHOUT_BODY:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _drain(self) -> None:
        """Read on for a while: a connection closed with unread bytes is reset, and the answer is lost."""
        self.wfile.flush()
        left = _DRAIN_BYTES
        while left > 0 and (chunk := self.rfile.read(min(left, 65_536))):
            left -= len(chunk)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        _log.debug("listener: %r %r", format, args)


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a moment, not for a while after each byte."""

    def __init__(self, connection: socket.socket, deadline_s: float) -> None:
        super().__init__()
        self._connection = connection
        self._deadline_s = deadline_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left_s)
        return self._connection.recv_into(buffer)


def _joined(pairs: Any) -> dict[str, str]:
    headers: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in pairs:
        first = names.setdefault(name.lower(), name)
        headers[first] = f"{headers[first]}, {value}" if first in headers else value
    return headers
