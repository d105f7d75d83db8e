"""Mail, handed to a real server over real sockets."""

import contextlib
import ipaddress
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest

from gateway.broker import certificates
from gateway.broker.certificates import TlsFiles
from gateway.errors import UsageError
from gateway.webhooks import mail_settings, messages
from gateway.webhooks.addresses import Address
from gateway.webhooks.attempt import Fault, MailAccess, Outcome, Request
from gateway.webhooks.sender import Sender
from tests.gateway.support import raw_server
from tests.gateway.test_gateway_messages import new

LOOPBACK = [ipaddress.ip_network("127.0.0.1/32")]
HOST = "mail.example"


class MailServer:
    """Speaks enough SMTP to take mail, and keeps it."""

    def __init__(self, files: TlsFiles, *, tls_first: bool) -> None:
        self.mails: list[bytes] = []
        self.recipients: list[str] = []
        self.logins: list[str] = []
        self.answers: dict[str, str] = {}
        self.offers_starttls = True
        self._tls_first = tls_first
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.server, files.server_key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stop.is_set():
                connection.close()
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls_first:
                connection = self._context.wrap_socket(connection, server_side=True)
            secured = self._tls_first
            stream = connection.makefile("rwb")

            def say(line: str) -> None:
                stream.write(f"{line}\r\n".encode())
                stream.flush()

            say("220 ready")
            while line := stream.readline().decode().strip():
                verb = line.split(" ")[0].upper()
                if verb == "EHLO":
                    more = "250-AUTH PLAIN" if secured else "250-STARTTLS" if self.offers_starttls else "250-HELP"
                    say(f"250-hello\r\n{more}\r\n250 8BITMIME")
                elif verb == "STARTTLS":
                    say("220 go")
                    connection = self._context.wrap_socket(connection, server_side=True)
                    stream, secured = connection.makefile("rwb"), True
                elif verb in self.answers:
                    say(self.answers[verb])
                elif verb == "AUTH":
                    self.logins.append(line)
                    say("235 welcome")
                elif verb == "DATA":
                    say("354 go")
                    lines = iter(stream.readline, b".\r\n")
                    self.mails.append(b"".join(part.removeprefix(b".") for part in lines))
                    say(self.answers.get("END", "250 kept"))
                else:
                    if verb == "RCPT":
                        self.recipients.append(line)
                    say("221 bye" if verb == "QUIT" else "250 ok")
            connection.close()


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    (tmp_path / "broker").mkdir()
    files = TlsFiles.below(tmp_path, tmp_path / "broker")
    certificates.ensure(files, [HOST], now=datetime.now(UTC))
    return files


