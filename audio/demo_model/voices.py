"""The synthetic voices: which are learnt from, which are kept for testing, and how one is drawn at random."""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

ESPEAK: Final = "espeak"
FLITE: Final = "flite"
FESTIVAL: Final = "festival"


class Voice(NamedTuple):
    """A voice of a synthesiser, and how it speaks. What a synthesiser has no setting for has no effect with it."""

    engine: str
    name: str
    """With espeak-ng `accent+variant`."""
    speed: int = 160
    """Words a minute. espeak-ng only."""
    pitch: int = 50
    """0 to 99. espeak-ng only."""
    stretch: float = 1.0
    """Of the duration of the phones, before `warp`. flite, and the diphone voice of festival."""
    warp: float = 1.0
    """By how much the sound is played faster, which raises the pitch and the formants."""


ESPEAK_ACCENTS: Final = (
    *(("en-us",) * 7),
    "en-us-nyc",
    *(("en-gb",) * 2),
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-029",
)
"""As many times as their share."""
TRAINING_VARIANTS: Final = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5"),
    *("Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky"),
    *("Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "adam", "anika", "antonio", "aunty", "belinda"),
    *("benjamin", "boris", "caleb", "david", "ed", "edward", "edward2", "grandma", "grandpa", "gustave", "john"),
    *("kaukovalta", "linda", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro", "quincy"),
    *("rob", "robert", "sandro", "shelby", "travis", "victor", "zac"),
)
"""Variants of espeak-ng that the network learns from."""
KLATT_VARIANTS: Final = ("klatt", "klatt2", "klatt3", "klatt4")
STEPH_AND_IVEN_VARIANTS: Final = ("steph", "steph2", "steph3", "iven", "iven2", "iven3")
HELD_OUT_VARIANTS: Final = (*KLATT_VARIANTS, *STEPH_AND_IVEN_VARIANTS)
"""Variants that take no part in training: whole families, because the members of one sound alike."""

TRAINING_OTHERS: Final[Mapping[tuple[str, str], int]] = MappingProxyType(
    {
        (FLITE, "slt"): 16,
        (FLITE, "awb"): 12,
        (FLITE, "kal16"): 8,
        (FESTIVAL, "cmu_us_slt_arctic_hts"): 10,
        (FESTIVAL, "ked_diphone"): 12,
    }
)
"""Voices made from recordings that the network learns from, and their shares among each other."""
HELD_OUT_FLITE: Final = "rms"

ESPEAK_SHARE: Final = 0.42
_SPEEDS: Final = (120, 210)
_PITCHES: Final = (20, 80)
_STRETCHES: Final = (0.8, 1.25)
_WARPS: Final = (0.87, 1.15)


def random_voice(rng: random.Random, espeak_share: float = ESPEAK_SHARE) -> Voice:
    """A training voice, with espeak-ng in `espeak_share` of all cases."""
    if rng.random() < espeak_share:
        name = f"{rng.choice(ESPEAK_ACCENTS)}+{rng.choice(TRAINING_VARIANTS)}"
        return Voice(ESPEAK, name, speed=rng.randint(*_SPEEDS), pitch=rng.randint(*_PITCHES))
    engine, name = rng.choices(tuple(TRAINING_OTHERS), tuple(TRAINING_OTHERS.values()))[0]
    warp = rng.uniform(*_WARPS)
    return Voice(engine, name, stretch=rng.uniform(*_STRETCHES) * warp, warp=warp)


def evaluation_jobs(sentences: Sequence[str]) -> list[tuple[str, Voice]]:
    """What to speak for a test: each sentence by three held-out voices and by two voices of the training.

    The held-out voices are flite's rms, one of the klatt family and one of the families steph and iven, in turn.
    """
    jobs = []
    for number, sentence in enumerate(sentences):
        klatt = KLATT_VARIANTS[number % len(KLATT_VARIANTS)]
        other = STEPH_AND_IVEN_VARIANTS[number % len(STEPH_AND_IVEN_VARIANTS)]
        jobs += [
            (sentence, Voice(FLITE, HELD_OUT_FLITE)),
            (sentence, Voice(ESPEAK, f"en-us+{klatt}", speed=160, pitch=45)),
            (sentence, Voice(ESPEAK, f"en-us+{other}", speed=155, pitch=50)),
            (sentence, Voice(ESPEAK, "en-us+m3", speed=165, pitch=45)),
            (sentence, Voice(FLITE, "slt")),
        ]
    return jobs


def is_held_out(engine: str, name: str) -> bool:
    """Whether the voice takes no part in training."""
    if engine == ESPEAK:
        return name.rpartition("+")[2] in HELD_OUT_VARIANTS
    return (engine, name) == (FLITE, HELD_OUT_FLITE)


def group(engine: str, name: str) -> str:
    """The heading of a voice in a table of results: `espeak klatt` for all of a held-out family, else the voice."""
    variant = name.rpartition("+")[2]
    family = variant.rstrip("0123456789") if variant in HELD_OUT_VARIANTS else variant
    return f"{engine} {family}"
