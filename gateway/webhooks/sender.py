"""Makes one attempt: signs, posts the frozen bytes or hands them over as a mail, reads a little of the answer.

All of it happens before one deadline.
"""

import email.utils
import http.client
import logging
import smtplib
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Self
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from contract import signature, text
from contract.webhook import CONTENT_TYPE
from gateway.configuration import WebhookSettings
from gateway.webhooks import smtp
from gateway.webhooks.addresses import Network
from gateway.webhooks.attempt import AttemptError, Fault, Outcome, Request
from gateway.webhooks.deadline import Deadline, Watch
from gateway.webhooks.dialling import Dialler, Resolver, resolve
from gateway.webhooks.line import Line
from gateway.webhooks.models import MAX_ANSWER_CHARS, MAX_ERROR_CHARS

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 8 * 1024
USER_AGENT = "voiseback-kiosk-gateway"

IDLE_S = 5.0
"""How long an unused connection is kept; ordinary servers keep theirs as long or longer."""

MAX_AGE_S = 60.0
"""After that a receiver's name is resolved and its address checked anew, even under steady traffic."""


@dataclass(slots=True)
class _Answer:
    """What the receiver said, as far as it has said it."""

    status: int | None = None
    text: str = ""
    retry_after: str | None = None
    peer: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where lines lead that may be used for one another."""

    scheme: str
    host: str
    port: int | None
    authorities: str = field(repr=False)


class Sender:
    """Sends webhooks; safe to share between threads."""

    def __init__(
        self,
        *,
        deadline_s: float,
        allowed: Sequence[Network] = (),
        resolver: Resolver = resolve,
        proxy: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Make one.

        Args:
            deadline_s: from the name's resolution to the answer's last byte.
            allowed: networks that are not public and may be sent to nevertheless.
            resolver: gives the addresses of a name.
            proxy: ``http://host:port``, if webhooks go out through one.
            clock: tells the time that is signed.
        """
        self._deadline_s = deadline_s
        self._dialler = Dialler(allowed, resolver, proxy)
        self._clock = clock
        self._watch = Watch()
        self._lock = threading.Lock()
        self._idle: dict[_Place, list[Line]] = {}

    @classmethod
    def by_settings(cls, settings: WebhookSettings) -> Self:
        """Return one as the operator has set it."""
        return cls(deadline_s=settings.deadline_s, allowed=settings.networks(), proxy=settings.proxy or None)

    def send(self, request: Request) -> Outcome:
        """Make one attempt; whatever happens is in the outcome."""
        started_at = self._clock()
        begin_s = time.monotonic()
        answer = _Answer()
        fault: Fault | None = None
        error = ""
        with self._watch.begin(self._deadline_s) as deadline:
            try:
                if request.problem is not None:
                    fault, error = Fault.SECRET, request.problem
                elif request.mail is not None:
                    self._hand_over(request, deadline, started_at, answer)
                else:
                    self._post(request, deadline, int(started_at.timestamp()), answer)
                    fault, error = _judge_status(answer.status or 0)
            except Exception as raised:  # noqa: BLE001 (an attempt ends in an outcome, never in a dead thread)
                fault, error = explain(raised)
        if deadline.fired and fault is not Fault.REFUSED_ADDRESS:
            fault, error = Fault.TIMEOUT, f"no complete answer within {self._deadline_s:g} s"
        return Outcome(
            started_at=started_at,
            duration_ms=round((time.monotonic() - begin_s) * 1_000),
            status=answer.status,
            fault=fault,
            error=error[:MAX_ERROR_CHARS],
            answer=answer.text,
            retry_after_s=parse_retry_after(answer.retry_after, self._clock()),
            peer=answer.peer,
        )

    def abort(self) -> None:
        """Cut every attempt that is under way; each counts as failed by its deadline."""
        self._watch.fire_all()

    def sweep(self) -> None:
        """Close connections that have not been used for a while; to be called about once a second."""
        now_s = time.monotonic()
        with self._lock:
            old = [line for lines in self._idle.values() for line in lines if not _is_good(line, now_s)]
            kept = {place: [line for line in lines if _is_good(line, now_s)] for place, lines in self._idle.items()}
            self._idle = {place: lines for place, lines in kept.items() if lines}
        for line in old:
            line.close()

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            lines = [line for lines in self._idle.values() for line in lines]
            self._idle = {}
        for line in lines:
            line.close()

    def _post(self, request: Request, deadline: Deadline, timestamp_s: int, answer: _Answer) -> None:
        prepared = requests.PreparedRequest()
        prepared.prepare_method("POST")
        prepared.prepare_url(request.url, None)
        prepared.prepare_headers(make_headers(request, timestamp_s))
        prepared.prepare_body(request.body, None)
        parts = urlsplit(request.url)
        place = _Place(parts.scheme, parts.hostname or "", parts.port, request.authorities)
        while True:
            line = self._take(place)
            try:
                whole = _exchange(line, prepared, deadline, answer)
            except Exception as raised:
                line.close()
                if line.is_fresh or deadline.fired or answer.status is not None or not _is_stale(raised):
                    raise
                # The receiver had closed the kept connection; once, because the next line is a new one.
                self._drop(place)
                continue
            if whole:
                self._put(place, line)
            else:
                line.close()
            return

    def _hand_over(self, request: Request, deadline: Deadline, sent_at: datetime, answer: _Answer) -> None:
        try:
            reply = smtp.hand_over(
                request,
                sent_at=sent_at,
                deadline=deadline,
                dialler=self._dialler,
                tls=tls_context(request.authorities),
            )
        except smtp.RefusalError as refusal:
            _note(refusal.reply, answer)
            raise
        _note(reply, answer)

    def _take(self, place: _Place) -> Line:
        now_s = time.monotonic()
        with self._lock:
            lines = self._idle.get(place, [])
            while lines:
                line = lines.pop()
                if _is_good(line, now_s):
                    return line
                line.close()
        # Loading the authorities takes longer than a hundred requests.
        return Line(self._dialler, tls_context(place.authorities) if place.scheme == "https" else None)

    def _put(self, place: _Place, line: Line) -> None:
        line.used_s = time.monotonic()
        with self._lock:
            self._idle.setdefault(place, []).append(line)

    def _drop(self, place: _Place) -> None:
        with self._lock:
            lines = self._idle.pop(place, [])
        for line in lines:
            line.close()


