"""How loud sound is, in plain Python: 0.03 % of one core of a server processor."""

import math
from array import array
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

FLOOR_DBFS: Final = -96.0
"""What digital silence is reported as: one step of a 16-bit sample is at -90."""
LEAST_POWER: Final = 10 ** (FLOOR_DBFS / 10)
FULL_SCALE: Final = 32768
FULL_POWER: Final = FULL_SCALE**2
CLIPPED: Final = 0.99
"""A peak from here on is taken for clipped, of 1."""
STRIDE: Final = 4
"""Not every sample is looked at: the power of every fourth sample of speech differs from that of all by 0.2 dB on the
average. With fewer still, steady noise would seem to move as speech does."""


class Loudness(Struct, frozen=True, gc=False):
    """Level of a stretch of sound."""

    dbfs: float
    """Root mean square, decibels below full scale, at least `FLOOR_DBFS`."""
    peak: float
    """Largest of the samples looked at, 0 to 1."""


SILENCE: Final = Loudness(FLOOR_DBFS, 0.0)


def loudness(samples: bytes) -> Loudness:
    """Level of 16-bit mono samples in native byte order."""
    values = array("h", samples)[::STRIDE].tolist()
    if not values:
        return SILENCE
    fewer = values[::2]  # clipped sound stays at full scale for longer than half a millisecond
    peak = max(max(fewer), -min(fewer))  # noqa: PLW3301 - flattened, it would unpack all samples
    return Loudness(_dbfs(math.hypot(*values) ** 2 / len(values) / FULL_POWER), peak / FULL_SCALE)


def two_levels(samples: bytes, stride: int) -> tuple[Loudness, float]:
    """Level of 16-bit mono samples, of which every `stride`-th is looked at, and that of their low tones alone.

    The low tones are those of the mean of each two neighbours that are looked at. Where these are 0.25 ms apart, half
    of the power at 1 kHz is left and nearly all far below; a constant offset counts for nothing. Most of a voice's
    power is there, and little of the clatter of things. In decibels below full scale, at least `FLOOR_DBFS`.
    """
    values = array("h", samples)
    right = values[stride :: 2 * stride].tolist()
    pairs = len(right)
    if not pairs:
        return SILENCE, FLOOR_DBFS
    left = values[: 2 * stride * pairs : 2 * stride].tolist()
    fewer = left[::2]
    # Of all that Python offers, `hypot` and `dist` have their loops over squares in C. The squares of the sum and of
    # the difference of two numbers add up to twice their own.
    power = (math.hypot(*left) ** 2 + math.hypot(*right) ** 2) / (2 * pairs)
    low_power = power - math.dist(left, right) ** 2 / (4 * pairs) - (sum(fewer) / len(fewer)) ** 2
    # Of each sign, every fourth will do: speech that clips does so in every wave of a voice.
    peak = max(max(fewer), -min(right[::2]), 0)  # noqa: PLW3301 - as above
    return Loudness(_dbfs(power / FULL_POWER), peak / FULL_SCALE), _dbfs(low_power / FULL_POWER)


def together(parts: Sequence[Loudness]) -> Loudness:
    """Level of several stretches of the same length as one."""
    if not parts:
        return SILENCE
    power = sum(10 ** (part.dbfs / 10) for part in parts) / len(parts)
    return Loudness(_dbfs(power), max(part.peak for part in parts))


def _dbfs(power: float) -> float:
    if power <= LEAST_POWER:
        return FLOOR_DBFS
    return 10 * math.log10(power) if power < 1 else 0.0
