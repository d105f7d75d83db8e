"""A level meter for a person who looks at it while somebody speaks. Its time is that of the sound: it has no clock."""

from collections import deque
from enum import Enum
from typing import Final, NamedTuple

from audio.level import CLIPPED, FLOOR_DBFS, SILENCE, Loudness, loudness, together
from audio.measure import dbfs
from audio.settings import AudioSettings
from audio.verdict import LOUD_DBFS

WINDOW_S: Final = 0.3
"""The level is that of so much sound, as on a VU meter (IEC 60268-17): less, and the figures cannot be read."""
HOLD_S: Final = 1.5
"""How long a peak is held, and how long the word stays that of the loudest syllable."""


class Zone(Enum):
    """What a level means, as a word."""

    SILENT = "silent"
    QUIET = "quiet"
    GOOD = "good"
    LOUD = "loud"
    CLIPPING = "CLIPPING"


class Reading(NamedTuple):
    """What the meter shows."""

    dbfs: float
    """Level of the newest `WINDOW_S`."""
    peak_dbfs: float
    """Highest peak of the last `HOLD_S`."""
    zone: Zone
    """By the loudest of the last `HOLD_S`."""


class LevelMeter:
    """Follows the level of blocks of the length that the settings say."""

    def __init__(self, settings: AudioSettings) -> None:
        self._settings = settings
        block_s = settings.block_ms / 1000
        self._window: deque[Loudness] = deque(maxlen=max(1, round(WINDOW_S / block_s)))
        self._held: deque[Loudness] = deque(maxlen=max(1, round(HOLD_S / block_s)))
        self.loudest_dbfs = FLOOR_DBFS
        """The highest level since the beginning."""
        self.highest_peak = 0.0
        """The highest peak since the beginning, of 1."""

    def hear(self, samples: bytes) -> None:
        """The next block: 16-bit mono samples."""
        block = loudness(samples)
        self._window.append(block)
        level = together(self._window)
        self._held.append(Loudness(level.dbfs, block.peak))
        self.loudest_dbfs = max(self.loudest_dbfs, level.dbfs)
        self.highest_peak = max(self.highest_peak, block.peak)

    def reading(self) -> Reading:
        """What to show."""
        peak = max((held.peak for held in self._held), default=0.0)
        loudest = max((held.dbfs for held in self._held), default=FLOOR_DBFS)
        level = self._held[-1] if self._held else SILENCE
        return Reading(level.dbfs, dbfs(peak**2), self._zone(loudest, peak))

    def _zone(self, loudest_dbfs: float, peak: float) -> Zone:
        if peak >= CLIPPED:
            return Zone.CLIPPING
        bounds = (
            (self._settings.silence_dbfs, Zone.SILENT),
            (self._settings.quiet_dbfs, Zone.QUIET),
            (LOUD_DBFS, Zone.GOOD),
        )
        return next((zone for below, zone in bounds if loudest_dbfs < below), Zone.LOUD)
