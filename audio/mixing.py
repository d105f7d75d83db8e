"""The mean of several channels as one, in plain Python: 16-bit samples side by side in one long integer.

The integer's operations are loops in C over all samples at once: ten times as fast as adding them one by one.
"""

import sys
from array import array
from functools import lru_cache
from typing import Final, NamedTuple

_SAMPLE_BITS: Final = 16
_SCALE: Final = 1 << _SAMPLE_BITS
_HALF_SCALE: Final = _SCALE // 2


class _Patterns(NamedTuple):
    """Bits of a long integer of samples. Two samples share a lane."""

    ones: int
    """The lowest bit of each lane."""
    lower: int
    """The lower sample of each lane."""
    upper: int
    signs: int
    """The highest bit of each sample."""


def mean_of_channels(samples: bytes, channels: int) -> bytes:
    """The mean of each whole frame of interleaved 16-bit samples in native byte order.

    `channels`: 1 to 32. Right to half a step and `channels` / 65536 of the value. A mean cannot leave the range of a
    sample, whatever the channels hold.
    """
    frames = len(samples) // 2 // channels
    if channels == 1 or not frames:
        return samples
    patterns = _patterns(frames)
    values = array("h", samples)
    even = odd = 0  # every second sample alone in its lane, so that nothing is carried into the next one
    for channel in range(channels):
        column = values[channel : frames * channels : channels].tobytes()
        counted_from_lowest = int.from_bytes(column, sys.byteorder) ^ patterns.signs
        even += counted_from_lowest & patterns.lower
        odd += counted_from_lowest >> _SAMPLE_BITS & patterns.lower
    # To divide, multiply by the reciprocal. It is rounded down, or the largest sum would leave its lane; what that
    # takes from a sum in the middle of the range, which is silence, is given back.
    reciprocal, rest = divmod(_SCALE, channels)
    correction = patterns.ones * (_HALF_SCALE * rest + _HALF_SCALE)
    even_means = even * reciprocal + correction >> _SAMPLE_BITS & patterns.lower
    odd_means = odd * reciprocal + correction & patterns.upper
    return ((even_means | odd_means) ^ patterns.signs).to_bytes(frames * 2, sys.byteorder)


@lru_cache(maxsize=4)
def _patterns(frames: int) -> _Patterns:
    ones = int.from_bytes(b"\1\0\0\0" * -(-frames // 2), "little")
    lower = ones * (_SCALE - 1)
    every = (1 << frames * _SAMPLE_BITS) - 1
    return _Patterns(ones, lower & every, lower << _SAMPLE_BITS & every, int.from_bytes(b"\0\x80" * frames, "little"))
