"""Connections that go to an address that was checked.

A name is resolved once; what is dialled is the very address that was checked, while the certificate and the ``Host``
header stay those of the name. Redirection by environment variables is impossible by construction; through a proxy that
the operator has set, the checked address is asked for.
"""

import base64
import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from gateway.webhooks import addresses
from gateway.webhooks.addresses import Address, Network
from gateway.webhooks.attempt import AttemptError, Fault
from gateway.webhooks.deadline import Deadline

CONNECT_S = 5.0
"""For one address; a name may have several."""

MAX_ADDRESSES = 8
MAX_PROXY_ANSWER_BYTES = 8 * 1024

Resolver = Callable[[str, int], Sequence[Address]]


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of ``host`` in the system's order.

    Raises:
        OSError: there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class Dialler:
    """Dials, each time after resolving and checking anew."""

    def __init__(self, allowed: Sequence[Network] = (), resolver: Resolver = resolve, proxy: str | None = None) -> None:
        """Make one.

        Args:
            allowed: networks that are not public and permitted nevertheless.
            resolver: gives the addresses of a name.
            proxy: ``http://[user:password@]host:port``; connections go through it by ``CONNECT``.
        """
        self._allowed = tuple(allowed)
        self._resolver = resolver
        self._proxy = None if proxy is None else urlsplit(proxy)

    def dial(self, host: str, port: int, deadline: Deadline) -> tuple[socket.socket, Address]:
        """Return a connection to the first address of ``host`` that is permitted and answers, and that address.

        The deadline guards the connection from its beginning; the caller closes it.

        Raises:
            AttemptError: there is no such address; the text says why for each.
        """
        found = self._resolve(host, port, deadline)
        problems = {address: addresses.problem(address, self._allowed) for address in found}
        permitted = [address for address in found if problems[address] is None]
        if not permitted:
            refused = "; ".join(text for text in problems.values() if text)
            raise AttemptError(Fault.REFUSED_ADDRESS, f"{host} leads to an address that is refused: {refused}")
        errors: list[str] = []
        for address in permitted[:MAX_ADDRESSES]:
            try:
                return self._connect(address, port, deadline), address
            except TimeoutError:
                errors.append(f"{address} port {port} does not answer")
            except OSError as error:
                errors.append(f"{address} port {port}: {error.strerror or error}")
        raise AttemptError(Fault.CONNECT, "; ".join(errors))

    def _connect(self, address: Address, port: int, deadline: Deadline) -> socket.socket:
        if self._proxy is not None:
            return self._connect_by_proxy(address, port, deadline)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(min(CONNECT_S, deadline.remaining_s()))
            connection.connect((str(address), port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(deadline.remaining_s())
            deadline.guard(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_by_proxy(self, address: Address, port: int, deadline: Deadline) -> socket.socket:
        assert self._proxy is not None
        host, proxy_port = self._proxy.hostname or "", self._proxy.port or 3128
        try:
            connection = socket.create_connection((host, proxy_port), min(CONNECT_S, deadline.remaining_s()))
        except OSError as error:
            raise AttemptError(
                Fault.PROXY, f"the proxy {host} port {proxy_port} cannot be reached: {error.strerror or error}"
            ) from None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(deadline.remaining_s())
            deadline.guard(connection)
            connection.sendall(self._connect_request(address, port))
            status = _read_proxy_status(connection)
        except OSError as error:
            connection.close()
            raise AttemptError(Fault.PROXY, f"the proxy {host} broke off: {error.strerror or error}") from None
        if not 200 <= status < 300:
            connection.close()
            raise AttemptError(Fault.PROXY, f"the proxy {host} answered {status} when asked for {address} port {port}")
        return connection

    def _connect_request(self, address: Address, port: int) -> bytes:
        assert self._proxy is not None
        target = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self._proxy.username is not None:
            access = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(access.encode()).decode()}")
        return "\r\n".join([*lines, "", ""]).encode()

    def _resolve(self, host: str, port: int, deadline: Deadline) -> Sequence[Address]:
        # The system's resolver cannot be interrupted; a thread that hangs in it ends by itself later.
        answers: queue.SimpleQueue[Sequence[Address] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolver(host, port))
            except (OSError, ValueError) as error:
                answers.put(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=deadline.remaining_s())
        except queue.Empty:
            raise AttemptError(Fault.DNS, f"the name {host} was not resolved in time") from None
        if isinstance(answer, socket.gaierror):
            raise AttemptError(Fault.DNS, f"the name {host} cannot be resolved: {answer.strerror}")
        if isinstance(answer, Exception) or not answer:
            raise AttemptError(Fault.DNS, f"the name {host} cannot be resolved")
        return answer


def _read_proxy_status(connection: socket.socket) -> int:
    """Return the status of the proxy's answer, read byte by byte: what follows it belongs to the receiver."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte or len(head) >= MAX_PROXY_ANSWER_BYTES:
            raise OSError("its answer is no HTTP")
        head += byte
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1][:3].isdigit():
        raise OSError("its answer is no HTTP")
    return int(words[1][:3])
