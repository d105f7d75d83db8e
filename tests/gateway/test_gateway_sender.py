"""One attempt, over real sockets."""

import gzip
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract import signature
from gateway.broker import certificates
from gateway.broker.certificates import TlsFiles
from gateway.webhooks import diagnosis
from gateway.webhooks.access import Access
from gateway.webhooks.addresses import Address
from gateway.webhooks.attempt import Fault, Form, Outcome, Request
from gateway.webhooks.dialling import resolve
from gateway.webhooks.sender import MAX_ANSWER_BYTES, Sender, parse_retry_after
from tests.gateway.support import NOW, Receiver, raw_server, wait_until

LOOPBACK = [ipaddress.ip_network("127.0.0.1/32")]
BODY = '{"event":"feedback.new","feedback":{"transcript":"schön\u2028"}}'.encode()
SECRET = "a secret that is long"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


def sender(
    deadline_s: float = 5.0, resolver: Callable[[str, int], Sequence[Address]] | None = None, allowed: bool = True
) -> Sender:
    return Sender(deadline_s=deadline_s, allowed=LOOPBACK if allowed else [], resolver=resolver or resolve)


def request(url: str, *secrets: str) -> Request:
    return Request(url, "webhook-1", BODY, secrets)


def post(port: int, *, deadline_s: float = 5.0) -> Outcome:
    return sender(deadline_s).send(request(f"http://127.0.0.1:{port}/hook"))


def test_the_frozen_bytes_arrive_with_the_headers_of_the_contract(receiver: Receiver) -> None:
    outcome = sender().send(request(receiver.url, SECRET))
    assert (outcome.status, outcome.fault, outcome.answer) == (200, None, "ok")
    ((headers, body),) = receiver.requests
    assert body == BODY
    assert headers["Content-Type"] == "application/json"
    assert headers["Webhook-Id"] == "webhook-1"
    assert abs(int(headers["Webhook-Timestamp"]) - time.time()) < 5
    assert headers["Accept-Encoding"] == "identity"
    signed_s = signature.verify(body, headers["Webhook-Signature"], SECRET, now_s=time.time())
    assert str(signed_s) == headers["Webhook-Timestamp"]
    assert headers["Host"] == f"127.0.0.1:{receiver.url.split(':')[2].split('/')[0]}"


def test_without_a_secret_there_is_no_signature_header(receiver: Receiver) -> None:
    sender().send(request(receiver.url))
    ((headers, _),) = receiver.requests
    assert "Webhook-Signature" not in headers
    assert "Webhook-Timestamp" in headers


def test_nothing_of_the_environment_is_sent_or_obeyed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert sender().send(request(receiver.url)).fault is None
    ((headers, _),) = receiver.requests
    assert "Authorization" not in headers


def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [(302, {"Location": receiver.url})]
    outcome = sender().send(request(receiver.url))
    assert (outcome.status, outcome.fault) == (302, Fault.REDIRECT)
    assert len(receiver.requests) == 1


def test_a_status_other_than_2xx_is_a_failure_with_the_wait_that_is_asked_for(receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "120"})]
    outcome = sender().send(request(receiver.url))
    assert (outcome.status, outcome.fault, outcome.retry_after_s) == (503, Fault.STATUS, 120.0)
    assert outcome.is_answer


def _drip(parts: Iterator[bytes]) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)

    return talk


def _endless_header() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-A: b\r\n"


def _endless_body() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    while True:
        yield b"."


def _slow_status() -> Iterator[bytes]:
    for byte in b"HTTP/1.1 200 OK\r\n" * 100:
        yield bytes([byte])


@pytest.mark.parametrize("drip", [_endless_header, _endless_body, _slow_status])
def test_a_receiver_that_drips_is_cut_at_the_deadline_and_has_failed_whatever_it_said(
    drip: Callable[[], Iterator[bytes]],
) -> None:
    with raw_server(_drip(drip())) as port:
        begin = time.monotonic()
        outcome = post(port, deadline_s=0.5)
        took_s = time.monotonic() - begin
    assert outcome.fault is Fault.TIMEOUT
    assert not outcome.is_answer
    assert 0.4 < took_s < 2.0


