"""Mel-frequency cepstral coefficients, computed as Kaldi does.

The arithmetic is that of Kaldi's `feature-window.cc` and `feature-mfcc.cc`, so that the network is trained on what the
recogniser will compute with `MFCC_CONF`.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

RATE_HZ: Final = 16000
FRAME_SAMPLES: Final = 400
"""25 ms."""
FRAME_STEP_SAMPLES: Final = 160
"""10 ms."""
CEPSTRA: Final = 40
"""As many as there are mel filters: the cosine transform loses nothing."""
LOWEST_HZ: Final = 40.0
HIGHEST_HZ: Final = RATE_HZ / 2 - 400.0

MFCC_CONF: Final = f"""--sample-frequency={RATE_HZ}
--use-energy=false
--num-mel-bins={CEPSTRA}
--num-ceps={CEPSTRA}
--low-freq={LOWEST_HZ:.0f}
--high-freq={HIGHEST_HZ - RATE_HZ / 2:.0f}
--dither=0.0
"""
"""The text of `conf/mfcc.conf`. Without dither, because with it results vary from run to run."""

_SPECTRUM_SAMPLES: Final = 512
_BINS: Final = _SPECTRUM_SAMPLES // 2 + 1
_PREEMPHASIS: Final = 0.97
_LIFTER: Final = 22.0
_BEND_HZ: Final = 4800.0
"""Formants are moved below it in proportion; above it the rest of the band is stretched or squeezed to fit."""


def mfcc(samples: ArrayLike, warp: float = 1.0) -> NDArray[np.float32]:
    """Coefficients of a signal at 16 kHz on the scale of 16-bit samples: shape (frames, 40), a frame each 10 ms.

    A frame covers 25 ms and lies wholly inside the signal, so that a signal under 25 ms has none. `warp` multiplies the
    frequencies of the formants, which makes another speaker's vocal tract of it; with 1.0 the result is Kaldi's.
    """
    signal = np.ascontiguousarray(samples, dtype=np.float32)
    if len(signal) < FRAME_SAMPLES:
        return np.zeros((0, CEPSTRA), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME_SAMPLES)[::FRAME_STEP_SAMPLES]
    frames = frames - frames.mean(axis=1, keepdims=True)
    # Kaldi takes the sample before the first one for equal to it.
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = np.fft.rfft((frames - np.float32(_PREEMPHASIS) * before) * _WINDOW, _SPECTRUM_SAMPLES)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    energies = np.maximum(power @ _mel_filters(warp), np.finfo(np.float32).eps)
    coefficients: NDArray[np.float32] = np.log(energies) @ COSINES
    return coefficients


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def _warped(hertz: NDArray[np.float64], warp: float) -> NDArray[np.float64]:
    top = RATE_HZ / 2
    above = _BEND_HZ * warp + (hertz - _BEND_HZ) * (top - _BEND_HZ * warp) / (top - _BEND_HZ)
    return np.where(hertz < _BEND_HZ, hertz * warp, above)


def _mel_filters(warp: float) -> NDArray[np.float32]:
    """Triangles of equal width in mel, shape (257 bins of the spectrum, 40 filters)."""
    lowest, highest = _mel(np.array([LOWEST_HZ, HIGHEST_HZ]))
    edges = np.linspace(lowest, highest, CEPSTRA + 2)
    bins = _mel(_warped(np.arange(_BINS) * RATE_HZ / _SPECTRUM_SAMPLES, warp))[:, np.newaxis]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters: NDArray[np.float64] = np.maximum(
        0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    )
    filters[-1] = 0.0  # Kaldi leaves out the bin at half the sample rate
    return filters.astype(np.float32)


def _povey_window() -> NDArray[np.float32]:
    hann: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / (FRAME_SAMPLES - 1))
    return (hann**0.85).astype(np.float32)


def _liftered_cosines() -> NDArray[np.float32]:
    """The cosine transform with Kaldi's lifter in it, shape (40 filters, 40 coefficients)."""
    order = np.arange(CEPSTRA)
    cosines: NDArray[np.float64] = np.sqrt(2.0 / CEPSTRA) * np.cos(np.pi / CEPSTRA * np.outer(order + 0.5, order))
    cosines[:, 0] = np.sqrt(1.0 / CEPSTRA)
    lifter = 1.0 + 0.5 * _LIFTER * np.sin(np.pi * order / _LIFTER)
    return (cosines * lifter).astype(np.float32)


_WINDOW: Final = _povey_window()
COSINES: Final = _liftered_cosines()
"""From the logarithms of the filters' energies to the coefficients: shape (40, 40), and it has an inverse."""
