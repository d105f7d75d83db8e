"""Whether the sound of a microphone is sound: a pure account of its blocks, with their times passed in.

A microphone can fail without any error: it delivers zeros, or fewer samples than it says, or only the two ends of the
scale. Each `Problem` is judged by itself, and what cannot be said yet is not said.
"""

import math
from enum import StrEnum
from typing import Final, NamedTuple

from audio.level import CLIPPED, FULL_SCALE
from audio.settings import AudioSettings

STRIDE: Final = 17
"""Of so many samples one is looked at."""
DEAD_STEPS: Final = 2
"""Sound that never leaves so many steps of a 16-bit sample is none: a converter without a microphone gives this."""
LIVELY_S: Final = 0.3
"""Sound must go on for so long until a dead microphone counts as alive: plugs and switches click."""
WINDOW_S: Final = 5.0
"""Everything but death is judged over stretches of this length."""
EDGE_S: Final = 1.0
"""At both ends of a window the earliest block is looked for; see `_Rate`."""
RATE_TOLERANCE: Final = 0.03
"""Crystals are right to 0.0005, and Vosk does not mind 0.02. A device that delivers 44.1 kHz for 48 is off by 0.08."""
OFF_WINDOWS: Final = 2
"""In a row: a machine that stood still for a moment makes a single one wrong."""
CLIPPED_SHARE: Final = 0.5
"""Of the blocks of a window: not even somebody who shouts keeps to full scale so long. Over at a fifth of it."""
OFFSET_OVER: Final = 0.7
"""An offset is over below this share of the limit."""
OFFSET_SHARE: Final = 0.1
"""Of the sound's own extent: in louder sound the middle cannot be told from so few samples."""
OVERFLOWS_MANY: Final = 5
"""In a window. Over without any."""


class Problem(StrEnum):
    """What can be wrong with the sound of a microphone."""

    DEAD = "dead"
    """It does not change at all."""
    WRONG_RATE = "wrong_rate"
    """Not as many samples arrive as were agreed."""
    CLIPPING = "clipping"
    """It stays at the ends of the scale."""
    OFFSET = "offset"
    """Its middle is far from zero."""
    OVERFLOWS = "overflows"
    """Sound is lost again and again."""


class Finding(NamedTuple):
    """What has come to light."""

    problem: Problem
    is_present: bool
    text: str
    """For a technician: what is wrong and what to do about it, or what is right again."""


class Look(NamedTuple):
    """What was seen of a block: extent and sum, in steps of a sample, of so many samples."""

    lowest: int
    highest: int
    total: int
    samples: int


def look(samples: bytes) -> Look:
    """Look at 16-bit mono samples in native byte order, at least one."""
    values = memoryview(samples).cast("h")
    seen = values[::STRIDE].tolist()
    lowest, highest = min(seen), max(seen)
    if highest - lowest <= DEAD_STEPS:  # rare, as with a tone of just this period, and then it must be known for sure
        seen = values.tolist()
        lowest, highest = min(seen), max(seen)
    return Look(lowest, highest, sum(seen), len(seen))


