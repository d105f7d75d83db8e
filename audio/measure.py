"""What can be measured of a microphone from its sound and the times at which it arrives. Plain arithmetic, no device.

Levels are of the sound without its DC offset, in decibels below full scale, where a sine of full scale is at -3.
"""

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Final, NamedTuple

import msgspec

from audio.level import CLIPPED, FLOOR_DBFS, FULL_SCALE
from audio.settings import Channel

MAINS_HZ: Final = (50, 60)
HARMONICS: Final = (1, 2, 3)
HUM_RATE_HZ: Final = 1000
"""Hum is looked for at this rate, which has all of its harmonics and leaves little to compute."""
HUM_WINDOW_S: Final = 0.5
"""Resolves 4 Hz: enough to tell 50 Hz from 60, and wide enough for mains that are half a hertz off."""
DEAD_STEPS: Final = 2
"""Sound that never leaves so many steps of a 16-bit sample is none: a converter without a microphone gives this."""
CLIPPED_STEPS: Final = int(CLIPPED * FULL_SCALE)
UNSEEN_DRIFT_S: Final = 0.02
"""So much lateness may lean the line without a trace in the rest of the regression. A machine that grows busier brings
each block a little later than the one before: 1.4 ms over three seconds were measured. Where blocks are late by one of
30 ms from the middle on, the line leans by 45 ms and the rest shows 26: 13 ms were measured, of which it showed 7."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How the sound arrived."""

    seconds: float
    rate_hz: float
    """Samples a second by the monotonic clock."""
    rate_error_hz: float
    """How far that may be off. The standard error of a regression would be up to eight times too small: blocks come in
    bursts whose rhythm does not average out."""
    overflows: int
    """Blocks before which the system says that sound was lost."""
    longest_gap_s: float
    """The longest time between two blocks."""


class Hum(msgspec.Struct, frozen=True, kw_only=True):
    """Hum of the mains, with its first harmonics."""

    mains_hz: int
    """50 or 60, whichever is stronger."""
    dbfs: float
    share: float
    """Of the power of the noise, 0 to 1."""


class ChannelMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One channel, over a stretch in which nobody spoke."""

    channel: Channel
    """Counted from 1, or "mix" for the mean of all."""
    noise_dbfs: float
    """Level of the median block: a knock does not count."""
    dc: float
    """Mean of the samples, -1 to 1, without the blocks in which it is farthest from the others."""
    peak: float
    """Largest distance of a sample from zero, 0 to 1."""
    clipped: int
    """Samples at full scale."""
    is_dead: bool
    """Whether there was no sound at all, not even noise."""
    hum: Hum | None
    """None for a dead channel, and for a stretch that is too short to say."""


class Arrivals:
    """The times of arrival of blocks."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []
        self._frames = 0
        self._overflows = 0

    def add(self, at_s: float, frames: int, *, overflowed: bool) -> None:
        """A block of so many frames has arrived; `overflowed`: sound was lost before it."""
        # Of the first block it is unknown when its first sample was taken, so counting starts behind it.
        self._frames += frames if self._points else 0
        self._points.append((at_s, self._frames))
        self._overflows += overflowed

    def timing(self) -> Timing | None:
        """What the times say; None for fewer than three blocks."""
        if len(self._points) < 3:
            return None
        line = _regression(self._points)
        times_s = [at_s for at_s, _ in self._points]
        return Timing(
            seconds=times_s[-1] - times_s[0],
            rate_hz=line.slope,
            rate_error_hz=line.slope_error,
            overflows=self._overflows,
            longest_gap_s=max(after - before for before, after in pairwise(times_s)),
        )


