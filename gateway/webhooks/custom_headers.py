"""Headers that an operator adds to the requests for an endpoint. Pure."""

import re
from collections.abc import Iterable

from gateway.errors import UsageError

MAX_HEADERS = 20
MAX_VALUE_CHARS = 1_000

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?", re.ASCII)

_FORBIDDEN = frozenset(
    {
        # Between two machines, and so not the operator's.
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "via",
        # What the request is, which the gateway says.
        "host",
        "date",
        "accept",
        "accept-encoding",
        "cookie",
        "user-agent",
        # What proxies are believed to have written.
        "forwarded",
        "x-real-ip",
    }
)
_FORBIDDEN_BEGINNINGS = ("content-", "webhook-", "proxy-", "sec-", "x-forwarded-")


def parse(lines: Iterable[str]) -> dict[str, str]:
    """Return headers from lines ``Name: value``; empty lines and those that begin with ``#`` are skipped.

    Raises:
        UsageError: a line is no header, or one that the gateway does not give away.
    """
    headers: dict[str, str] = {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError("a header must look like Name: value, one on each line")
        headers[name] = value.strip(" \t")
    check(headers)
    return headers


def check(headers: dict[str, str]) -> None:
    """Accept headers that change nothing of what the gateway says itself.

    Raises:
        UsageError: one cannot be sent, or is the gateway's own; its value is not told, it may be a password.
    """
    if len(headers) > MAX_HEADERS:
        raise UsageError(f"there are {len(headers)} headers: at most {MAX_HEADERS} can be added")
    seen: set[str] = set()
    for name, value in headers.items():
        low = name.lower()
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"{name[:100]!r} is no header name: use letters, digits and hyphens")
        if low in _FORBIDDEN or low.startswith(_FORBIDDEN_BEGINNINGS):
            raise UsageError(f"the header {name} is the gateway's own or belongs to the connection: leave it out")
        if low in seen:
            raise UsageError(f"the header {name} is there twice: leave one out")
        if len(value) > MAX_VALUE_CHARS or _VALUE.fullmatch(value) is None:
            raise UsageError(
                f"the value of the header {name} cannot be sent: "
                f"it must be printable ASCII of 1 to {MAX_VALUE_CHARS} characters"
            )
        seen.add(low)
