"""What a technician means by the one word after `kiosk model install`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from audio.models import language as languages
from audio.models.catalogue import Catalogue, CatalogueError, Entry, check_url
from audio.models.shelf import ShelfError


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of the catalogue."""

    entry: Entry
    choice: str | None = None
    """If it was chosen for a language: the sentence that says so."""


@dataclass(frozen=True, slots=True)
class Remote:
    """An archive at an address, and the name that the address gives it."""

    url: str
    name: str


@dataclass(frozen=True, slots=True)
class Local:
    """A path on this machine."""

    path: Path


def find_target(text: str, catalogue: Callable[[], Catalogue]) -> Listed | Remote | Local:
    """Tell which is meant; `catalogue` is asked only for a name or a language. Raises `ModelError`."""
    if "://" in text:
        try:
            check_url(text)
        except ValueError as error:
            raise ShelfError(str(error)) from None
        return Remote(text, unquote(urlsplit(text).path).rpartition("/")[2].removesuffix(".zip"))
    if "/" in text or text in {".", ".."} or text.lower().endswith(".zip"):
        return Local(Path(text).expanduser())
    return _in_catalogue(text, catalogue())


def _in_catalogue(text: str, catalogue: Catalogue) -> Listed:
    entry = catalogue.named(text)
    if entry is not None:
        return Listed(entry)
    language = languages.tag(text)
    if language is None:
        raise CatalogueError(
            f"the catalogue has no model {text!r}; see: kiosk model list --available{_path_hint(text)}"
        )
    try:
        entry = catalogue.newest_small(language)
    except CatalogueError as error:
        raise CatalogueError(f"{error}{_path_hint(text)}") from None
    return Listed(entry, _choice(language, entry, catalogue))


def _choice(language: str, entry: Entry, catalogue: Catalogue) -> str:
    others = {
        other.language
        for other in catalogue.of_language(language)
        if other.language != entry.language and other.type == "small" and not other.is_obsolete
    }
    also = f"; there are others for {', '.join(sorted(others))}" if others else ""
    return f"{entry.name} is the newest small model for {entry.language!r}{also}"


def _path_hint(text: str) -> str:
    return f"; for what lies here, write ./{text}" if Path(text).exists() else ""
