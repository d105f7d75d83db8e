"""Connections that go to an address that was checked, and end when their time is over.

A name is resolved once; what is dialled is the very address that was checked, while the certificate and the ``Host``
header stay those of the name. Redirection by proxies and environment variables is impossible by construction.
"""

import functools
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from gateway.webhooks import addresses
from gateway.webhooks.addresses import Address, Network

CONNECT_S = 5.0
"""For one address; a name may have several."""

MAX_ADDRESSES = 8

Resolver = Callable[[str, int], Sequence[Address]]


class Fault(StrEnum):
    """Why an attempt failed."""

    DNS = "dns"
    REFUSED_ADDRESS = "refused_address"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    STATUS = "status"
    SECRET = "secret"  # noqa: S105 (a kind of fault)


class DialError(Exception):
    """No connection was made; not an ``OSError``, so that no layer between wraps or repeats it."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of ``host`` in the system's order.

    Raises:
        OSError: there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class Deadline:
    """Cuts the connection of one attempt when its time is over, whatever it is waiting for then."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self.fire)
        self._timer.daemon = True
        self.fired = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def remaining_s(self) -> float:
        """Return the time that is left, never quite nothing, because 0 means no waiting at all to a socket."""
        return max(self._end - time.monotonic(), 0.001)

    def guard(self, connected: socket.socket) -> None:
        """Cut this connection when the time is over.

        A duplicate of the descriptor is kept: TLS takes the socket over under another object.
        """
        with self._lock:
            self._socket = connected.dup()
            if self.fired:
                _cut(self._socket)

    def fire(self) -> None:
        """Cut now. The attempt has failed then, even if a status was read: a cut header looks like a complete one."""
        with self._lock:
            self.fired = True
            if self._socket is not None:
                _cut(self._socket)


def _cut(connected: socket.socket) -> None:
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other side was quicker.
        return


class Dialler:
    """Dials for one attempt."""

    def __init__(self, deadline: Deadline, allowed: Sequence[Network], resolver: Resolver) -> None:
        self._deadline = deadline
        self._allowed = allowed
        self._resolver = resolver

    def dial(self, host: str, port: int) -> socket.socket:
        """Return a connection to the first address of ``host`` that is permitted and answers.

        Raises:
            DialError: there is no such address; the text says why for each.
        """
        found = self._resolve(host, port)
        problems = {address: addresses.problem(address, self._allowed) for address in found}
        permitted = [address for address in found if problems[address] is None]
        if not permitted:
            refused = "; ".join(text for text in problems.values() if text)
            raise DialError(Fault.REFUSED_ADDRESS, f"{host} leads to an address that is refused: {refused}")
        errors: list[str] = []
        for address in permitted[:MAX_ADDRESSES]:
            try:
                return self._connect(address, port)
            except TimeoutError:
                errors.append(f"{address} port {port} does not answer")
            except OSError as error:
                errors.append(f"{address} port {port}: {error.strerror or error}")
        raise DialError(Fault.CONNECT, "; ".join(errors))

    def _connect(self, address: Address, port: int) -> socket.socket:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(min(CONNECT_S, self._deadline.remaining_s()))
            connection.connect((str(address), port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(self._deadline.remaining_s())
            self._deadline.guard(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _resolve(self, host: str, port: int) -> Sequence[Address]:
        # The system's resolver cannot be interrupted; a thread that hangs in it ends by itself later.
        answers: queue.SimpleQueue[Sequence[Address] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolver(host, port))
            except (OSError, ValueError) as error:
                answers.put(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=self._deadline.remaining_s())
        except queue.Empty:
            raise DialError(Fault.DNS, f"the name {host} was not resolved in time") from None
        if isinstance(answer, socket.gaierror):
            raise DialError(Fault.DNS, f"the name {host} cannot be resolved: {answer.strerror}")
        if isinstance(answer, Exception) or not answer:
            raise DialError(Fault.DNS, f"the name {host} cannot be resolved")
        return answer


class _Connection(HTTPConnection):
    def __init__(self, dialler: Dialler, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dialler = dialler

    def _new_conn(self) -> socket.socket:
        return self._dialler.dial(self._dns_host, self.port or 80)


class _TlsConnection(HTTPSConnection):
    def __init__(self, dialler: Dialler, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dialler = dialler

    def _new_conn(self) -> socket.socket:
        return self._dialler.dial(self._dns_host, self.port or 443)


class DiallingAdapter(HTTPAdapter):
    """A transport for ``requests`` all of whose connections a `Dialler` makes."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *_args: Any, **_kwargs: Any) -> None:
        """Make the pool; called by the parent."""
        self.poolmanager = PoolManager(num_pools=1, maxsize=1)
        self.poolmanager.pool_classes_by_scheme = {"http": self._pool, "https": self._tls_pool}

    def _pool(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = HTTPConnectionPool(*args, **kwargs)
        pool.ConnectionCls = functools.partial(_Connection, self._dialler)  # type: ignore[assignment]
        return pool

    def _tls_pool(self, *args: Any, **kwargs: Any) -> HTTPSConnectionPool:
        pool = HTTPSConnectionPool(*args, **kwargs)
        pool.ConnectionCls = functools.partial(_TlsConnection, self._dialler)  # type: ignore[assignment]
        return pool
