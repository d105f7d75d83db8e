"""The noises of a shop, made in code: the same seed gives the same sound. Samples of about -1 to 1, at no set level."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.speech_mixing import RATE_HZ, Samples, Speech, at_level, spoken_at

_NOTES_HZ: Final = tuple(220.0 * 2 ** (half_tone / 12) for half_tone in range(-24, 37))

Noise = Callable[[float, np.random.Generator], Samples]
"""Makes so many seconds."""


def room(length_s: float, rng: np.random.Generator) -> Samples:
    """Room tone: noise that falls by 3 dB an octave."""
    return _shaped(length_s, rng, lambda hz: 1 / np.sqrt(np.maximum(hz, 40.0)))


def fan(length_s: float, rng: np.random.Generator) -> Samples:
    """A ventilator: shaped noise, the tones of its blades, and slow modulation."""
    at_s = _times(length_s)
    air = at_level(_shaped(length_s, rng, lambda hz: 1 / (1 + (hz / 350.0) ** 1.2)), -20.0)
    blades_hz = rng.uniform(85.0, 120.0)
    tones = np.zeros_like(at_s)
    for harmonic in range(1, 7):
        tones += np.sin(2 * np.pi * blades_hz * harmonic * at_s + rng.uniform(0, 6.28)) / harmonic
    slow_db = 1.5 * np.sin(2 * np.pi * 0.23 * at_s) + 0.7 * np.sin(2 * np.pi * 1.4 * at_s + 1.0)
    return (air + at_level(tones, -26.0)) * 10 ** (slow_db / 20)


def hum(length_s: float, rng: np.random.Generator) -> Samples:
    """Hum of the mains with its harmonics, and a little hiss."""
    at_s = _times(length_s)
    hum_ = np.zeros_like(at_s)
    for harmonic, share in ((1, 1.0), (2, 0.6), (3, 0.5), (5, 0.25), (7, 0.15), (9, 0.1)):
        hum_ += share * np.sin(2 * np.pi * 50.0 * harmonic * at_s + rng.uniform(0, 6.28))
    return at_level(hum_, -20.0) + at_level(rng.standard_normal(len(at_s)), -55.0)


def music(length_s: float, rng: np.random.Generator) -> Samples:
    """A piece: chords, a melody, a bass and drums, at 96 to 120 beats a minute."""
    beat_s = 60 / rng.uniform(96, 120)
    sound = np.zeros(len(_times(length_s)))
    chords = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))
    for beat in range(int(length_s / beat_s)):
        chord = chords[beat // 4 % 4]
        at_s = beat * beat_s
        if beat % 2 == 0:
            for note in chord:
                _add(sound, at_s, 0.16 * _tone(_NOTES_HZ[note + 12], beat_s * 2.2, 6, 1.0))
        _add(sound, at_s, 0.5 * _tone(_NOTES_HZ[chord[0]], beat_s * 0.9, 4, 3.0))
        for half in range(2):
            if rng.random() < 0.75:
                note = chord[int(rng.integers(3))] + int(rng.choice((0, 0, 12, 2)))
                length = beat_s * float(rng.choice((0.45, 0.9)))
                _add(sound, at_s + half * beat_s / 2, 0.35 * _tone(_NOTES_HZ[note + 24], length, 5, 4.0))
            _add(sound, at_s + half * beat_s / 2, 0.12 * _burst(rng, 0.04, 7000.0, 0.012))
        drum = _thump(0.18, 60.0, 0.05) if beat % 2 == 0 else _burst(rng, 0.14, 2200.0, 0.05)
        _add(sound, at_s, 0.7 * drum)
    return sound + at_level(rng.standard_normal(len(sound)), -70.0)


def shop(length_s: float, rng: np.random.Generator) -> Samples:
    """Clatter, a till's beeps, footsteps and trolleys over faint ventilation."""
    sound = at_level(fan(length_s, rng), -40.0)
    for begin_s in _moments(length_s, rng, 1.6):  # clatter: several knocks of something hard
        knocks = int(rng.integers(1, 6))
        for at_s in begin_s + np.cumsum(rng.uniform(0.04, 0.18, knocks)):
            knock = _ring(rng, float(rng.uniform(0.05, 0.16)))
            _add(sound, float(at_s), float(rng.uniform(0.1, 0.5)) * knock)
    for at_s in _moments(length_s, rng, 2.5):
        _add(sound, at_s, 0.12 * np.sin(2 * np.pi * 2400.0 * _times(0.12)))
    for begin_s in _moments(length_s, rng, 8.0):
        for step in range(int(rng.integers(5, 10))):
            _add(
                sound, begin_s + 0.55 * step, 0.25 * _thump(0.09, 110.0, 0.02) + 0.05 * _burst(rng, 0.09, 1500.0, 0.01)
            )
    for at_s in _moments(length_s, rng, 11.0):
        rolling = _burst(rng, 2.0, 700.0, 9.0) * (1 + 0.5 * np.sin(2 * np.pi * 11.0 * _times(2.0)))
        _add(sound, at_s, 0.08 * rolling * np.hanning(len(rolling)))
    return sound


