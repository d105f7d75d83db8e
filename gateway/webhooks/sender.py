"""Makes one attempt: signs, posts the frozen bytes, reads a little of the answer, all before one deadline."""

import email.utils
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import requests
import urllib3.exceptions

from contract import signature, text
from contract.webhook import CONTENT_TYPE
from gateway.webhooks.addresses import Network
from gateway.webhooks.dialling import Deadline, DialError, Dialler, DiallingAdapter, Fault, Resolver, resolve
from gateway.webhooks.models import MAX_ANSWER_CHARS, MAX_ERROR_CHARS

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 8 * 1024
USER_AGENT = "voiseback-kiosk-gateway"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent, and where."""

    url: str
    webhook_id: str
    body: bytes
    secrets: Sequence[str]
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

    @property
    def is_answer(self) -> bool:
        """Whether ``status`` is what the receiver said in time, rather than what was read before something broke."""
        return self.fault in {None, Fault.STATUS, Fault.REDIRECT}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    retry_after: str | None


class Sender:
    """Sends webhooks; safe to share between threads."""

    def __init__(self, *, deadline_s: float, allowed: Sequence[Network] = (), resolver: Resolver = resolve) -> None:
        self._deadline_s = deadline_s
        self._allowed = tuple(allowed)
        self._resolver = resolver
        self._live: set[Deadline] = set()
        self._lock = threading.Lock()

    def send(self, request: Request) -> Outcome:
        """Make one attempt; whatever happens is in the outcome."""
        started_at = datetime.now(UTC)
        begin = time.monotonic()
        status: int | None = None
        answer_text, retry_after_s = "", None
        fault: Fault | None = None
        error = ""
        with Deadline(self._deadline_s) as deadline:
            with self._lock:
                self._live.add(deadline)
            try:
                answer = self._post(request, deadline, int(started_at.timestamp()))
                status, answer_text = answer.status, answer.text
                retry_after_s = parse_retry_after(answer.retry_after, datetime.now(UTC))
                fault, error = _judge_status(status)
            except Exception as raised:  # noqa: BLE001 (an attempt ends in an outcome, never in a dead thread)
                fault, error = _explain(raised)
            finally:
                with self._lock:
                    self._live.discard(deadline)
            if deadline.fired and fault is not Fault.REFUSED_ADDRESS:
                fault = Fault.TIMEOUT
                error = f"no complete answer within {self._deadline_s:g} s"
        return Outcome(
            started_at=started_at,
            duration_ms=round((time.monotonic() - begin) * 1_000),
            status=status,
            fault=fault,
            error=error[:MAX_ERROR_CHARS],
            answer=answer_text,
            retry_after_s=retry_after_s,
        )

    def abort(self) -> None:
        """Cut every attempt that is under way; each counts as failed by its deadline."""
        with self._lock:
            live = list(self._live)
        for deadline in live:
            deadline.fire()

    def _post(self, request: Request, deadline: Deadline, timestamp_s: int) -> _Answer:
        if request.problem is not None:
            raise DialError(Fault.SECRET, request.problem)
        adapter = DiallingAdapter(Dialler(deadline, self._allowed, self._resolver))
        with requests.Session() as session:
            session.trust_env = False
            session.headers.clear()
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            with session.post(
                request.url,
                data=request.body,
                headers=make_headers(request, timestamp_s),
                timeout=self._deadline_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                start = response.raw.read(MAX_ANSWER_BYTES, decode_content=False)
                return _Answer(response.status_code, _readable(start), response.headers.get("Retry-After"))


def make_headers(request: Request, timestamp_s: int) -> dict[str, str]:
    """Return the headers of one attempt; the timestamp and so the signature differ from attempt to attempt."""
    headers = {
        "Content-Type": CONTENT_TYPE,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
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


def _explain(raised: Exception) -> tuple[Fault, str]:
    if isinstance(raised, DialError):
        return raised.fault, str(raised)
    inner = _innermost(raised)
    detail = _readable(f"{type(inner).__name__}: {inner}".encode("utf-8", "replace"))[:300]
    if isinstance(raised, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return Fault.TLS, f"TLS failed: {detail}"
    if isinstance(raised, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return Fault.TIMEOUT, "the receiver did not answer in time"
    if isinstance(raised, requests.exceptions.RequestException | urllib3.exceptions.HTTPError):
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