def test_a_receiver_that_says_nothing_is_left_at_the_deadline() -> None:
    quiet = threading.Event()
    with raw_server(lambda _connection: quiet.wait(10)) as port:
        outcome = post(port, deadline_s=0.4)
        quiet.set()
    assert outcome.fault is Fault.TIMEOUT
    assert outcome.duration_ms < 2_000


def test_a_name_that_is_not_resolved_in_time_is_left_at_the_deadline() -> None:
    release = threading.Event()

    def hang(_host: str, _port: int) -> list[Address]:
        release.wait(10)
        return []

    outcome = sender(0.3, hang).send(request("http://receiver.example/"))
    release.set()
    assert outcome.fault in {Fault.DNS, Fault.TIMEOUT}
    assert outcome.duration_ms < 2_000


def _flood(head: bytes, sent: list[int]) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(2_000):
            connection.sendall(b"x" * 65_536)
            sent.append(65_536)

    return talk


def test_of_a_huge_answer_that_tells_its_length_only_the_beginning_is_read() -> None:
    sent: list[int] = []
    with raw_server(_flood(b"HTTP/1.1 200 OK\r\nContent-Length: 131072000\r\n\r\n", sent)) as port:
        outcome = post(port)
    assert (outcome.status, outcome.fault) == (200, None)
    assert len(outcome.answer) == 500
    assert sum(sent) < 2_000 * 65_536
    assert MAX_ANSWER_BYTES == 8_192


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d00000\r\n",
    ],
)
def test_an_endless_answer_is_a_failure_whatever_its_status(head: bytes) -> None:
    sent: list[int] = []
    with raw_server(_flood(head, sent)) as port:
        outcome = post(port)
    assert (outcome.status, outcome.fault) == (200, Fault.PROTOCOL)
    assert not outcome.is_answer
    assert sum(sent) < 2_000 * 65_536