def _note(reply: smtp.Reply, answer: _Answer) -> None:
    answer.status, answer.text, answer.peer = reply.status, _readable(reply.text.encode()), reply.peer


def _is_good(line: Line, now_s: float) -> bool:
    return now_s - line.used_s < IDLE_S and now_s - line.dialled_s < MAX_AGE_S


def _is_stale(raised: Exception) -> bool:
    return isinstance(_innermost(raised), http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError)


def _exchange(line: Line, prepared: requests.PreparedRequest, deadline: Deadline, answer: _Answer) -> bool:
    """Post and read the answer; tell whether the connection may be used again.

    Raises:
        AttemptError: the answer is one that cannot be believed.
        requests.RequestException: it did not come, or not to its end.
    """
    try:
        response = line.post(prepared, deadline)
    finally:
        answer.peer = line.peer
    answer.status = response.status_code
    answer.retry_after = response.headers.get("Retry-After")
    start, is_whole = _read(response)
    answer.text = _readable(start)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise AttemptError(
            Fault.PROTOCOL,
            f"the answer ({answer.status}) is compressed, though it was asked not to be",
        )
    keeps = response.headers.get("Connection", "").strip().lower() != "close"
    return is_whole and keeps


def _read(response: requests.Response) -> tuple[bytes, bool]:
    """Return the answer's beginning, and whether that was all of it.

    Raises:
        AttemptError: it has no end that is in sight.
        urllib3.exceptions.HTTPError: it ended too early.
    """
    raw = response.raw
    start = b""
    while len(start) < MAX_ANSWER_BYTES:
        more: bytes = raw.read(MAX_ANSWER_BYTES - len(start), decode_content=False)
        if not more:
            return start, True
        start += more
    if response.headers.get("Content-Length") is None:
        raise AttemptError(
            Fault.PROTOCOL,
            f"the answer ({response.status_code}) tells no length and has not ended after {MAX_ANSWER_BYTES} bytes",
        )
    return start, False


@lru_cache(maxsize=64)
def tls_context(authorities: str) -> ssl.SSLContext:
    """Return a context that verifies certificate and name, by the public authorities or by these (PEM) alone."""
    if authorities:
        return ssl.create_default_context(cadata=authorities)
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def make_headers(request: Request, timestamp_s: int) -> dict[str, str]:
    """Return the headers of one attempt; the timestamp and so the signature differ from attempt to attempt."""
    headers = {
        **request.headers,
        "Content-Type": CONTENT_TYPE,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        signature.ID_HEADER: request.webhook_id,
        signature.TIMESTAMP_HEADER: str(timestamp_s),
    }
    if request.secrets:
        headers[signature.SIGNATURE_HEADER] = signature.sign(request.body, timestamp_s, request.secrets)
    return headers


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the wait in seconds that ``Retry-After`` asks for, as seconds or as a date; None if it says nothing."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def _judge_status(status: int) -> tuple[Fault | None, str]:
    if 200 <= status < 300:
        return None, ""
    if 300 <= status < 400:
        return Fault.REDIRECT, f"the receiver answered {status}; redirects are not followed: enter the final URL"
    return Fault.STATUS, f"the receiver answered {status}"


def explain(raised: Exception) -> tuple[Fault, str]:
    """Return what kind of failure ``raised`` is, and a sentence that holds no URL, which may carry a token."""
    if isinstance(raised, AttemptError):
        return raised.fault, str(raised)
    inner = _innermost(raised)
    detail = _readable(f"{type(inner).__name__}: {inner}".encode("utf-8", "replace"))[:300]
    if isinstance(raised, requests.exceptions.SSLError | urllib3.exceptions.SSLError | ssl.SSLError):
        return Fault.TLS, f"TLS failed: {detail}"
    if isinstance(raised, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return Fault.TIMEOUT, "the receiver did not answer in time"
    if isinstance(raised, smtplib.SMTPException):
        return Fault.PROTOCOL, f"the connection broke or the answer is no SMTP: {detail}"
    if isinstance(raised, requests.exceptions.RequestException | urllib3.exceptions.HTTPError | OSError):
        return Fault.PROTOCOL, f"the connection broke or the answer is no HTTP: {detail}"
    logger.error("sending failed in an unforeseen way", exc_info=raised)
    return Fault.PROTOCOL, f"sending failed: {detail}"


def _innermost(error: BaseException) -> BaseException:
    """Return what was wrapped; the wrappers' texts hold the URL, which may carry a token."""
    for _ in range(8):
        reason = getattr(error, "reason", None)
        nested = reason if isinstance(reason, BaseException) else next(iter(error.args), None)
        if not isinstance(nested, BaseException):
            nested = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if nested is None:
            break
        error = nested
    return error


def _readable(data: bytes) -> str:
    return text.clean(data.decode("utf-8", "replace"), MAX_ANSWER_CHARS)
