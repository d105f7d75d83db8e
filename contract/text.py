"""Text from outside, made safe to store, to sign and to send."""

import re
import unicodedata

MAX_TRANSCRIPT_CHARS = 20_000
"""With four bytes a character 80,000 bytes, so that a webhook's body stays below its 100,000."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean(text: str, max_chars: int) -> str:
    """Return ``text`` as the product keeps it: NFC, at most ``max_chars`` code points, only what UTF-8 can carry.

    Lone surrogates become U+FFFD, control characters other than newline and tabulator are removed (PostgreSQL cannot
    store NUL, and the others cost six bytes each in JSON). Cleaning twice gives the same as cleaning once.
    """
    text = _CONTROL.sub("", _SURROGATE.sub("\ufffd", text))
    return unicodedata.normalize("NFC", text)[:max_chars]