class SoundHealth:
    """Judges the sound of a stream of `rate_hz`, from its start on.

    A finding comes when something is known for the first time, and whenever it changes.
    """

    def __init__(self, settings: AudioSettings, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._dead_s = settings.dead_s
        self._offset_limit = 10 ** (settings.quiet_dbfs / 20)
        self._known: dict[Problem, bool] = {}
        self._lowest, self._highest = FULL_SCALE, -FULL_SCALE
        self._lively_s = 0.0
        self._rate = _Rate(rate_hz)
        self._window = _Window()
        self.flat_s = 0.0
        """How long the sound has not changed."""

    @property
    def is_dead(self) -> bool:
        """Whether the sound has not changed for too long."""
        return self.flat_s >= self._dead_s

    def hear(self, samples: bytes, at_s: float, *, overflowed: bool = False) -> list[Finding]:
        """Take a block of 16-bit mono samples that arrived at `at_s`; `overflowed`: sound was lost before it."""
        frames = len(samples) // 2
        if not frames:
            return []
        seen = look(samples)
        findings = self._judge_life(seen, frames / self._rate_hz)
        self._window.add(seen, at_s, overflowed=overflowed)
        self._rate.add(at_s, frames, overflowed=overflowed)
        if self._window.seconds >= WINDOW_S:
            findings += self._judge_window()
        return findings

    def _judge_life(self, seen: Look, length_s: float) -> list[Finding]:
        lowest, highest = min(self._lowest, seen.lowest), max(self._highest, seen.highest)
        if highest - lowest <= DEAD_STEPS:
            self._lowest, self._highest = lowest, highest
            self.flat_s += length_s
            self._lively_s = 0.0
        else:
            # A block that is flat by itself starts a new flat stretch: the value may have jumped.
            is_flat = seen.highest - seen.lowest <= DEAD_STEPS
            self._lowest, self._highest = (seen.lowest, seen.highest) if is_flat else (FULL_SCALE, -FULL_SCALE)
            self.flat_s = length_s if is_flat else 0.0
            self._lively_s = 0.0 if is_flat else self._lively_s + length_s
        if self.is_dead:
            return self._learn(Problem.DEAD, True, dead_text(self.flat_s))
        if self._lively_s >= LIVELY_S:
            return self._learn(Problem.DEAD, False, "the microphone gives sound")
        return []

    def _judge_window(self) -> list[Finding]:
        window, self._window = self._window, _Window()
        deviation = self._rate.close()
        findings = self._judge_overflows(window)
        if deviation is not None:
            findings += self._judge_rate(deviation)
        if not self.is_dead:  # a constant says nothing about the sound that would come
            findings += self._judge_clipping(window) + self._judge_offset(window)
        return findings

    def _judge_overflows(self, window: "_Window") -> list[Finding]:
        if window.overflows >= OVERFLOWS_MANY:
            return self._learn(
                Problem.OVERFLOWS,
                True,
                f"sound was lost {window.overflows} times in {window.seconds:.0f} s: stop other programs, use a power "
                "supply that is strong enough, and raise `latency_s` in [audio]",
            )
        return [] if window.overflows else self._learn(Problem.OVERFLOWS, False, "no more sound is lost")

    def _judge_rate(self, deviation: float) -> list[Finding]:
        if abs(deviation) > RATE_TOLERANCE:
            return self._learn(
                Problem.WRONG_RATE,
                True,
                f"the microphone delivers about {self._rate_hz * (1 + deviation):.0f} samples a second and not "
                f"{self._rate_hz}, so that words sound too high or too low: plug it in directly, without a hub, and "
                "replace it if that does not help",
            )
        return self._learn(Problem.WRONG_RATE, False, f"the microphone delivers its {self._rate_hz} samples a second")

    def _judge_clipping(self, window: "_Window") -> list[Finding]:
        share = window.clipped / window.blocks
        if share >= CLIPPED_SHARE:
            return self._learn(
                Problem.CLIPPING,
                True,
                f"{100 * share:.0f} % of the sound reaches full scale: lower the capture level with alsamixer (F4), "
                "and look for a loose contact",
            )
        if share > CLIPPED_SHARE / 5:
            return []
        return self._learn(Problem.CLIPPING, False, "the sound stays below full scale")

    def _judge_offset(self, window: "_Window") -> list[Finding]:
        offset = window.mean / FULL_SCALE
        if abs(offset) > max(self._offset_limit, OFFSET_SHARE * window.extent / FULL_SCALE):
            return self._learn(
                Problem.OFFSET,
                True,
                f"the middle of the sound is off by {100 * offset:+.1f} % of full scale, which reads as loud as quiet "
                "speech: try another USB socket without a hub, and replace the microphone or its adapter if it stays",
            )
        if abs(offset) > self._offset_limit * OFFSET_OVER:
            return []
        return self._learn(Problem.OFFSET, False, "the middle of the sound is near zero")

    def _learn(self, problem: Problem, is_present: bool, text: str) -> list[Finding]:
        if self._known.get(problem) == is_present:
            return []
        self._known[problem] = is_present
        return [Finding(problem, is_present, text)]


def dead_text(flat_s: float, lively_channel: int | None = None) -> str:
    """What to say of a microphone whose sound has not changed for so long; `lively_channel`: another that has sound."""
    said = f"the microphone has given no sound, not even noise, for {flat_s:.0f} s"
    if lively_channel is not None:
        return f"{said}, but its channel {lively_channel} does: set `channel = {lively_channel}` in [audio]"
    return (
        f"{said}: switch it on, look for its mute switch and its plug, and raise its capture level with alsamixer (F4)"
    )


def lively_channel(samples: bytes, channels: int) -> int | None:
    """The first channel, from 1, that has sound, of interleaved 16-bit samples."""
    values = memoryview(samples).cast("h")
    columns = (values[channel::channels].tolist() for channel in range(channels))
    return next((i for i, column in enumerate(columns, start=1) if max(column) - min(column) > DEAD_STEPS), None)


class _Window:
    """Sums over a stretch of sound."""

    def __init__(self) -> None:
        self.blocks = 0
        self.clipped = 0
        self.overflows = 0
        self._total = self._samples = self._extents = 0
        self._began_s = math.nan
        self.seconds = 0.0

    def add(self, seen: Look, at_s: float, *, overflowed: bool) -> None:
        if not self.blocks:
            self._began_s = at_s
        self.seconds = at_s - self._began_s
        self.blocks += 1
        self.clipped += max(seen.highest, -seen.lowest) >= CLIPPED * FULL_SCALE
        self.overflows += overflowed
        self._total += seen.total
        self._samples += seen.samples
        self._extents += seen.highest - seen.lowest

    @property
    def mean(self) -> float:
        """Of the samples seen."""
        return self._total / self._samples

    @property
    def extent(self) -> float:
        """From the lowest sample to the highest, mean of all blocks."""
        return self._extents / self.blocks


class _Arrival(NamedTuple):
    """Of a block: when, and how late against its samples, with a constant in it."""

    at_s: float
    late_s: float


class _Rate:
    """Compares the samples that arrive with the clock.

    A block can be late and never early. So of the blocks near each end of a window the one counts that was least late.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._off_windows = 0
        self._begin()

    def _begin(self) -> None:
        self._frames = 0
        self._arrivals: list[_Arrival] = []
        self._is_whole = True

    def add(self, at_s: float, frames: int, *, overflowed: bool) -> None:
        self._is_whole = self._is_whole and not overflowed
        # Of the first block it is unknown when its first sample was taken, so counting starts behind it.
        self._frames += frames if self._arrivals else 0
        self._arrivals.append(_Arrival(at_s, at_s - self._frames / self._rate_hz))

    def close(self) -> float | None:
        """The rate's deviation, a share of the rate; None where it cannot be said for sure. Begins a new window."""
        deviation = self._deviation() if self._is_whole else None
        self._begin()
        if deviation is None or abs(deviation) <= RATE_TOLERANCE:
            self._off_windows = 0
            return deviation
        self._off_windows += 1
        return deviation if self._off_windows >= OFF_WINDOWS else None

    def _deviation(self) -> float | None:
        first_s, last_s = self._arrivals[0].at_s, self._arrivals[-1].at_s
        early = min((one for one in self._arrivals if one.at_s <= first_s + EDGE_S), key=_lateness)
        late = min((one for one in self._arrivals if one.at_s >= last_s - EDGE_S), key=_lateness)
        between_s = late.at_s - early.at_s
        return (early.late_s - late.late_s) / between_s if between_s > 0 else None


def _lateness(arrival: _Arrival) -> float:
    return arrival.late_s
