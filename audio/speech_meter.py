"""How loud somebody speaks, judged by the very code that judges a visit."""

import msgspec

from audio.level import CLIPPED
from audio.measure import dbfs
from audio.settings import AudioSettings
from audio.speech import SpeechState, step
from audio.voice import VoiceDetector


class SpeechMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """Speech in a stretch of sound."""

    speech_s: float
    """How much of it there was."""
    dbfs: float | None
    """Its mean level; None without any speech."""
    clipped_frames: int
    """Frames of 30 ms with a sample at full scale."""


class SpeechMeter:
    """Measures the speech in a stream of 16-bit mono samples at `rate_hz`."""

    def __init__(self, settings: AudioSettings, rate_hz: int) -> None:
        self._settings = settings
        self._voice = VoiceDetector(rate_hz, settings.vad_mode)
        self._state = SpeechState()
        self._power = 0.0
        self._frames = 0
        self._clipped_frames = 0

    def add(self, samples: bytes) -> None:
        """The next samples."""
        for frame in self._voice.frames(samples):
            before_s = self._state.speech_s
            self._state, _ = step(self._state, frame, self._settings)
            if self._state.speech_s > before_s:
                self._power += 10 ** (frame.level.dbfs / 10)
                self._frames += 1
            self._clipped_frames += frame.level.peak >= CLIPPED

    def measure(self) -> SpeechMeasure:
        """What was measured so far."""
        return SpeechMeasure(
            speech_s=self._state.speech_s,
            dbfs=dbfs(self._power / self._frames) if self._frames else None,
            clipped_frames=self._clipped_frames,
        )