def voices(speakers: Sequence[Samples], gap_s: tuple[float, float]) -> Noise:
    """People who speak at the same time, each a sentence again and again with a gap of `gap_s` (least, most)."""

    def talk(length_s: float, rng: np.random.Generator) -> Samples:
        sound = np.zeros(len(_times(length_s)))
        for speaker in speakers:
            at_s = -float(rng.uniform(0, len(speaker) / RATE_HZ))
            while at_s < length_s:
                _add(sound, at_s, speaker)
                at_s += len(speaker) / RATE_HZ + float(rng.uniform(*gap_s))
        return sound

    return talk


def trimmed(speeches: Sequence[Speech]) -> list[Samples]:
    """The spoken parts, all at one level: speakers for `voices`."""
    return [
        spoken_at(speech, -26.0).samples[round(speech.start_s * RATE_HZ) : round(speech.end_s * RATE_HZ)]
        for speech in speeches
    ]


def faster(samples: Samples, factor: float) -> Samples:
    """Played so much faster: another voice, higher and of a shorter throat (deeper and longer below 1)."""
    count = int(len(samples) / factor)
    return np.asarray(np.interp(np.arange(count) * factor, np.arange(len(samples)), samples), np.float64)


NOISES: Final[Mapping[str, Noise]] = {"fan": fan, "hum": hum, "shop": shop, "music": music}


def _times(length_s: float) -> Samples:
    return np.arange(round(length_s * RATE_HZ)) / RATE_HZ


def _shaped(length_s: float, rng: np.random.Generator, gain: Callable[[Samples], Samples]) -> Samples:
    white = rng.standard_normal(round(length_s * RATE_HZ))
    hz = np.asarray(np.fft.rfftfreq(len(white), 1 / RATE_HZ), np.float64)
    return np.asarray(np.fft.irfft(np.fft.rfft(white) * gain(hz), len(white)), np.float64)


def _moments(length_s: float, rng: np.random.Generator, every_s: float) -> list[float]:
    count = int(rng.poisson(length_s / every_s))
    return [float(at_s) for at_s in rng.uniform(0, length_s, count)]


def _add(sound: Samples, at_s: float, part: Samples) -> None:
    """Lay `part` into `sound`; what stands over its ends is left out."""
    start = round(at_s * RATE_HZ)
    begin, end = max(0, start), min(len(sound), start + len(part))
    if begin < end:
        sound[begin:end] += part[begin - start : end - start]


def _tone(hz: float, length_s: float, harmonics: int, decay_hz: float) -> Samples:
    at_s = _times(length_s)
    wave = np.zeros_like(at_s)
    for harmonic in range(1, harmonics + 1):
        if hz * harmonic < RATE_HZ / 2:
            wave += np.sin(2 * np.pi * hz * harmonic * at_s) / harmonic**1.3
    attack = np.minimum(1.0, at_s / 0.015) * np.minimum(1.0, (length_s - at_s) / 0.02)
    return np.asarray(wave * attack * np.exp(-decay_hz * at_s), np.float64)


def _burst(rng: np.random.Generator, length_s: float, above_hz: float, decay_s: float) -> Samples:
    noise = _shaped(length_s, rng, lambda hz: 1 / (1 + (above_hz / np.maximum(hz, 1.0)) ** 4))
    noise /= np.abs(noise).max()
    return noise * np.exp(-_times(length_s) / decay_s)


def _thump(length_s: float, hz: float, decay_s: float) -> Samples:
    at_s = _times(length_s)
    return np.sin(2 * np.pi * hz * at_s) * np.exp(-at_s / decay_s)


def _ring(rng: np.random.Generator, length_s: float) -> Samples:
    at_s = _times(length_s)
    ring = np.zeros_like(at_s)
    for hz in rng.uniform(900.0, 6500.0, 5):
        ring += np.sin(2 * np.pi * hz * at_s) * np.exp(-at_s / float(rng.uniform(0.006, 0.05))) / 5
    return ring