def test_a_compressed_bomb_is_a_failure_and_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50_000_000))[:8_000]

    def talk(connection: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        connection.sendall(head.encode() + bomb)

    with raw_server(talk) as port:
        outcome = post(port)
    assert (outcome.status, outcome.fault) == (200, Fault.PROTOCOL)
    assert len(outcome.answer) <= 500


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/pl",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ],
)
def test_an_answer_that_ends_in_the_middle_is_a_failure_whatever_its_status(part: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    with raw_server(talk) as port:
        outcome = post(port)
    assert outcome.fault is Fault.PROTOCOL
    assert not outcome.is_answer
    assert outcome.duration_ms < 2_000


def test_a_connection_is_kept_and_used_again(receiver: Receiver) -> None:
    sending = sender()
    outcomes = [sending.send(request(receiver.url)) for _ in range(3)]
    assert [each.fault for each in outcomes] == [None] * 3
    assert {each.peer for each in outcomes} == {"127.0.0.1"}
    assert receiver.connections == 1
    sending.close()


def test_a_kept_connection_that_the_receiver_closed_is_replaced_without_a_failure() -> None:
    connections: list[int] = []

    def talk(connection: socket.socket) -> None:
        connections.append(1)
        connection.sendall(OK)
        if len(connections) == 1:
            # Takes the second request, and is gone without a word.
            connection.recv(65_536)
            return
        while connection.recv(65_536):
            connection.sendall(OK)

    sending = sender()
    with raw_server(talk) as port:
        target = request(f"http://127.0.0.1:{port}/")
        assert [sending.send(target).fault for _ in range(3)] == [None] * 3
        sending.close()
    assert len(connections) == 2


def test_a_new_connection_that_is_closed_without_an_answer_is_a_failure_at_once() -> None:
    connections: list[int] = []
    with raw_server(lambda _connection: connections.append(1)) as port:
        assert post(port).fault is Fault.PROTOCOL
    assert len(connections) == 1


def test_what_a_receiver_sends_unasked_is_not_taken_for_the_next_answer() -> None:
    answers = [OK + OK, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]
    sending = sender()
    with raw_server(lambda connection: connection.sendall(answers.pop(0))) as port:
        target = request(f"http://127.0.0.1:{port}/")
        first, second = sending.send(target), sending.send(target)
        sending.close()
    assert (first.status, second.status) == (200, 500)


def test_the_address_is_checked_again_for_each_new_connection() -> None:
    answers = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("10.0.0.1")]
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[Address]:
        asked.append(host)
        return [answers[min(len(asked), 2) - 1]]

    sending = sender(resolver=rebinding)
    with raw_server(lambda connection: connection.sendall(CLOSING)) as port:
        target = request(f"http://receiver.example:{port}/")
        first, second = sending.send(target), sending.send(target)
    assert (first.fault, second.fault) == (None, Fault.REFUSED_ADDRESS)
    assert len(asked) == 2


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
def test_what_is_no_http_answer_is_a_failure(answer: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(answer)

    with raw_server(talk) as port:
        outcome = post(port)
    assert outcome.fault is Fault.PROTOCOL
    assert outcome.error


def test_an_answer_is_kept_as_plain_text_only() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 12\r\n\r\nA\x00\x1b[31m\xff\xfe<b>")

    with raw_server(talk) as port:
        assert post(port).answer == "A[31m\ufffd\ufffd<b>"


def test_a_port_where_nobody_listens_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = post(unused.getsockname()[1])
    assert outcome.fault is Fault.CONNECT
    assert "refused" in outcome.error


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "0"]
)
def test_a_loopback_address_is_refused_however_it_is_written(host: str, receiver: Receiver) -> None:
    port = receiver.url.split(":")[2]
    outcome = sender(allowed=False).send(request(f"http://{host}:{port}"))
    assert outcome.fault is Fault.REFUSED_ADDRESS, outcome
    assert receiver.requests == []


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "192.168.1.1", "fd00::1", "64:ff9b::a9fe:a9fe"])
def test_a_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    outcome = sender(resolver=lambda _host, _port: [ipaddress.ip_address(address)]).send(request("http://a.example/"))
    assert outcome.fault is Fault.REFUSED_ADDRESS
    assert address in outcome.error


def test_a_name_is_resolved_once_so_that_it_cannot_change_between_check_and_dialling(receiver: Receiver) -> None:
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[Address]:
        asked.append(host)
        return [ipaddress.ip_address("127.0.0.1" if len(asked) == 1 else "10.0.0.1")]

    port = receiver.url.split(":")[2]
    outcome = sender(resolver=rebinding).send(request(f"http://receiver.example:{port}"))
    assert outcome.fault is None
    assert asked == ["receiver.example"]
    assert receiver.requests[0][0]["Host"] == f"receiver.example:{port.split('/')[0]}"


def test_of_several_addresses_only_permitted_ones_are_dialled(receiver: Receiver) -> None:
    both = [ipaddress.ip_address("10.255.255.1"), ipaddress.ip_address("127.0.0.1")]
    port = receiver.url.split(":")[2]
    begin = time.monotonic()
    assert sender(resolver=lambda _host, _port: both).send(request(f"http://a.example:{port}")).fault is None
    assert time.monotonic() - begin < 2


def test_an_address_that_does_not_answer_is_followed_by_the_next(receiver: Receiver) -> None:
    port = int(receiver.url.split(":")[2].split("/")[0])
    networks = [ipaddress.ip_network("127.0.0.0/8")]
    both = [ipaddress.ip_address("127.0.0.9"), ipaddress.ip_address("127.0.0.1")]
    sending = Sender(deadline_s=5, allowed=networks, resolver=lambda _host, _port: both)
    assert sending.send(request(f"http://a.example:{port}/")).fault is None


