"""One sentence out of a feedback's own words: a contiguous stretch of the text, nothing added, nothing rearranged.

Only the case of letters changes (the first one, and the pronoun `i`) and a full stop is added. A stretch does not
start within the reach of a negation or a condition, and does not end before a negation or inside a number.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.analysis import cues
from gateway.analysis.engine import Category
from gateway.analysis.polarity import NEGATIONS
from gateway.analysis.text import MAX_CHARACTERS, word_set

MAX_WORDS: Final = 20
_MIN_STRETCH_WORDS: Final = 4
_LONGEST_WORD_CHARACTERS: Final = 60
_CONDITION_REACH_WORDS: Final = 10
_NEGATION_REACH_WORDS: Final = 3

_LEAD_IN: Final = re.compile(
    r"(?:hello there|hi there|you know|i mean|excuse me|where do i start|right so|um+|uhm*|er+m?|okay|ok|hello|hi|hey"
    r"|yes|yeah|anyway|actually|basically|and|but|because|then|also"
    r"|i (?:just )?want(?:ed)? to (?:say|tell you|mention)(?: that)?|i(?:'d| would) like to say(?: that)?"
    r"|just want(?:ed)? to say(?: that)?|so(?! (?:so|far|long|much|many)\b)"
    r"|well(?! (?:\w+ed|done|made|kept|worth|run|built)\b)) "
)
_TAIL: Final = re.compile(r" (?:and|but|so|um+|uh+|er+|okay|ok|yeah|bye|because|or|anyway|please)$")
_SUBJECT: Final = re.compile(r"(?:i am|i'm|we are|we're|i|we) ")
_OPENING: Final = re.compile(r"(?:there(?:'s| is| are| was| were)|the|an?|it's) (?=\w+ \w)(?!not\b)")
_KEPT_AFTER_SUBJECT: Final = re.compile(
    r"(?:and|or|who|with|alone|am|are|as|to|in|on|at|for|from|the|a|an|my|our|of|think|believe|feel|guess|suppose|wish"
    r"|hope|wonder|mean|\w+ think|\w+ believe)\b"
)
_PUNCTUATION: Final = ".,;:!?…\"'()[]{}«»“”„-\u2013\u2014*_~#|/\\<>`\u00b4"
_SENTENCE_END: Final = re.compile(r"[.!?;:…]+[\"')»”]*$")
_PRONOUN: Final = re.compile(r"i(?:'\w+)?[,]?")

_CONNECTIVES: Final = word_set("and but because so then however although though")
_SUBJECTS: Final = word_set(
    """
    i we you he she it they there this that the a my our your his her their nobody somebody everybody everyone
    please i'm i've i'd i'll we're we've it's he's she's they're there's that's when if now today yesterday every each
    during only no last lately recently after before on in at one his such everything everyone something
    these those i'll you're
    """
)
_CONDITIONS: Final = word_set("if unless whether wish until till without unlike instead")
_NUMBERS: Final = word_set(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half first second
    third fourth fifth point
    """
)
_LINKS: Final = word_set(
    """
    to of in on at by for from with into about over under when where while which who after before since during than as
    or because and but so then until if
    """
)
_OPEN_ENDED: Final = (
    _LINKS
    | _CONDITIONS
    | _NUMBERS
    | NEGATIONS
    | word_set(
        """
        a an the my your his her our their its this that these those i we you he she they it's i'm there is are was were
        be been has have had do does did can could will would should must may might very too more most much many some
        any every each what how only i've i'd i'll we've
        """
    )
)
_PURPOSES: Final[dict[Category, tuple[str, ...]]] = {
    "churn_risk": ("leaving", "elsewhere", "ultimatum"),
    "bug": ("fault", "wrong"),
    "feature_request": ("request",),
    "question": ("question",),
    "praise": ("thanks", "recommend", "delight"),
    "other": ("complaint",),
}
_FEELINGS: Final = ("anger", "sorrow", "worry", "shame", "delight", "gratitude")
_PURPOSE_WORTH: Final = 1.5
_FEELING_WORTH: Final = 1.0
_WORD_WORTH: Final = 0.05
_WORDINESS_COST: Final = 0.12
_TERSE_WORDS: Final = 12
_LATENESS_COST: Final = 0.5


def summarise(text: str, category: Category) -> str | None:
    """Return one sentence of at most 20 words that stand in the text in this order, or null for nothing to say.

    `category` tells which stretch of a longer text matters most. A text of up to 12 words is taken whole but for the
    fillers at both ends and the subject or article at its start (`we waited` becomes `Waited`).
    """
    sentences = _sentences(text)
    words = [word for sentence in sentences for word in sentence]
    if not words or max(len(word) for word in words) > _LONGEST_WORD_CHARACTERS:
        return None
    worths = _worths(_spoken(words), category)
    best: list[str] = []
    best_worth = float("-inf")
    for start, end in _stretches(sentences):
        length = end - start
        worth = sum(worths[start:end]) + _WORD_WORTH * length - _LATENESS_COST * start / len(words)
        worth -= _WORDINESS_COST * max(0, length - _TERSE_WORDS)
        if worth > best_worth:
            best, best_worth = words[start:end], worth
    return _written(_without_subject(_trimmed(best)))