class ChannelMeter:
    """Measures one channel, or a mix, block by block; keeps no sound but a copy at `HUM_RATE_HZ`."""

    def __init__(self, channel: Channel, rate_hz: int) -> None:
        self._channel = channel
        self._group = max(1, round(rate_hz / HUM_RATE_HZ))
        self._hum_rate_hz = rate_hz / self._group
        self._blocks: list[tuple[float, float]] = []  # mean, mean square
        self._rest: array[int] = array("h")
        self._slow: list[float] = []
        self._lowest, self._highest = FULL_SCALE, -FULL_SCALE
        self._clipped = 0

    def add(self, samples: "array[int]") -> None:
        """The channel's part of a block."""
        if not samples:
            return
        count = len(samples)
        self._blocks.append((sum(samples) / count, math.hypot(*samples) ** 2 / count))
        lowest, highest = min(samples), max(samples)
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        if max(-lowest, highest) >= CLIPPED_STEPS:
            self._clipped += sum(abs(sample) >= CLIPPED_STEPS for sample in samples)
        pending = self._rest + samples
        whole = len(pending) - len(pending) % self._group
        self._slow += [sum(pending[i : i + self._group]) / self._group for i in range(0, whole, self._group)]
        self._rest = pending[whole:]

    def measure(self) -> ChannelMeasure | None:
        """What was measured; None without any sound."""
        if not self._blocks:
            return None
        mean = _middle_mean([own for own, _ in self._blocks])
        # Against the mean of all, as a block is too short for that of low frequencies.
        noise = median(max(0.0, square - 2 * own * mean + mean**2) for own, square in self._blocks)
        is_dead = self._highest - self._lowest <= DEAD_STEPS
        return ChannelMeasure(
            channel=self._channel,
            noise_dbfs=dbfs(noise / FULL_SCALE**2),
            dc=mean / FULL_SCALE,
            peak=max(-self._lowest, self._highest) / FULL_SCALE,
            clipped=self._clipped,
            is_dead=is_dead,
            hum=None if is_dead else hum(self._slow, self._hum_rate_hz, noise),
        )


def hum(samples: Sequence[float], rate_hz: float, power: float) -> Hum | None:
    """Hum in samples (in steps, brought down to `rate_hz` by means of groups); `power`: of all noise, in steps squared.

    None where the samples are fewer than a window, or there is no noise.
    """
    size = int(rate_hz * HUM_WINDOW_S)
    starts = range(0, len(samples) - size + 1, max(1, size // 2))
    if not starts or power <= 0:
        return None
    window = [0.5 - 0.5 * math.cos(2 * math.pi * (i + 0.5) / size) for i in range(size)]  # Hann
    middle = sum(samples) / len(samples)
    pieces = [[(samples[start + i] - middle) * window[i] for i in range(size)] for start in starts]
    powers = {
        mains_hz: sum(
            median(tone_power(piece, rate_hz, mains_hz * harmonic, sum(window)) for piece in pieces)
            for harmonic in HARMONICS
        )
        for mains_hz in MAINS_HZ
    }
    mains_hz = max(powers, key=lambda key: powers[key])
    strongest = powers[mains_hz]
    return Hum(mains_hz=mains_hz, dbfs=dbfs(strongest / FULL_SCALE**2), share=min(1.0, strongest / power))


def tone_power(windowed: Sequence[float], rate_hz: float, tone_hz: float, window_sum: float) -> float:
    """Power of a tone of `tone_hz` in samples that were multiplied by a window, by Goertzel's algorithm.

    Corrects what taking the means of groups, which led to `rate_hz`, took away from it.
    """
    coefficient = 2 * math.cos(2 * math.pi * tone_hz / rate_hz)
    before, last = 0.0, 0.0
    for sample in windowed:
        before, last = last, sample + coefficient * last - before
    magnitude_squared = before**2 + last**2 - coefficient * before * last
    x = math.pi * tone_hz / rate_hz
    return 2 * magnitude_squared / window_sum**2 / (math.sin(x) / x) ** 2


def dbfs(power: float) -> float:
    """A power, 1 being that of a constant at full scale, in decibels; at least `FLOOR_DBFS`."""
    return max(FLOOR_DBFS, 10 * math.log10(power)) if power > 0 else FLOOR_DBFS


def _middle_mean(values: Sequence[float]) -> float:
    """The mean of the middle half: a knock does not count, and what swings evenly is its middle, as by a mean."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return fmean(ordered[quarter : len(ordered) - quarter])


class _Line(NamedTuple):
    slope: float
    slope_error: float


def _regression(points: Sequence[tuple[float, int]]) -> _Line:
    """The straight line of least squares. At least three points, not all at the same time."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread <= 0:
        return _Line(0.0, math.inf)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    # As if the lateness of blocks, even over its range, leaned all one way.
    leaning = math.sqrt(12 * rest / count)
    return _Line(slope, (leaning + abs(slope) * UNSEEN_DRIFT_S) / (points[-1][0] - points[0][0]))
