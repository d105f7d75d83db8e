"""The small HTTP server for `/healthz` and `/metrics`."""

import json
import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gateway.errors import GatewayError
from gateway.monitoring.health import Health
from gateway.monitoring.metrics import CONTENT_TYPE

logger = logging.getLogger(__name__)

REQUEST_S = 5.0
MAX_REQUESTS = 8
"""At once; further ones are closed, so that nobody at this port can take the gateway's memory."""

POLL_S = 0.5


class Monitor:
    """Answers until the stop; `turn` is to be run by a `gateway.loop.Loop`."""

    def __init__(self, listen: str, port: int, *, health: Callable[[], Health], metrics: Callable[[], str]) -> None:
        """Make one.

        Args:
            listen: the address of this machine to listen at.
            port: 0 takes a free one, which the log names.
            health: looks at the parts; called in a thread of its own.
            metrics: returns the text for Prometheus; the same.
        """
        self._listen = listen
        self._port = port
        self._health = health
        self._metrics = metrics

    def turn(self, stop: threading.Event) -> None:
        """Serve until the stop.

        Raises:
            GatewayError: the port cannot be had.
        """
        try:
            server = _Server((self._listen, self._port), _handler(self._health, self._metrics))
        except OSError as error:
            raise GatewayError(
                f"health and metrics cannot have port {self._port} on {self._listen}: {error.strerror}; "
                "set another one under [monitoring] or with --monitoring-port"
            ) from None
        logger.info("health and metrics", extra={"listen": self._listen, "port": server.server_address[1]})
        with server:
            thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="monitor server", daemon=True)
            thread.start()
            stop.wait()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (the library's signature)
        logger.debug("a request for health or metrics failed")


def _handler(health: Callable[[], Health], metrics: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_S
        server_version = "voiseback-gateway"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/healthz":
                found = health()
                status = HTTPStatus.OK if found.is_good else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(found.told(), indent=2) + "\n")
            elif path == "/metrics":
                self._answer_metrics()
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "here are /healthz and /metrics\n")

        def _answer_metrics(self) -> None:
            try:
                text = metrics()
            except Exception as error:  # noqa: BLE001 (whoever asks is to know that it was not the network)
                logger.warning("the metrics cannot be told", extra={"error": type(error).__name__})
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be told\n")
            else:
                self._answer(HTTPStatus.OK, CONTENT_TYPE, text)

        def _answer(self, status: HTTPStatus, content_type: str, text: str) -> None:
            body = text.encode("utf-8")
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
