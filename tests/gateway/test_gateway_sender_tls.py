"""TLS with an own authority, and the way through a proxy, over real sockets."""

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.broker import certificates
from gateway.broker.certificates import TlsFiles
from gateway.errors import UsageError
from gateway.webhooks import endpoints
from gateway.webhooks.addresses import Address
from gateway.webhooks.attempt import Fault, Request
from gateway.webhooks.sender import Sender
from tests.gateway.support import Receiver, raw_server

LOOPBACK = [ipaddress.ip_network("127.0.0.1/32")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    (tmp_path / "broker").mkdir()
    files = TlsFiles.below(tmp_path, tmp_path / "broker")
    certificates.ensure(files, ["receiver.example"], now=datetime.now(UTC))
    return files


@contextlib.contextmanager
def tls_server(files: TlsFiles) -> Iterator[int]:
    """Answer 200 to every request on every connection; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def talk(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                while secured.recv(65_536):
                    secured.sendall(OK)

        def serve() -> None:
            while not stop.is_set():
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()


def to_loopback(_host: str, _port: int) -> list[Address]:
    return [ipaddress.ip_address("127.0.0.1")]


def request(url: str, authorities: str = "") -> Request:
    return Request(url, "webhook-1", b"{}", authorities=authorities)


def test_an_own_authority_is_trusted_for_its_endpoint_alone(tls: TlsFiles) -> None:
    own = tls.authority.read_text()
    sending = Sender(deadline_s=5, allowed=LOOPBACK, resolver=to_loopback)
    with tls_server(tls) as port:
        url = f"https://receiver.example:{port}/"
        assert sending.send(request(url)).fault is Fault.TLS
        assert [sending.send(request(url, own)).fault for _ in range(2)] == [None, None]
        # A connection that was made for one must not serve the other.
        assert sending.send(request(url)).fault is Fault.TLS
        sending.close()


def test_a_certificate_for_another_name_is_refused_even_from_the_own_authority(tls: TlsFiles) -> None:
    sending = Sender(deadline_s=5, allowed=LOOPBACK, resolver=to_loopback)
    with tls_server(tls) as port:
        outcome = sending.send(request(f"https://other.example:{port}/", tls.authority.read_text()))
    assert outcome.fault is Fault.TLS
    assert "other.example" in outcome.error


def test_only_certificates_are_taken_for_authorities(tls: TlsFiles) -> None:
    endpoints.check_authorities(tls.authority.read_text())
    for bad in ("", "nonsense", tls.authority.read_text()[:200]):
        with pytest.raises(UsageError):
            endpoints.check_authorities(bad)


def test_a_proxy_is_asked_for_the_address_that_was_checked(receiver: Receiver) -> None:
    asked: list[bytes] = []
    port = receiver.url.split(":")[2].split("/")[0]
    with tunnel(asked) as proxy_port:
        sending = Sender(
            deadline_s=5,
            allowed=LOOPBACK,
            resolver=to_loopback,
            proxy=f"http://user:pass%20word@127.0.0.1:{proxy_port}",
        )
        outcome = sending.send(request(f"http://receiver.example:{port}/hook"))
        sending.close()
    assert outcome.fault is None
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=" in asked[0]
    ((headers, _),) = receiver.requests
    assert headers["Host"] == f"receiver.example:{port}"
    assert "Proxy-Authorization" not in headers


def test_behind_a_proxy_addresses_are_refused_as_ever() -> None:
    asked: list[bytes] = []
    with tunnel(asked) as proxy_port:
        sending = Sender(deadline_s=5, proxy=f"http://127.0.0.1:{proxy_port}")
        assert sending.send(request("http://169.254.169.254/")).fault is Fault.REFUSED_ADDRESS
    assert asked == []


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 No\r\n\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200", b"x" * 10_000])
def test_a_proxy_that_refuses_is_its_own_kind_of_fault(answer: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(answer)) as proxy_port:
        sending = Sender(deadline_s=5, allowed=LOOPBACK, proxy=f"http://127.0.0.1:{proxy_port}")
        outcome = sending.send(request("http://127.0.0.1:9/"))
    assert outcome.fault is Fault.PROXY
    assert "proxy" in outcome.error


@contextlib.contextmanager
def tunnel(asked: list[bytes]) -> Iterator[int]:
    """Be a proxy that connects where it is asked to; yield the port."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def talk(client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        asked.append(head)
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        with client, socket.create_connection((host, int(port))) as target:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=carry, args=(target, client))
            back.start()
            carry(client, target)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                connection, _ = listener.accept()
                if stop.is_set():
                    connection.close()
                else:
                    threading.Thread(target=talk, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