def test_a_name_that_does_not_exist_is_said() -> None:
    def unknown(_host: str, _port: int) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    outcome = sender(resolver=unknown).send(request("http://nowhere.example/"))
    assert outcome.fault is Fault.DNS
    assert "nowhere.example" in outcome.error


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """A TLS server whose certificate no public authority has signed."""
    (tmp_path / "broker").mkdir()
    files = TlsFiles.below(tmp_path, tmp_path / "broker")
    certificates.ensure(files, ["127.0.0.1"], now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                connection, _ = listener.accept()
                try:
                    with context.wrap_socket(connection, server_side=True):
                        pass
                except (ssl.SSLError, OSError):
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()


def test_a_certificate_that_is_not_trusted_is_a_failure(tls_port: int) -> None:
    outcome = sender().send(request(f"https://127.0.0.1:{tls_port}/?token=hidden"))
    assert outcome.fault is Fault.TLS
    assert "certificate" in outcome.error.lower()
    assert "hidden" not in outcome.error


def test_a_tls_handshake_that_hangs_is_cut_at_the_deadline() -> None:
    hang = threading.Event()
    with raw_server(lambda _connection: hang.wait(10)) as port:
        outcome = sender(0.4).send(request(f"https://127.0.0.1:{port}/"))
        hang.set()
    assert outcome.fault is Fault.TIMEOUT
    assert outcome.duration_ms < 2_000


def test_an_attempt_that_cannot_be_signed_is_not_made(receiver: Receiver) -> None:
    outcome = sender().send(Request(receiver.url, "webhook-1", BODY, (), problem="no key"))
    assert (outcome.fault, outcome.error) == (Fault.SECRET, "no key")
    assert receiver.requests == []


def test_attempts_under_way_can_be_aborted() -> None:
    hang = threading.Event()
    sending = sender(30)
    outcomes: list[Outcome] = []
    begun = threading.Event()

    def talk(_connection: socket.socket) -> None:
        begun.set()
        hang.wait(10)

    with raw_server(talk) as port:
        target = request(f"http://127.0.0.1:{port}/")
        thread = threading.Thread(target=lambda: outcomes.append(sending.send(target)))
        thread.start()
        assert begun.wait(5)
        sending.abort()
        thread.join(5)
        hang.set()
    assert outcomes[0].fault is Fault.TIMEOUT


def test_no_connection_or_thread_is_left_behind(receiver: Receiver) -> None:
    before = threading.active_count()
    for _ in range(5):
        sender().send(request(receiver.url))
    wait_until(lambda: threading.active_count() <= before + 1)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 50, 999_999_999.0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 99 Mar 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, wait_s: float | None) -> None:
    assert parse_retry_after(value, NOW) == wait_s


def test_secrets_and_bodies_do_not_show_in_a_request() -> None:
    shown = repr(request("https://example.org/token", SECRET))
    assert SECRET not in shown
    assert "token" not in shown


def test_the_test_event_has_every_field_and_can_be_signed(receiver: Receiver) -> None:
    made = diagnosis.test_request(Access(receiver.url, (SECRET,)), Form.WEBHOOK, page_url="https://gw/k/test", now=NOW)
    outcome = sender().send(made)
    assert "signed" in diagnosis.explain(outcome, signed=True)[0]
    feedback = json.loads(receiver.requests[0][1])["feedback"]
    assert len(feedback) == 10
    assert None not in feedback.values()


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.STATUS])
def test_every_fault_is_explained(fault: Fault) -> None:
    lines = diagnosis.explain(Outcome(NOW, 1, None, fault, "it failed"), signed=True)
    assert lines[0].endswith("it failed")
    assert lines[1].startswith("what to do: ")


@pytest.mark.parametrize(("status", "word"), [(401, "raw body"), (413, "100,000"), (500, "200 to 299")])
def test_a_refusing_status_is_explained(status: int, word: str) -> None:
    outcome = Outcome(NOW, 1, status, Fault.STATUS, f"the receiver answered {status}", answer="no\nway")
    text = "\n".join(diagnosis.explain(outcome, signed=True))
    assert word in text
    assert "no way" in text


def test_a_date_to_retry_after_without_zone_is_taken_as_utc() -> None:
    moment = (NOW + timedelta(seconds=60)).strftime("%a, %d %b %Y %H:%M:%S -0000")
    assert parse_retry_after(moment, NOW) == 60.0
