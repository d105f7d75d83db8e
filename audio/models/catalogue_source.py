"""Where the catalogue comes from: an address or a file, and what was kept of it for when there is no network."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import requests
from msgspec import Struct

from audio.models import files
from audio.models.answer import Again, Never, judge
from audio.models.catalogue import MAX_DOCUMENT_BYTES, Catalogue, CatalogueError, Entry, check_url, parse
from audio.models.web import FAULTS, Web, pieces, why

CACHE_NAME: Final = "catalogue.json"
TRIES: Final = 3
_DEADLINE_S: Final = 60.0
_LONGEST_WAIT_S: Final = 5.0
_MAX_CACHE_BYTES: Final = 2 * MAX_DOCUMENT_BYTES
_PIECE_BYTES: Final = 32 * 1024


class _Cache(Struct, frozen=True):
    """The content of `catalogue.json`."""

    source: str
    fetched_s: int
    """Seconds since 1970 by this machine's clock."""
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A catalogue, and how new it is."""

    catalogue: Catalogue
    source: str
    age_s: float | None
    """None: it was read this moment. Negative if the clock has been set back since."""
    fault: str | None = None
    """Why the kept catalogue is used, in a few words."""


class CatalogueSource:
    """The catalogue at `address`, an http or https URL or a file; kept in `folder` where that is writable."""

    def __init__(
        self,
        address: str,
        folder: Path,
        web: Web,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._cache_path = folder / CACHE_NAME
        self._web = web
        self._wall = wall
        self._monotonic = monotonic
        self._sleep = sleep
        self._draw = draw

    def fetch(self) -> Fetched:
        """The catalogue as it is, else as it was kept. Raises `CatalogueError`."""
        if "://" not in self._address:
            return Fetched(parse(self._read_file(Path(self._address))), self._address, None)
        try:
            check_url(self._address)
        except ValueError as error:
            raise CatalogueError(f"the catalogue's address cannot be used: {error}") from None
        try:
            catalogue = parse(self._download())
        except CatalogueError as error:
            kept = self._read_cache()
            if kept is None:
                raise CatalogueError(
                    f"{error}; without the network, install from a file: kiosk model install /path/to/model.zip"
                ) from error
            age_s = self._wall() - kept.fetched_s
            return Fetched(Catalogue(kept.entries), self._address, age_s, str(error))
        self._keep(catalogue)
        return Fetched(catalogue, self._address, None)

    def _read_file(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise CatalogueError(f"the catalogue {path} cannot be read: {error.strerror}") from error

    def _download(self) -> bytes:
        result = self._try()
        for number in range(1, TRIES):
            if isinstance(result, bytes):
                return result
            self._sleep(min(max(number * (0.5 + 0.5 * self._draw()), result.after_s), _LONGEST_WAIT_S))
            result = self._try()
        if isinstance(result, bytes):
            return result
        raise CatalogueError(f"the catalogue {self._address} cannot be had: {result.reason}")

    def _try(self) -> bytes | Again:
        try:
            with self._web.get(self._address) as response:
                verdict = judge(response.status_code, response.headers, 0, datetime.now(UTC))
                if isinstance(verdict, Never):
                    raise CatalogueError(f"the catalogue {self._address} cannot be had: {verdict.reason}")
                return verdict if isinstance(verdict, Again) else self._read(response)
        except FAULTS as error:
            return Again(why(error))

    def _read(self, response: requests.Response) -> bytes | Again:
        document = bytearray()
        until_s = self._monotonic() + _DEADLINE_S
        for piece in pieces(response, _PIECE_BYTES):
            document += piece
            if len(document) > MAX_DOCUMENT_BYTES:
                break
            if self._monotonic() > until_s:
                return Again("the server is too slow")
        return bytes(document)

    def _read_cache(self) -> _Cache | None:
        try:
            with self._cache_path.open("rb") as file:
                kept = msgspec.json.decode(file.read(_MAX_CACHE_BYTES), type=_Cache)
            for entry in kept.entries:
                check_url(entry.url)
        except (OSError, msgspec.DecodeError, ValueError, RecursionError):
            return None
        return kept if kept.source == self._address else None

    def _keep(self, catalogue: Catalogue) -> None:
        """Keep it; who only looks may not be allowed to write, or the state folder may not be there yet."""
        cache = _Cache(self._address, int(self._wall()), catalogue.entries)
        try:
            files.make_folder(self._cache_path.parent)
            files.write_atomically(self._cache_path, msgspec.json.encode(cache))
        except OSError:
            return


def readable_age(age_s: float) -> str:
    """An age for people."""
    if age_s < 0:
        return "of unknown age (the clock was set back)"
    for unit, length_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if age_s >= length_s:
            number = int(age_s // length_s)
            return f"{number} {unit}{'s' if number > 1 else ''} old"
    return "less than a minute old"
