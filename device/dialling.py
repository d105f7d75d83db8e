"""A TLS connection to a name within a bounded time, even where the resolver hangs."""

import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

LOOKUP_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
"""For each address of the name."""
HANDSHAKE_TIMEOUT_S = 5.0

_AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


@dataclass(slots=True)
class _Lookup:
    """One question to the resolver."""

    done: threading.Event = field(default_factory=threading.Event)
    found: Sequence[_AddressInfo] = ()
    problem: OSError | None = None


class Resolver:
    """Looks names up in a thread that may hang: the system's resolver takes no deadline and cannot be interrupted.

    Who asks for a name again while there is no answer waits for the same one, so a hanging resolver costs one thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, int], _Lookup] = {}

    def addresses(self, host: str, port: int, timeout_s: float) -> Sequence[_AddressInfo]:
        """Return the addresses of ``host``.

        Raises:
            OSError: there is no such name, or no answer within ``timeout_s``.
        """
        with self._lock:
            lookup = self._under_way.get((host, port))
            if lookup is None:
                lookup = self._under_way[host, port] = _Lookup()
                threading.Thread(target=self._look_up, args=(host, port, lookup), name="resolver", daemon=True).start()
        if not lookup.done.wait(timeout_s):
            raise TimeoutError(f"the name {host} has not been looked up within {timeout_s:.0f} s; check the DNS server")
        if lookup.problem is not None:
            raise OSError(f"the name {host} cannot be looked up: {lookup.problem.strerror or lookup.problem}")
        return lookup.found

    def _look_up(self, host: str, port: int, lookup: _Lookup) -> None:
        try:
            lookup.found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            lookup.problem = error
        except UnicodeError as error:
            lookup.problem = OSError(str(error))
        finally:
            with self._lock:
                del self._under_way[host, port]
            lookup.done.set()


_RESOLVER = Resolver()
"""One for the process, as the system's resolver is."""


def dial(
    host: str,
    port: int,
    context: ssl.SSLContext,
    *,
    lookup_timeout_s: float = LOOKUP_TIMEOUT_S,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
    resolver: Resolver = _RESOLVER,
) -> ssl.SSLSocket:
    """Return a socket that is connected to ``host``, whose certificate ``context`` has believed.

    Raises:
        OSError: there is no such name, none of its addresses answers, or the certificate is not to be believed.
    """
    plain = _connected(resolver.addresses(host, port, lookup_timeout_s), connect_timeout_s)
    try:
        secured = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        plain.close()
        raise
    try:
        secured.settimeout(handshake_timeout_s)
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured


def _connected(addresses: Sequence[_AddressInfo], timeout_s: float) -> socket.socket:
    """Return a connection to the first address that answers; raise what the last one did if none does."""
    problem = OSError("the name has no address")
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise problem
