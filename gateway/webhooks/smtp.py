"""Hands one e-mail to a mail server: to an address that was checked, over TLS that is verified, before the deadline."""

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from gateway.webhooks.attempt import AttemptError, Fault, Request
from gateway.webhooks.deadline import Deadline
from gateway.webhooks.dialling import Dialler

SUBMISSION_PORT = 587
TLS_PORT = 465

MAX_ANSWER_BYTES = 64 * 1024
"""Of all that the server says, before and after TLS."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's last word."""

    status: int
    text: str
    peer: str


class RefusalError(AttemptError):
    """The server said no; a `Reply` says how."""

    def __init__(self, reply: Reply, text: str) -> None:
        super().__init__(Fault.STATUS, text)
        self.reply = reply


def hand_over(
    request: Request, *, sent_at: datetime, deadline: Deadline, dialler: Dialler, tls: ssl.SSLContext
) -> Reply:
    """Hand the mail over.

    Args:
        request: with a URL ``smtps://host[:port]`` (TLS from the beginning) or ``smtp://host[:port]`` (STARTTLS).
        sent_at: the time that stands in the mail.
        deadline: guards the connection.
        dialler: dials.
        tls: verifies the server.

    Raises:
        RefusalError: the server refused the sender, all recipients, or the mail.
        AttemptError: it was not reached, or offers no TLS.
        OSError: the connection broke.
        smtplib.SMTPException: the server does not speak SMTP.
    """
    assert request.mail is not None
    with _connected(request.url, deadline, dialler, tls) as server:
        try:
            server.ehlo_or_helo_if_needed()
            if not server.is_secured:
                server.starttls(context=tls)
                server.ehlo()
            if request.mail.username:
                server.login(request.mail.username, request.mail.password)
            refused = server.sendmail(request.mail.sender, list(request.mail.recipients), envelope(request, sent_at))
        except smtplib.SMTPNotSupportedError:
            raise AttemptError(Fault.TLS, "the mail server offers no STARTTLS, or no way to log in") from None
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refusal(code, said, server.peer, "all recipients") from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error, server.peer, "the mail") from None
        text = f"not to {', '.join(refused)}" if refused else ""
        return Reply(250, text, server.peer)


def _refusal(code: int, said: bytes | str, peer: str, what: str) -> RefusalError:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return RefusalError(Reply(code, text, peer), f"the mail server refused {what} with {code}")


def envelope(request: Request, sent_at: datetime) -> bytes:
    """Return the frozen mail with what belongs to this endpoint; its id is the same over all attempts."""
    assert request.mail is not None
    domain = request.mail.sender.rpartition("@")[2]
    lines = [
        f"From: {request.mail.sender}",
        f"To: {', '.join(request.mail.recipients)}",
        f"Date: {format_datetime(sent_at)}",
        f"Message-ID: <{request.webhook_id}@{domain}>",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii") + request.body


@contextlib.contextmanager
def _connected(url: str, deadline: Deadline, dialler: Dialler, tls: ssl.SSLContext) -> Iterator["_Server"]:
    parts = urlsplit(url)
    secured = parts.scheme == "smtps"
    server = _Server(deadline, dialler, tls if secured else None)
    try:
        code, said = server.connect(parts.hostname or "", parts.port or (TLS_PORT if secured else SUBMISSION_PORT))
        if code != 220:
            raise _refusal(code, said, server.peer, "the connection")
        yield server
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.quit()
    finally:
        server.close()


class _Server(smtplib.SMTP):
    def __init__(self, deadline: Deadline, dialler: Dialler, tls: ssl.SSLContext | None) -> None:
        super().__init__(local_hostname=socket.gethostname(), timeout=deadline.remaining_s())
        self._deadline = deadline
        self._dialler = dialler
        self._tls = tls
        self._handle: socket.socket | None = None
        self.peer = ""

    @property
    def is_secured(self) -> bool:
        return isinstance(self.sock, ssl.SSLSocket)

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        # Called by the parent; `_host` is what STARTTLS verifies the certificate against.
        self._host = host
        connection, address = self._dialler.dial(host, port, self._deadline)
        self.peer = str(address)
        # A duplicate of the descriptor: TLS takes the socket over under another object.
        self._handle = connection.dup()
        self._deadline.guard(self._handle)
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_hostname=host)
        except BaseException:
            connection.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()

    def close(self) -> None:
        super().close()
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _Bounded:
    """A stream of which only so much is read: a server might never stop talking."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = MAX_ANSWER_BYTES

    def readline(self, limit: int) -> bytes:
        line: bytes = self._stream.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("the mail server does not stop talking")
        return line

    def close(self) -> None:
        self._stream.close()
