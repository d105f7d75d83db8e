"""Speech laid into noise at a known place, level and signal-to-noise ratio. Pure arithmetic on samples of -1 to 1.

Levels are of root mean squares in decibels below full scale, as the product's. The level of speech is that of its
active part, as in ITU-T P.56, found by a simpler rule: see `is_active`. A signal-to-noise ratio is that level against
the level of the noise as a whole.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 16000
HOP_S: Final = 0.01
ACTIVE_BELOW_PEAK_DB: Final = 30.0
"""The demonstration's files are silent around their words to 80 dB below them: anything from 25 to 40 finds the same
cut points in them to 20 ms."""
FULL_SCALE: Final = 32768

Samples = NDArray[np.float64]


class Speech(NamedTuple):
    """Sound of one visitor with nothing around it."""

    name: str
    samples: Samples
    start_s: float
    """Where the first sound of speech begins, from the start of the samples."""
    end_s: float
    """Where the last one ends."""

    @property
    def length_s(self) -> float:
        """From the first sound of speech to the end of the last."""
        return self.end_s - self.start_s


def measured(name: str, samples: Samples) -> Speech:
    """Clean speech with its true cut points. Raises `ValueError` for silence."""
    hops = np.flatnonzero(is_active(samples))
    if not len(hops):
        raise ValueError(f"{name} holds no speech")
    return Speech(name, samples, float(hops[0]) * HOP_S, float(hops[-1] + 1) * HOP_S)


def is_active(samples: Samples) -> NDArray[np.bool_]:
    """Of each `HOP_S`, whether its level is within `ACTIVE_BELOW_PEAK_DB` of that of the loudest one."""
    size = round(RATE_HZ * HOP_S)
    count = len(samples) // size
    power = np.mean(samples[: count * size].reshape(count, size) ** 2, axis=1)
    least = power.max(initial=0.0) * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)
    return np.asarray((power > 0) & (power >= least))


def active_dbfs(samples: Samples) -> float:
    """Level of the active part. Raises `ValueError` for silence."""
    active = np.repeat(is_active(samples), round(RATE_HZ * HOP_S))
    if not active.any():
        raise ValueError("silence has no active level")
    return dbfs(samples[: len(active)][active])


def dbfs(samples: Samples) -> float:
    """Level of all of it, at least -200."""
    return 10 * float(np.log10(np.mean(samples**2) + 1e-20))


def at_level(noise: Samples, level_dbfs: float) -> Samples:
    """The noise, brought to this level as a whole."""
    return np.asarray(noise * 10 ** ((level_dbfs - dbfs(noise)) / 20))


def spoken_at(speech: Speech, level_dbfs: float) -> Speech:
    """The speech, its active part brought to this level."""
    gain = 10 ** ((level_dbfs - active_dbfs(speech.samples)) / 20)
    return speech._replace(samples=speech.samples * gain)


def joined(first: Speech, second: Speech, pause_s: float) -> Speech:
    """Two sentences of one visitor, equally loud, with `pause_s` of silence between the words of both."""
    equally_loud = spoken_at(second, active_dbfs(first.samples))
    head = first.samples[: round(first.end_s * RATE_HZ)]
    tail = equally_loud.samples[round(second.start_s * RATE_HZ) :]
    silence = np.zeros(round(pause_s * RATE_HZ))
    end_s = first.end_s + pause_s + second.length_s
    return Speech(f"{first.name}, {second.name}", np.concatenate((head, silence, tail)), first.start_s, end_s)


def lay(speech: Speech, bed: Samples, start_s: float) -> None:
    """Add the speech to the bed, in place, so that its first sound begins at `start_s`.

    Raises `ValueError` where it does not fit.
    """
    offset = round((start_s - speech.start_s) * RATE_HZ)
    if offset < 0 or offset + len(speech.samples) > len(bed):
        raise ValueError(f"{speech.name} does not fit into {len(bed) / RATE_HZ:.1f} s of noise at {start_s:.2f} s")
    bed[offset : offset + len(speech.samples)] += speech.samples


def pcm(samples: Samples) -> bytes:
    """As 16-bit samples in native byte order; what is too loud is clipped, as by a microphone's converter."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16).tobytes()