def _sentences(text: str) -> list[list[str]]:
    """Split into sentences of words where there is punctuation; the words keep their commas."""
    kept = text[:MAX_CHARACTERS].encode("utf-8", "ignore").decode("utf-8")
    shown = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in kept)
    sentences: list[list[str]] = [[]]
    for raw in shown.replace("\u2019", "'").split():
        word = raw.lstrip(_PUNCTUATION)
        core = word.rstrip(_PUNCTUATION)
        if any(character.isalnum() for character in core):
            sentences[-1].append(core + "," if word == core + "," else core)
        if _SENTENCE_END.search(raw):
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def _spoken(words: Sequence[str]) -> list[str]:
    return [word.rstrip(",").lower() for word in words]


def _worths(spoken: Sequence[str], category: Category) -> list[float]:
    """Return what each word adds to a stretch: marks of the category's purpose, and of feelings."""
    joined = " ".join(spoken)
    word_at = [0]
    for character in joined:
        word_at.append(word_at[-1] + (character == " "))
    worths = [0.0] * len(spoken)
    for names, worth in ((_PURPOSES[category], _PURPOSE_WORTH), (_FEELINGS, _FEELING_WORTH)):
        for name in names:
            for match in cues.pattern(name).finditer(joined):
                worths[word_at[match.start()]] += worth
    return worths


def _stretches(sentences: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of what may stand alone, in words of the whole text; at least one."""
    offset = 0
    yielded = False
    for sentence in sentences:
        spoken = _spoken(sentence)
        cuts = [0, *_cuts(spoken), len(spoken)]
        for index, start in enumerate(cuts[:-1]):
            for end in cuts[index + 1 :]:
                if end - start > MAX_WORDS:
                    break
                if end - start >= _MIN_STRETCH_WORDS or len(spoken) < _MIN_STRETCH_WORDS:
                    yielded = True
                    yield offset + start, offset + end
            if cuts[index + 1] - start > MAX_WORDS:
                yielded = True
                yield offset + start, offset + start + _natural_end(spoken[start:])
        offset += len(sentence)
    if not yielded:
        yield 0, _natural_end(_spoken(sentences[0]))


def _cuts(spoken: Sequence[str]) -> Iterator[int]:
    """Yield where a new clause starts: at a connective before a subject, outside a negation's or condition's reach."""
    if len(spoken) <= _TERSE_WORDS:
        return
    for index in range(1, len(spoken) - 1):
        if spoken[index] not in _CONNECTIVES or spoken[index + 1] not in _SUBJECTS:
            continue
        near = spoken[max(0, index - _NEGATION_REACH_WORDS) : index]
        far = spoken[max(0, index - _CONDITION_REACH_WORDS) : index]
        if not NEGATIONS.intersection(near) and not _CONDITIONS.intersection(far):
            yield index


def _natural_end(spoken: Sequence[str]) -> int:
    """Return after how many words, at most 20, a clause that is too long is best broken off."""
    if len(spoken) <= MAX_WORDS:
        return len(spoken)
    ends = range(MAX_WORDS, _MIN_STRETCH_WORDS - 1, -1)
    for end in ends:
        if spoken[end] in _LINKS and spoken[end - 1] not in _OPEN_ENDED:
            return end
    return next((end for end in ends if spoken[end] not in NEGATIONS and spoken[end - 1] not in _OPEN_ENDED), MAX_WORDS)


def _trimmed(words: list[str]) -> list[str]:
    """Drop fillers at both ends; at least one word stays."""
    joined = " ".join(_spoken(words)) + " "
    first = 0
    while match := _LEAD_IN.match(joined, first):
        if match.end() >= len(joined):
            break
        first = match.end()
    joined = joined[:-1]
    kept = joined[first:]
    while match := _TAIL.search(kept):
        kept = kept[: match.start()]
    skipped = joined[:first].count(" ")
    return words[skipped : skipped + kept.count(" ") + 1]


def _without_subject(words: list[str]) -> list[str]:
    """Drop the speaker as the subject, or an article, at the start, as notes do: `i'm leaving` becomes `leaving`."""
    joined = " ".join(_spoken(words))
    match = _SUBJECT.match(joined)
    if match and _KEPT_AFTER_SUBJECT.match(joined, match.end()):
        return words
    match = match or _OPENING.match(joined)
    return words[match.group().count(" ") :] if match else words


def _written(words: Sequence[str]) -> str:
    shown = [word[0].upper() + word[1:] if _PRONOUN.fullmatch(word) else word for word in words]
    sentence = " ".join(shown).rstrip(",")
    return sentence[0].upper() + sentence[1:] + "."
