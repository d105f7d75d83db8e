"""Languages as the Vosk project writes them, and as BCP 47 does."""

import re
from dataclasses import dataclass
from typing import Final

_TAG: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_NOT_ISO: Final = {"cn": "zh", "gr": "el", "kz": "kk", "ua": "uk", "vn": "vi"}
"""Codes of the Vosk project that name a country where ISO 639-1 has a code for the language."""
_LIKELY_REGION: Final = {"en": "us"}
"""Which variety is meant by a language that the Vosk project has in several (CLDR, likely subtags)."""
_NAME: Final = re.compile(
    r"vosk-model-(?P<small>small-)?(?P<tag>[a-z]{2,3}(?:-[a-z]{2})?)-(?P<version>[A-Za-z0-9._+-]+)"
)


@dataclass(frozen=True, slots=True)
class Described:
    """What the name of a model says about it."""

    language: str
    kind: str
    """`small` or `big`."""
    version: str


def tag(code: str) -> str | None:
    """The BCP 47 tag, in lower case, of a language as people and the Vosk project write it; None if it is none."""
    text = code.strip().lower().replace("_", "-")
    if not _TAG.fullmatch(text):
        return None
    primary_code, _, rest = text.partition("-")
    return "-".join(filter(None, (_NOT_ISO.get(primary_code, primary_code), rest)))


def primary(language: str) -> str:
    """The language of a tag without region or script: a kiosk has one active model for each such language."""
    return language.lower().partition("-")[0]


def preferred(language: str) -> str:
    """The variety that is meant by a bare language."""
    region = _LIKELY_REGION.get(language)
    return f"{language}-{region}" if region else language


def described(name: str) -> Described | None:
    """What a model's name says, if it is formed as the Vosk project forms names (`vosk-model-small-en-us-0.15`)."""
    found = _NAME.fullmatch(name)
    language = tag(found["tag"]) if found else None
    if found is None or language is None:
        return None
    return Described(language, "small" if found["small"] else "big", found["version"])


def age(version: str) -> tuple[bool, tuple[int, ...], str]:
    """A key that sorts versions, oldest first; plain numbers count as newer than names with numbers (`zamia-0.3`)."""
    is_plain = re.fullmatch(r"[0-9.]+", version) is not None
    return is_plain, tuple(int(number[:9]) for number in re.findall(r"[0-9]+", version)), version
