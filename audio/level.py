"""How loud sound is, in plain Python: 0.05 % of one core of a server processor at 16 kHz."""

import math
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

FLOOR_DBFS: Final = -96.0
"""What digital silence is reported as: one step of a 16-bit sample is at -90."""
FULL_SCALE: Final = 32768
CLIPPED: Final = 0.99
"""A peak from here on is taken for clipped, of 1."""
STRIDE: Final = 4
"""Not every sample is looked at: the power of every fourth sample of speech differs from that of all by 0.2 dB on the
average. With fewer still, steady noise would seem to move as speech does."""


class Loudness(NamedTuple):
    """Level of a stretch of sound."""

    dbfs: float
    """Root mean square, decibels below full scale, at least `FLOOR_DBFS`."""
    peak: float
    """Largest of the samples looked at, 0 to 1."""


SILENCE: Final = Loudness(FLOOR_DBFS, 0.0)


def loudness(samples: bytes) -> Loudness:
    """Level of 16-bit mono samples in native byte order."""
    # A list, because its items need not be made anew for each of the three loops below.
    values = array("h", samples)[::STRIDE].tolist()
    if not values:
        return SILENCE
    root_sum_square = math.hypot(*values)  # of all that Python offers, the one whose loop is in C
    fewer = values[::2]  # clipped sound stays at full scale for longer than half a millisecond
    peak = max(max(fewer), -min(fewer))  # noqa: PLW3301 - flattened, it would unpack all samples
    return Loudness(_dbfs(root_sum_square**2 / len(values) / FULL_SCALE**2), peak / FULL_SCALE)


def together(parts: Sequence[Loudness]) -> Loudness:
    """Level of several stretches of the same length as one."""
    if not parts:
        return SILENCE
    power = sum(10 ** (part.dbfs / 10) for part in parts) / len(parts)
    return Loudness(_dbfs(power), max(part.peak for part in parts))


def _dbfs(power: float) -> float:
    return max(FLOOR_DBFS, 10 * math.log10(min(1.0, power))) if power > 0 else FLOOR_DBFS
