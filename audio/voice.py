"""Cuts sound into frames of 30 ms and says of each how loud it is and whether it could be speech."""

from array import array
from collections.abc import Iterator
from typing import Final

import webrtcvad
from msgspec import Struct

from audio.level import Loudness, two_levels
from audio.resample import averaged

FRAME_MS: Final = 30
"""The longest frame that WebRTC's detector takes (it takes 10, 20 and 30 ms), and the one that it is surest of."""
_NATIVE_RATES_HZ: Final = (8000, 16000, 32000, 48000)
_LOOKED_AT_HZ: Final = 4000
"""Samples of each second that levels are taken of, at every rate. Steady noise moves by about 0.6 dB from frame to
frame then; with fewer, it would seem to move as speech does."""
_FALLBACK_RATE_HZ: Final = 8000
"""The rate at which the detector itself works, so that nothing is lost by bringing other rates down to it."""


class Frame(Struct, frozen=True, gc=False):
    """30 ms of sound, judged."""

    length_s: float
    voiced: bool
    level: Loudness
    low_dbfs: float
    """Level of its low tones alone: see `two_levels`."""


class VoiceDetector:
    """Frames of a stream of 16-bit mono samples at `rate_hz`. `mode`: see `AudioSettings.vad_mode`."""

    def __init__(self, rate_hz: int, mode: int) -> None:
        self._samples = rate_hz * FRAME_MS // 1000
        self._length_s = self._samples / rate_hz
        self._rate_hz = rate_hz
        self._stride = max(1, round(rate_hz / _LOOKED_AT_HZ))
        self._is_speech = webrtcvad.Vad(mode).is_speech
        self._is_voiced = self._native if rate_hz in _NATIVE_RATES_HZ else self._slower
        self._rest = b""

    def frames(self, samples: bytes) -> Iterator[Frame]:
        """The frames that these samples complete; what is left over waits for the next samples."""
        pending = self._rest + samples
        size = self._samples * 2
        whole = len(pending) - len(pending) % size
        self._rest = pending[whole:]
        for start in range(0, whole, size):
            frame = pending[start : start + size]
            level, low_dbfs = two_levels(frame, self._stride)
            yield Frame(self._length_s, self._is_voiced(frame), level, low_dbfs)

    def _native(self, frame: bytes) -> bool:
        return bool(self._is_speech(frame, self._rate_hz, self._samples))

    def _slower(self, frame: bytes) -> bool:
        slower = averaged(array("h", frame), _FALLBACK_RATE_HZ * FRAME_MS // 1000)
        return bool(self._is_speech(slower.tobytes(), _FALLBACK_RATE_HZ))
