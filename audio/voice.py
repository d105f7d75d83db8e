"""Cuts sound into frames of 30 ms and says of each how loud it is and whether it could be speech."""

from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

import webrtcvad

from audio.level import Loudness, loudness
from audio.resample import averaged

FRAME_MS: Final = 30
"""The longest frame that WebRTC's detector takes (it takes 10, 20 and 30 ms), and the one that it is surest of."""
_NATIVE_RATES_HZ: Final = (8000, 16000, 32000, 48000)
_FALLBACK_RATE_HZ: Final = 8000
"""The rate at which the detector itself works, so that nothing is lost by bringing other rates down to it."""


class Frame(NamedTuple):
    """30 ms of sound, judged."""

    length_s: float
    voiced: bool
    level: Loudness


class VoiceDetector:
    """Frames of a stream of 16-bit mono samples at `rate_hz`. `mode`: see `AudioSettings.vad_mode`."""

    def __init__(self, rate_hz: int, mode: int) -> None:
        samples = rate_hz * FRAME_MS // 1000
        self._frame_bytes = samples * 2
        self._length_s = samples / rate_hz
        self._rate_hz = rate_hz
        self._is_native = rate_hz in _NATIVE_RATES_HZ
        self._detector = webrtcvad.Vad(mode)
        self._rest = b""

    def frames(self, samples: bytes) -> Iterator[Frame]:
        """The frames that these samples complete; what is left over waits for the next samples."""
        pending = self._rest + samples
        whole = len(pending) - len(pending) % self._frame_bytes
        self._rest = pending[whole:]
        for start in range(0, whole, self._frame_bytes):
            frame = pending[start : start + self._frame_bytes]
            yield Frame(self._length_s, self._is_voiced(frame), loudness(frame))

    def _is_voiced(self, frame: bytes) -> bool:
        if self._is_native:
            return bool(self._detector.is_speech(frame, self._rate_hz))
        slower = averaged(array("h", frame), _FALLBACK_RATE_HZ * FRAME_MS // 1000)
        return bool(self._detector.is_speech(slower.tobytes(), _FALLBACK_RATE_HZ))
