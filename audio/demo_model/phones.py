"""The phone set, the pdfs of the acoustic model and the names that Kaldi knows the phones by."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

PHONES: Final = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY"),
    *("F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY"),
    *("P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
"""The 39 phones of the CMU Pronouncing Dictionary, without stress."""
SILENCE: Final = "SIL"
UNITS: Final = (SILENCE, *PHONES)
"""What the acoustic model tells apart. A unit's number is its place here; silence is 0."""
UNIT_NUMBERS: Final = MappingProxyType({unit: number for number, unit in enumerate(UNITS)})
PDFS: Final = 2 * len(UNITS)
"""Outputs of the network: unit u has pdf 2u in its first frame and 2u + 1 in all others."""

EPSILON: Final = "<eps>"
POSITIONS: Final = (("B", "begin"), ("E", "end"), ("I", "internal"), ("S", "singleton"))
"""Kaldi's marks of a phone's place in its word, and what `word_boundary.int` calls the place."""
KALDI_PHONES: Final = (EPSILON, SILENCE, *(f"{phone}_{mark}" for phone in PHONES for mark, _ in POSITIONS))
"""Kaldi's names of the phones; the id of a phone is its place here. All positions of a phone share its unit."""
KALDI_PHONE_IDS: Final = MappingProxyType({name: number for number, name in enumerate(KALDI_PHONES)})


def first_pdf(unit: int) -> int:
    """The pdf of the first frame of unit number `unit`: that of Kaldi's forward transition."""
    return 2 * unit


def rest_pdf(unit: int) -> int:
    """The pdf of all frames but the first of unit number `unit`: that of Kaldi's self-loop."""
    return 2 * unit + 1


def unit_of(kaldi_phone: str) -> int:
    """The number of the unit that `kaldi_phone`, a name such as `AA_B` or `SIL`, is an instance of.

    Raises `KeyError` for any other name, `<eps>` too.
    """
    if kaldi_phone not in KALDI_PHONE_IDS:
        raise KeyError(kaldi_phone)
    return UNIT_NUMBERS[kaldi_phone.partition("_")[0]]


def positioned(phones: Sequence[str]) -> tuple[str, ...]:
    """Kaldi's names of the phones of one word: `K AE T` is `K_B AE_I T_E`, a word of one phone has `_S`."""
    if len(phones) == 1:
        return (f"{phones[0]}_S",)
    last = len(phones) - 1
    return tuple(f"{phone}_{'B' if at == 0 else 'E' if at == last else 'I'}" for at, phone in enumerate(phones))


def word_boundary_lines() -> tuple[str, ...]:
    """The lines of Kaldi's `word_boundary.int`, without newlines: the id of each phone and its place in a word."""
    places = dict(POSITIONS)
    lines = []
    for number, name in enumerate(KALDI_PHONES):
        if name != EPSILON:
            lines.append(f"{number} {places[name.partition('_')[2]] if name != SILENCE else 'nonword'}")
    return tuple(lines)
