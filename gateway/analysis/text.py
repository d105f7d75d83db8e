"""From any str to the words that the engine reads, and the test whether they say anything."""

import re
import unicodedata
from typing import Final

MAX_CHARACTERS: Final = 20_000
"""Longer texts are read up to here: half an hour of speech, and a bound on the work for one text."""


def word_set(listing: str) -> frozenset[str]:
    """Return the words of a listing, separated by white space."""
    return frozenset(listing.split())


_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_APOSTROPHES: Final = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": "'"})

_FILLER: Final = word_set(
    """
    a ah aha alright and bla blah bye check cheerio er erm good eh goodbye ha hah haha hallo hello hey hi hm hmm huh
    la like lala mhm microphone mm mmm mic no now oh ok okay one two three four five six seven eight nine ten right so
    test testing tests the this is a thing uh uhm um umm well yeah yep yes yo
    """
)
"""Words that say nothing on their own, however often they are repeated."""

_NOTHING_SAID: Final = re.compile(
    r"\b(?:no comments?|nothing (?:much )?to (?:say|add|tell)(?: really)?|nothing really|nothing else"
    r"|good (?:morning|afternoon|evening|day)|(?:can|do) you hear me|is (?:this|it) (?:thing )?(?:on|working|recording)"
    r"|(?:one|mic|microphone|sound|voice) (?:check|test)|just (?:a )?test(?:ing)?"
    r"|how do(?:es)? (?:i|this) (?:stop|end) (?:this|it))\b"
)
_SAYS_SOMETHING: Final = re.compile(r"\b(?:so so|good good|good|like (?:it|this)|right now|no no no)\b")


def plain(text: str) -> str:
    """Return the text in lower case, compatibility forms and typographic apostrophes folded, surrogates dropped."""
    kept = text[:MAX_CHARACTERS].encode("utf-8", "ignore").decode("utf-8")
    return unicodedata.normalize("NFKC", kept).translate(_APOSTROPHES).lower()


def words_of(text: str) -> list[str]:
    """Return the words in order, in lower case, without punctuation; an inner apostrophe stays (`don't`)."""
    return _WORD.findall(plain(text))


def has_content(words: list[str]) -> bool:
    """Tell whether the words say anything: greetings, fillers, counting and microphone tests do not."""
    spoken = _NOTHING_SAID.sub(" ", " ".join(words))
    if any(word not in _FILLER for word in spoken.split()):
        return True
    return _SAYS_SOMETHING.search(spoken) is not None
