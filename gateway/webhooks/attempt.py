"""What one attempt is given, and what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Form(StrEnum):
    """In which form an endpoint gets what happens."""

    WEBHOOK = "webhook"
    """The Voiseback format, signed where there is a secret."""
    SLACK = "slack"
    """A formatted message for an incoming webhook of Slack, or of what understands the same."""
    MAIL = "mail"
    """An e-mail by SMTP."""


class Fault(StrEnum):
    """Why an attempt failed."""

    DNS = "dns"
    REFUSED_ADDRESS = "refused_address"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    STATUS = "status"
    SECRET = "secret"  # noqa: S105 (a kind of fault)


class AttemptError(Exception):
    """Why an attempt failed; not an ``OSError``, so that no layer between wraps or repeats it."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class MailAccess:
    """How mail is handed to a server."""

    sender: str
    recipients: tuple[str, ...]
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent, and where."""

    url: str
    webhook_id: str
    body: bytes
    secrets: Sequence[str] = ()
    """The receiver's own one last."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The operator's own, beside those of the contract."""
    authorities: str = ""
    """Certificates (PEM) that alone are trusted to sign the receiver's; empty trusts the public ones."""
    mail: MailAccess | None = None
    problem: str | None = None
    """Why it cannot be sent at all, known before."""

    def __repr__(self) -> str:
        """Leave the secrets, the body and the URL, which may carry a token, out."""
        return f"Request({self.webhook_id})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt."""

    started_at: datetime
    duration_ms: int
    status: int | None
    fault: Fault | None
    error: str
    answer: str = ""
    retry_after_s: float | None = None
    peer: str = ""
    """The address that was dialled; empty if none was."""

    @property
    def is_answer(self) -> bool:
        """Whether ``status`` is what the receiver said in time, rather than what was read before something broke."""
        return self.fault in {None, Fault.STATUS, Fault.REDIRECT}
