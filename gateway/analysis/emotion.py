"""From a family of emotions to the plain word that the speaker's own words suggest."""

import re
from typing import Final

from gateway.analysis.engine import EmotionFamily, Intensity

_WORDS: Final[dict[EmotionFamily, tuple[tuple[str, str], ...]]] = {
    "pleased": (
        ("grateful", r"thank(?:s|ful)?|grateful|gratitude|bless|appreciate\w*|saved|helped (?:me|us)|never forget"),
        ("relieved", r"relie(?:f|ved)|calmed"),
        ("proud", r"proud"),
        ("impressed", r"impress\w+|hats off|talked me out|honest\w*"),
        ("hopeful", r"hope\w*|wish|would be|it'd be|i'd love|we'd love|bring back|add|suggest\w*"),
        (
            "enthusiastic",
            r"love|loved|awesome|amazing|rock|fantastic|brilliant|incredible|recommend\w*|five stars|great",
        ),
        ("delighted", r"delight\w*|perfect|heavenly|best|wonderful|blast|dream|superb|magic|friendliest"),
        ("happy", r"happy|happier|glad|smil\w+|laugh\w*|cheerful|enjoy\w*"),
    ),
    "angry": (
        ("disgusted", r"disgust\w*|gross|filthy|stink\w*|smell\w*|sticky|hair|crumbs|vomit|mould\w*|rotten|expired"),
        ("furious", r"furious|outrag\w+|scandal\w*|disgrace\w*"),
        ("frustrated", r"frustrat\w+|again|still|times|tried|keeps?|months|weeks|hours|every time|nobody|explain"),
        ("angry", r"angry|hate|cheated|lied|never again|dangerous|set foot|waste|done with|robbery|terminate"),
        ("annoyed", r"annoy\w*|irritat\w*"),
    ),
    "upset": (
        (
            "embarrassed",
            r"embarrass\w*|asham\w*|humiliat\w*|stared at|laughed at|in front of|shame(?! (?:about|the|that))",
        ),
        ("scared", r"scared?|scary|afraid|frighten\w*|terrif\w*|panic\w*|shaking|don't dare"),
        ("worried", r"worr\w*|nervous|concern\w*|anxious|unsafe|dangerous|is (?:it|that) normal|don't sleep"),
        ("sad", r"sad|cry|cried|crying|tears|heart|late (?:wife|husband)|miss (?:it|him|her|them)"),
    ),
    "confused": (
        ("curious", r"curious|wonder\w*|interested|like to know|wants? to know|just checking|do you|are there|how old"),
        ("surprised", r"surpris\w*|unexpected|didn't expect"),
    ),
    "calm": (("indifferent", r"so so|don't mind|whatever|don't care either way"),),
}
_DEFAULTS: Final[dict[EmotionFamily, str]] = {
    "pleased": "satisfied",
    "angry": "annoyed",
    "upset": "disappointed",
    "confused": "confused",
    "calm": "neutral",
}
_STRONG_DEFAULTS: Final[dict[EmotionFamily, str]] = {"pleased": "delighted", "angry": "angry", "upset": "upset"}

_COMPILED: Final = {
    family: tuple((word, re.compile(rf"\b(?:{pattern})\b")) for word, pattern in entries)
    for family, entries in _WORDS.items()
}
EMOTIONS: Final = frozenset(
    {word for entries in _WORDS.values() for word, _ in entries}
    | set(_DEFAULTS.values())
    | set(_STRONG_DEFAULTS.values())
)
"""Every word that `emotion_word` can give."""


def emotion_word(spoken: str, family: EmotionFamily | None, intensity: Intensity) -> str | None:
    """Return the word of the family for which the text has a cue, or else the family's usual one; null for no family.

    `spoken` is the text's words in lower case, joined by single spaces.
    """
    if family is None:
        return None
    for word, pattern in _COMPILED[family]:
        if pattern.search(spoken):
            return word
    if intensity == "strong":
        return _STRONG_DEFAULTS.get(family, _DEFAULTS[family])
    return _DEFAULTS[family]
