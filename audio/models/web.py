"""HTTP as downloads need it: certificates checked, deadlines on silence, no redirect away from http and https."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions

from audio.model import ModelError

CONNECT_S: Final = 10.0
SILENCE_S: Final = 30.0
"""A server that sends nothing for so long has failed."""
MAX_REDIRECTS: Final = 5
USER_AGENT: Final = "voiseback-kiosk"

FAULTS: Final = (requests.RequestException, urllib3.exceptions.HTTPError)
"""What is raised when the network or a server fails."""


class RedirectError(ModelError):
    """A redirect that is not followed. One sentence."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target: str | None = super().get_redirect_target(resp)
        if target is None:
            return None
        before, after = urlsplit(resp.url).scheme, urlsplit(urljoin(resp.url, target)).scheme
        if after not in {"http", "https"} or (before == "https" and after == "http"):
            raise RedirectError(f"{resp.url} redirects to {after or 'nowhere'!r}, which is not followed")
        return target


class Web:
    """The way to servers; proxies and authorities are the environment's (`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`)."""

    def __init__(self, *, connect_s: float = CONNECT_S, silence_s: float = SILENCE_S) -> None:
        self._timeout = (connect_s, silence_s)

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """Ask for a document; its body is still to be read, as it comes over the line.

        Raises one of `FAULTS`, or `RedirectError`.
        """
        with _Session() as session:
            session.max_redirects = MAX_REDIRECTS
            session.headers.clear()
            asked = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
            with session.get(url, headers=asked, stream=True, timeout=self._timeout) as response:
                yield response


def pieces(response: requests.Response, piece_bytes: int) -> Iterator[bytes]:
    """The body as it comes, in pieces of at most `piece_bytes`. Raises one of `FAULTS`, also when it is cut off."""
    raw: Any = response.raw
    while piece := raw.read(piece_bytes, decode_content=False):
        yield piece


def why(error: BaseException) -> str:
    """What went wrong, in a few words that mean something to a technician."""
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return f"the server's certificate cannot be trusted, or TLS failed: {_innermost(error)}"
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return f"the server redirects more than {MAX_REDIRECTS} times"
    inner = _innermost(error)
    if isinstance(inner, urllib3.exceptions.IncompleteRead):
        return "the connection broke before all had come"
    if isinstance(inner, OSError) and inner.strerror and not isinstance(inner, requests.RequestException):
        return f"no connection: {inner.strerror}"
    return f"the connection failed: {str(inner)[:200] or type(inner).__name__}"


def _innermost(error: BaseException) -> BaseException:
    for _ in range(8):
        wrapped = (getattr(error, "reason", None), *error.args, error.__cause__)
        nested = next((part for part in wrapped if isinstance(part, BaseException)), None)
        if nested is None:
            break
        error = nested
    return error
