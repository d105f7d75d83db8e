"""A real HTTP server on the loopback that fails as servers and networks do."""

import contextlib
import hashlib
import socket
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

PIECE_BYTES = 16 * 1024


@dataclass(frozen=True)
class Answer:
    """What to do with one request; all defaults: serve the body as a good server does."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Instead of the file's."""
    cut_after: int | None = None
    """Break the connection after so many bytes of the body."""
    stall_after: int | None = None
    """Send nothing more after so many bytes, until the server is stopped or `release` is called."""
    length: int | None = None
    """Announce this length instead of the true one."""
    ignore_range: bool = False
    has_length: bool = True
    validators: bool = True


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    path: str
    headers: Mapping[str, str]


class ModelServer:
    """Serves `files` by path. `answers` of a path are used up one by one; after them it is a good server."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: defaultdict[str, list[Answer]] = defaultdict(list)
        self.seen: list[Seen] = []
        self._released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._serve(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def release(self) -> None:
        """Let stalled answers end."""
        self._released.set()

    def ranges(self, path: str) -> list[str | None]:
        """What was asked for of a path, request by request."""
        return [seen.headers.get("Range") for seen in self.seen if seen.path == path]

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.seen.append(Seen(request.path, dict(request.headers)))
        request.close_connection = True
        answer = self.answers[request.path].pop(0) if self.answers[request.path] else Answer()
        file = self.files.get(request.path)
        body = answer.body if answer.body is not None else file
        if body is None:
            status = answer.status or 404
            body = b""
        else:
            status = answer.status or 200
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"'} if answer.validators and status == 200 else {}
        start = None if status != 200 or answer.ignore_range else self._start(request, headers.get("ETag"))
        if start is not None and start >= len(body):
            status, headers["Content-Range"], body = 416, f"bytes */{len(body)}", b""
        elif start is not None:
            status, headers["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
            body = body[start:]
        request.send_response_only(status)
        if answer.has_length:
            headers["Content-Length"] = str(len(body) if answer.length is None else answer.length)
        for name, value in {**headers, "Connection": "close", **answer.headers}.items():
            request.send_header(name, value)
        request.end_headers()
        with contextlib.suppress(OSError):  # the client has gone
            self._send(request, answer, body)

    def _start(self, request: BaseHTTPRequestHandler, etag: str | None) -> int | None:
        asked = request.headers.get("Range")
        condition = request.headers.get("If-Range")
        if asked is None or (condition is not None and condition != etag):
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _send(self, request: BaseHTTPRequestHandler, answer: Answer, body: bytes) -> None:
        limit = min(limit for limit in (answer.cut_after, answer.stall_after, len(body)) if limit is not None)
        for at in range(0, limit, PIECE_BYTES):
            request.wfile.write(body[at : min(limit, at + PIECE_BYTES)])
        request.wfile.flush()
        if answer.stall_after is not None:
            self._released.wait(30)
        if limit < len(body):
            request.connection.shutdown(socket.SHUT_RDWR)
