"""What a server's answer means for a download of which some bytes may be there already. No I/O."""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

LONGEST_RETRY_AFTER_S: Final = 300.0
_PASSING: Final = frozenset({408, 425, 429})
"""Refusals that another try may not meet (RFC 9110, 8470, 6585)."""


@dataclass(frozen=True, slots=True)
class Take:
    """The body follows: its first byte is byte `start` of the file, which has `total_bytes`, if the server says."""

    start: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Complete:
    """There is nothing after the bytes that are there."""


@dataclass(frozen=True, slots=True)
class Again:
    """Not now; `fresh`: what is there does not fit what the server has, so begin anew."""

    reason: str
    after_s: float = 0.0
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Never:
    """Another try would end the same way."""

    reason: str


Verdict = Take | Complete | Again | Never


def judge(status: int, headers: Mapping[str, str], have_bytes: int, now: datetime) -> Verdict:
    """Say what to do. `headers` with case-insensitive names; `have_bytes` were named in the request's Range, if any."""
    if status == 206:
        return _judge_part(headers, have_bytes)
    if status == 416:
        return _judge_range(headers, have_bytes)
    if status == 200:
        return _encoded(headers) or Take(0, _number(headers.get("Content-Length")))
    if status in _PASSING or status >= 500:
        return Again(f"the server answered {status}", retry_after_s(headers.get("Retry-After"), now))
    if status in {404, 410}:
        return Never(f"the server answered {status}: there is no such file")
    return Never(f"the server answered {status}")


def _judge_part(headers: Mapping[str, str], have_bytes: int) -> Verdict:
    found = re.fullmatch(
        r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", headers.get("Content-Range", "").strip()
    )
    if found is None or int(found[1]) != have_bytes:
        return Again("the server sent another part than it was asked for", fresh=True)
    return _encoded(headers) or Take(have_bytes, _number(found[3]))


def _judge_range(headers: Mapping[str, str], have_bytes: int) -> Verdict:
    found = re.fullmatch(r"bytes \*/([0-9]{1,18})", headers.get("Content-Range", "").strip())
    if found is not None and int(found[1]) == have_bytes > 0:
        return Complete()
    return Again("the server does not have the part that it was asked for", fresh=True)


def _encoded(headers: Mapping[str, str]) -> Never | None:
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    return None if encoding in {"", "identity"} else Never(f"the server sent the file encoded as {encoding[:40]!r}")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None


def retry_after_s(value: str | None, now: datetime) -> float:
    """The wait in seconds that `Retry-After` asks for, as seconds or as a date, within bounds; 0 if it says nothing."""
    if value is None:
        return 0.0
    seconds = _number(value)
    if seconds is not None:
        return min(float(seconds), LONGEST_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_RETRY_AFTER_S)
