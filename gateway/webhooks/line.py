"""One kept connection to a receiver, as a transport for ``requests``."""

import functools
import http.client
import socket
import ssl
import time
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from gateway.webhooks.deadline import Deadline
from gateway.webhooks.dialling import Dialler

_BLANK = (b"\r\n", b"\n")


class Line(HTTPAdapter):
    """At most one connection, dialled by a `Dialler`, used by one attempt at a time, kept between attempts.

    Only a connection that lies quite still is used again: what a receiver sends unasked would be taken for the next
    answer.
    """

    def __init__(self, dialler: Dialler, tls: ssl.SSLContext | None) -> None:
        """Make one; without ``tls`` it is for http alone."""
        self._dialler = dialler
        self._tls = tls
        self._deadline: Deadline | None = None
        self._handle: socket.socket | None = None
        self.dialled_s = 0.0
        """When the connection was made, by the monotonic clock; 0 before."""
        self.used_s = 0.0
        self.peer = ""
        self.is_fresh = True
        """Whether the last attempt dialled, rather than using what was there."""
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def post(self, request: PreparedRequest, deadline: Deadline) -> Response:
        """Send one request, and return the answer with its body still unread."""
        self._deadline = deadline
        self.is_fresh = False
        if self._handle is not None:
            deadline.guard(self._handle)
        return self.send(request, stream=True, timeout=deadline.remaining_s())

    def dial(self, host: str, port: int) -> socket.socket:
        """Return a new connection; called by its only pool.

        Raises:
            AttemptError: there is no permitted address that answers.
        """
        assert self._deadline is not None
        self.is_fresh = True
        connection, address = self._dialler.dial(host, port, self._deadline)
        self.peer = str(address)
        self.dialled_s = time.monotonic()
        self._forget()
        # A duplicate of the descriptor: TLS takes the socket over under another object.
        self._handle = connection.dup()
        self._deadline.guard(self._handle)
        return connection

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._forget()

    def _forget(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """Leave it to the TLS context, which always verifies and is loaded once for all lines."""

    def init_poolmanager(self, *_args: Any, **_kwargs: Any) -> None:
        """Make the pool; called by the parent."""
        self.poolmanager = PoolManager(num_pools=1, maxsize=1, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = {"http": self._pool, "https": self._tls_pool}

    def _pool(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = HTTPConnectionPool(*args, **kwargs)
        pool.ConnectionCls = functools.partial(_Connection, self)  # type: ignore[assignment]
        return pool

    def _tls_pool(self, *args: Any, **kwargs: Any) -> HTTPSConnectionPool:
        pool = HTTPSConnectionPool(*args, **kwargs)
        pool.ConnectionCls = functools.partial(_TlsConnection, self)  # type: ignore[assignment]
        return pool


class _WholeHeadResponse(http.client.HTTPResponse):
    """An answer whose head must have come to its end: the parent takes the end of the stream for that."""

    def begin(self) -> None:
        if self.headers is not None:
            return
        stream = self.fp
        watched = _LastLine(stream)
        self.fp = watched
        try:
            super().begin()
        finally:
            if self.fp is watched:
                self.fp = stream
        if watched.last not in _BLANK:
            raise http.client.IncompleteRead(watched.last)


class _LastLine:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._stream.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Connection(HTTPConnection):
    response_class = _WholeHeadResponse

    def __init__(self, line: Line, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.dial(self._dns_host, self.port or 80)


class _TlsConnection(HTTPSConnection):
    response_class = _WholeHeadResponse

    def __init__(self, line: Line, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.dial(self._dns_host, self.port or 443)