@pytest.fixture(params=["smtps", "smtp"])
def scheme(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def server(tls: TlsFiles, scheme: str) -> Iterator[MailServer]:
    made = MailServer(tls, tls_first=scheme == "smtps")
    yield made
    made.close()


def to_loopback(_host: str, _port: int) -> list[Address]:
    return [ipaddress.ip_address("127.0.0.1")]


Send = Callable[..., Outcome]


@pytest.fixture
def send(server: MailServer, scheme: str, tls: TlsFiles) -> Send:
    def act(*, username: str = "", password: str = "", host: str = HOST, trusted: bool = True) -> Outcome:
        return Sender(deadline_s=5, allowed=LOOPBACK, resolver=to_loopback).send(
            Request(
                f"{scheme}://{host}:{server.port}",
                "webhook-1",
                messages.mail(new(transcript="wörds\n.\nmore")),
                authorities=tls.authority.read_text() if trusted else "",
                mail=MailAccess("kiosk@shop.example", ("a@example.org", "b@example.org"), username, password),
            )
        )

    return act


def test_a_mail_is_handed_over_with_what_belongs_to_the_endpoint(server: MailServer, send: Send) -> None:
    outcome = send()
    assert (outcome.status, outcome.fault, outcome.peer) == (250, None, "127.0.0.1")
    (data,) = server.mails
    message = message_from_bytes(data, policy=SMTP)
    assert (message["From"], message["To"]) == ("kiosk@shop.example", "a@example.org, b@example.org")
    assert message["Message-ID"] == "<webhook-1@shop.example>"
    assert message["Subject"] == "New feedback: negative, feature request"
    assert message["Date"]
    assert "wörds\n.\nmore" in message.get_content().replace("\r\n", "\n")
    assert server.logins == []


def test_a_password_is_given_only_after_tls(server: MailServer, send: Send) -> None:
    assert send(username="me", password="mine").fault is None
    assert len(server.logins) == 1


def test_without_starttls_nothing_is_sent(tls: TlsFiles) -> None:
    server = MailServer(tls, tls_first=False)
    server.offers_starttls = False
    mail = MailAccess("a@b.example", ("c@d.example",), "me", "mine")
    request = Request(f"smtp://{HOST}:{server.port}", "webhook-1", b"\r\n", mail=mail)
    outcome = Sender(deadline_s=5, allowed=LOOPBACK, resolver=to_loopback).send(request)
    server.close()
    assert outcome.fault is Fault.TLS
    assert (server.logins, server.mails) == ([], [])


def test_a_certificate_that_is_not_trusted_or_for_another_name_is_refused(server: MailServer, send: Send) -> None:
    assert send(trusted=False).fault is Fault.TLS
    assert send(host="other.example").fault is Fault.TLS
    assert server.mails == []


@pytest.mark.parametrize(
    ("verb", "answer", "status"),
    [
        ("MAIL", "550 no such sender", 550),
        ("RCPT", "450 try later", 450),
        ("DATA", "554 no", 554),
        ("END", "552 full", 552),
        ("AUTH", "535 wrong", 535),
    ],
)
def test_a_refusal_is_a_failure_with_the_servers_code_and_words(
    server: MailServer, send: Send, verb: str, answer: str, status: int
) -> None:
    server.answers[verb] = answer
    outcome = send(username="me", password="mine")
    assert (outcome.status, outcome.fault) == (status, Fault.STATUS)
    assert outcome.is_answer
    assert outcome.answer == answer.partition(" ")[2]
    assert "mine" not in outcome.error


def test_the_address_of_a_mail_server_is_checked_like_any_other() -> None:
    mail = MailAccess("a@b.example", ("c@d.example",))
    outcome = Sender(deadline_s=5, resolver=to_loopback).send(Request("smtps://x.example", "w", b"", mail=mail))
    assert outcome.fault is Fault.REFUSED_ADDRESS


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"220-")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def _flood(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"220-still talking\r\n" * 1_000)


@pytest.mark.parametrize("talk", [_drip, _flood])
def test_a_mail_server_that_does_not_stop_talking_is_left(talk: Callable[[socket.socket], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        mail = MailAccess("a@b.example", ("c@d.example",))
        request = Request(f"smtp://127.0.0.1:{listener.getsockname()[1]}", "w", b"", mail=mail)
        outcome = Sender(deadline_s=0.5, allowed=LOOPBACK).send(request)
        thread.join()
    assert outcome.fault in {Fault.TIMEOUT, Fault.PROTOCOL}
    assert not outcome.is_answer
    assert outcome.duration_ms < 2_000


def test_what_is_no_mail_server_is_a_failure() -> None:
    with raw_server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        mail = MailAccess("a@b.example", ("c@d.example",))
        sending = Sender(deadline_s=1, allowed=LOOPBACK)
        assert sending.send(Request(f"smtp://127.0.0.1:{port}", "w", b"", mail=mail)).fault is not None


@pytest.mark.parametrize(
    "address", ["", "a", "a@", "@b", "a b@c.example", "a@b.example\r\nBcc: c@d.example", "ü@b.example"]
)
def test_what_is_no_address_cannot_be_saved(address: str) -> None:
    with pytest.raises(UsageError):
        mail_settings.check(MailAccess(address, ("a@b.example",)))
    with pytest.raises(UsageError):
        mail_settings.check(MailAccess("a@b.example", (address,)))


def test_the_password_does_not_show() -> None:
    assert "mine" not in repr(MailAccess("a@b.example", ("c@d.example",), "me", "mine"))
    assert smtplib.SMTP.debuglevel == 0
