"""What happens to clean speech on its way to a kiosk's microphone: speed, room, channel, noise, level."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve, lfilter, resample_poly

from audio.demo_model.mfcc import RATE_HZ

SPEED_CHANGE: Final = 0.08
"""Largest relative change of the speed of playing, and of pitch and formants with it."""
FULL_SCALE: Final = 32767.0

_SPEED_SHARE: Final = 0.5
_EQUALISER_SHARE: Final = 0.6
_REVERBERATION_SHARE: Final = 0.5
_LOW_CUT_SHARE: Final = 0.5
_HIGH_CUT_SHARE: Final = 0.25
_SWELLING_SHARE: Final = 0.4
_LIGHT_NOISE_SHARE: Final = 0.8
_PAUSE_S: Final = (0.05, 0.6)
_REVERBERATION_S: Final = (0.08, 0.5)
_REVERBERATION_GAIN: Final = (0.02, 0.12)
_TILT: Final = (-0.5, 0.6)
_LOW_CUT_HZ: Final = (50.0, 250.0)
_HIGH_CUT_HZ: Final = (2500.0, 6500.0)
_HEAVY_SNR_DB: Final = (6.0, 35.0)
_LIGHT_SNR_DB: Final = (30.0, 55.0)
_HEADROOM_DB: Final = (1.0, 26.0)

Signal = NDArray[np.float64]


def augment(samples: ArrayLike, rng: np.random.Generator, *, heavy: bool, speed_change: float = SPEED_CHANGE) -> Signal:
    """A variant of an utterance at 16 kHz: whole numbers on the scale of 16-bit samples, with pauses at both ends.

    Light augmentation adds the pauses, mostly a low noise, and changes the level; heavy augmentation changes all, each
    with a probability of its own.
    """
    signal: Signal = np.asarray(samples, dtype=np.float64)
    if heavy and rng.random() < _SPEED_SHARE:
        signal = resample_poly(signal, round(100 * rng.uniform(1 - speed_change, 1 + speed_change)), 100)
    before, after = (np.zeros(int(RATE_HZ * rng.uniform(*_PAUSE_S))) for _ in range(2))
    signal = np.concatenate([before, signal, after])
    if heavy:
        if rng.random() < _EQUALISER_SHARE:
            signal = equalise(signal, rng)
        if rng.random() < _REVERBERATION_SHARE:
            signal = reverberate(signal, rng)
    snr_db = rng.uniform(*(_HEAVY_SNR_DB if heavy else _LIGHT_SNR_DB))
    if heavy or rng.random() < _LIGHT_NOISE_SHARE:
        level = np.sqrt(np.mean(signal**2)) + 1e-6
        signal = signal + coloured_noise(len(signal), rng) * level * 10 ** (-snr_db / 20)
    peak = FULL_SCALE * 10 ** (-rng.uniform(*_HEADROOM_DB) / 20)
    rounded: Signal = np.round(signal * (peak / (np.abs(signal).max() + 1e-6)))
    return rounded


def coloured_noise(count: int, rng: np.random.Generator) -> Signal:
    """`count` samples of noise of unit level: between white and brown, at times swelling as a crowd's does."""
    size = next_fast_len(count, real=True)  # other lengths can take a transform a hundred times as long
    spectrum = rfft(rng.standard_normal(size))
    slope = (np.arange(len(spectrum)) + 1.0) ** -rng.uniform(0.0, 1.0)
    noise: Signal = irfft(spectrum * slope, size)[:count]
    if rng.random() < _SWELLING_SHARE:
        swells_hz, phase = rng.uniform(0.5, 6.0), rng.uniform(0.0, 2 * np.pi)
        noise = noise * (1.0 + 0.8 * np.sin(2 * np.pi * swells_hz * np.arange(count) / RATE_HZ + phase))
    return noise / (np.std(noise) + 1e-9)


def reverberate(signal: Signal, rng: np.random.Generator) -> Signal:
    """The signal in a room: direct sound, and a tail of noise that falls by 60 dB in 0.08 to 0.5 s. Same length."""
    count = int(rng.uniform(*_REVERBERATION_S) * RATE_HZ)
    response = rng.standard_normal(count) * 10 ** (-3.0 * np.arange(count) / count)
    response *= rng.uniform(*_REVERBERATION_GAIN)
    response[0] = 1.0
    reverberated: Signal = fftconvolve(signal, response)[: len(signal)]
    return reverberated


def equalise(signal: Signal, rng: np.random.Generator) -> Signal:
    """The signal through a microphone: a tilt of the spectrum, often a low cut, at times a telephone's high cut."""
    equalised: Signal = lfilter([1.0, -rng.uniform(*_TILT)], [1.0], signal)
    if rng.random() < _LOW_CUT_SHARE:
        equalised = lfilter([1.0, -1.0], [1.0, -_pole(rng.uniform(*_LOW_CUT_HZ))], equalised)
    if rng.random() < _HIGH_CUT_SHARE:
        pole = _pole(rng.uniform(*_HIGH_CUT_HZ))
        equalised = lfilter([1.0 - pole], [1.0, -pole], equalised)
    return equalised


def _pole(cut_hz: float) -> float:
    return float(np.exp(-2 * np.pi * cut_hz / RATE_HZ))
