"""The catalogue of models that can be had, in the format of the Vosk project's model-list.json."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from audio.model import ModelError
from audio.models import language as languages

DEFAULT_URL: Final = "https://alphacephei.com/vosk/models/model-list.json"
"""The Vosk project's own catalogue."""
MAX_DOCUMENT_BYTES: Final = 2 * 1024 * 1024
"""The Vosk project's catalogue has some 40 kB."""
MAX_ENTRIES: Final = 5000
MAX_ARCHIVE_BYTES: Final = 16 * 1024**3
"""The largest model on offer has some 4 GB."""
_MAX_URL_CHARS: Final = 2000

Name = Annotated[str, Meta(pattern=r"^(?!.*\.json\Z)[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\Z")]
"""A model's name: the name of its folder, too."""
_Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", max_length=100)]
_Url = Annotated[str, Meta(max_length=_MAX_URL_CHARS)]


class CatalogueError(ModelError):
    """A catalogue that cannot be had or used, or that does not offer what was asked for. One sentence."""


class Entry(Struct, frozen=True, kw_only=True):
    """One model that can be had."""

    name: Name
    lang: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+\Z", max_length=35)]
    """The language, in the Vosk project's way: see `language`."""
    url: _Url
    md5: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{32}\Z")]
    size: Annotated[int, Meta(ge=1, le=MAX_ARCHIVE_BYTES)]
    """Size of the archive in bytes."""
    type: _Line = ""
    """`small`, `big`, `big-lgraph`; also kinds that are no speech models, such as `spk`."""
    version: _Line = ""
    lang_text: _Line = ""
    obsolete: Literal["true", "false"] = "false"

    @property
    def language(self) -> str:
        """The language as a BCP 47 tag in lower case."""
        return languages.tag(self.lang) or self.lang

    @property
    def is_obsolete(self) -> bool:
        """Whether the Vosk project advises against it."""
        return self.obsolete == "true"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models of one catalogue."""

    entries: tuple[Entry, ...]
    problem: str | None = None
    """What was skipped, in one sentence."""

    def named(self, name: str) -> Entry | None:
        """The model of this name, in any case."""
        return next((entry for entry in self.entries if entry.name.lower() == name.lower()), None)

    def of_language(self, language: str) -> tuple[Entry, ...]:
        """The models for a language, and for its varieties if it is a bare one (`en`: also `en-us` and `en-in`)."""
        return tuple(entry for entry in self.entries if f"{entry.language}-".startswith(f"{language}-"))

    def newest_small(self, language: str) -> Entry:
        """The model that a kiosk is best served with: small, not obsolete, newest. Raises `CatalogueError`."""
        offered = self.of_language(language)
        fit = [entry for entry in offered if entry.type == "small" and not entry.is_obsolete]
        if not fit:
            raise CatalogueError(self._why_none(language, offered))
        for wanted in (language, languages.preferred(language)):
            exact = [entry for entry in fit if entry.language == wanted]
            if exact:
                return max(exact, key=_age)
        return max(fit, key=_age)

    def _why_none(self, language: str, offered: Sequence[Entry]) -> str:
        if offered:
            names = ", ".join(entry.name for entry in offered[:5])
            return f"the catalogue has no small model for {language!r} that is not obsolete; install by name: {names}"
        related = self.of_language(languages.primary(language))
        if related:
            names = ", ".join(entry.name for entry in related[:5])
            return f"the catalogue has no model for {language!r}; for the language as such it has {names}"
        return f"the catalogue has no model for {language!r}; see: kiosk model list --available"


def _age(entry: Entry) -> tuple[bool, tuple[int, ...], str]:
    return languages.age(entry.version)


def parse(document: bytes) -> Catalogue:
    """Read a catalogue. Unknown keys are ignored, entries that do not fit are skipped and told in `problem`.

    Raises `CatalogueError` for what is no catalogue at all.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise CatalogueError(f"the catalogue has more than {MAX_DOCUMENT_BYTES // 1024**2} MiB; it is none")
    try:
        items = msgspec.json.decode(document, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CatalogueError(f"the catalogue is no JSON list: {error}") from error
    if len(items) > MAX_ENTRIES:
        raise CatalogueError(f"the catalogue has {len(items)} entries, more than {MAX_ENTRIES}; it is none")
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for number, item in enumerate(items, 1):
        try:
            entry = _entry(item)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            problems.append(f"entry {number}: {error}")
            continue
        if entry.name.lower() in entries:
            problems.append(f"entry {number}: another one has the name {entry.name}")
        else:
            entries[entry.name.lower()] = entry
    if items and not entries:
        raise CatalogueError(f"no entry of the catalogue can be used; the first of {len(items)}: {problems[0]}")
    return Catalogue(tuple(entries.values()), _summary(problems, len(items)))


def _entry(item: msgspec.Raw) -> Entry:
    entry = msgspec.json.decode(item, type=Entry)
    if languages.tag(entry.lang) is None:
        raise ValueError(f"{entry.lang!r} is no language")
    check_url(entry.url)
    return entry


def _summary(problems: Sequence[str], total: int) -> str | None:
    if not problems:
        return None
    return f"{len(problems)} of the catalogue's {total} entries cannot be used and were skipped; {problems[0]}"


def check_url(url: str) -> str:
    """Return an address from which models may be downloaded. Raises `ValueError`: one sentence."""
    if len(url) > _MAX_URL_CHARS or re.search(r"[\x00-\x20\x7f-\x9f\\]", url):
        raise ValueError("the URL is too long, or has characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError(f"{url!r} is no http or https URL")
    if parts.username is not None:
        raise ValueError("the URL has a user name or password in it, which would be stored and shown")
    return url
