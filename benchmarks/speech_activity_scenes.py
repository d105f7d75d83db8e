"""What the detection of speech is measured with: who speaks, in what noise, how loud, and when they press."""

import shutil
import subprocess
import wave
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.speech_activity_noises import NOISES, Noise, faster, room, trimmed, voices
from benchmarks.speech_mixing import RATE_HZ, Samples, Speech, at_level, joined, lay, measured, pcm, spoken_at

SPEECH: Final = Path(__file__).parent.parent / "demo" / "speech"
CLEAN: Final = "clean"
"""Nothing but room tone."""
ROOM_DBFS: Final = -70.0
"""Room tone lies below everything: no microphone is without."""
SNRS_DB: Final = (20, 15, 10, 5, 0)
LEVELS_DBFS: Final = (-20.0, -30.0, -40.0)
"""Of the visitors' speech."""
ALONE_DBFS: Final = (-25.0, -35.0, -45.0)
"""Of noise that nobody speaks in."""
LEAD_S: Final = 15.0
"""So long the ear hears the shop before the first press."""
SPEECH_AFTER_PRESS_S: Final = (1.0, 0.4, -0.3, 2.5)
"""In turn: a visitor who speaks before the press is in the pre-roll."""
BEGINNING: Final = {"fan begins": "fan", "music begins": "music", "voices begin": "two voices"}
"""Noises that the shop is not known by: they rise by `RISE_DB` just after each press, and fall after the visit."""
RISE_DB: Final = 20.0
RISES_AFTER_PRESS_S: Final = 0.3
RISES_WITHIN_S: Final = 0.2
SPEECH_AFTER_RISE_S: Final = 2.5
AFTER_SPEECH_S: Final = 3.5
BETWEEN_VISITS_S: Final = 3.0
PAUSE_BETWEEN_SENTENCES_S: Final = 0.8
BED_S: Final = 110.0
BABBLE_VOICES: Final = 8
ESPEAK_VOICES: Final = ("en-us+f2", "en-us+m3", "en-us+f4", "en-us+m7", "en-us+Andy", "en-gb+linda")
ESPEAK_TEXT: Final = "the parcel came on tuesday and the neighbour kept it for us until we were back from the lake"


class Visit(NamedTuple):
    """When somebody presses and speaks, in seconds of a recording."""

    press_s: float
    start_s: float
    end_s: float


class Recording(NamedTuple):
    """What the microphone hears in a shop where visitors come one after the other."""

    noise: str
    snr_db: int | None
    """None for `CLEAN`."""
    level_dbfs: float
    """Of the visitors' speech; where there is none, of the noise."""
    samples: bytes
    """16-bit mono at `RATE_HZ`, native byte order."""
    visits: tuple[Visit, ...] = ()
    """None of them where nobody speaks."""


class Scenes:
    """All recordings, for some speech. The same arguments give the same sound.

    `talkers` babble, besides the visitors' own sentences in other voices.
    """

    def __init__(self, speeches: Sequence[Speech], talkers: Sequence[Speech] = ()) -> None:
        pairs = zip(speeches[::2], speeches[1::2], strict=False)
        pause_s = PAUSE_BETWEEN_SENTENCES_S
        self._speeches = [*speeches, *(joined(first, second, pause_s) for first, second in pairs)]
        others = [faster(part, factor) for part in trimmed(speeches) for factor in (0.84, 1.19)]
        crowd = [*trimmed(talkers), *others]
        noises: dict[str, Noise] = {
            **NOISES,
            "babble": voices(crowd[:BABBLE_VOICES], (0.1, 0.5)),
            "two voices": voices(crowd[3:5], (0.3, 1.5)),
        }
        self.noises = tuple(noises)
        self._beds = {name: make(BED_S, _generator(name)) for name, make in noises.items()}
        self._room = at_level(room(BED_S, _generator(CLEAN)), ROOM_DBFS)

    def spoken(
        self,
        noises: Sequence[str] | None = None,
        snrs_db: Sequence[int] = SNRS_DB,
        levels_dbfs: Sequence[float] = LEVELS_DBFS,
    ) -> Iterator[Recording]:
        """All visitors in every noise (None: in all, and in none) at every ratio, each at every level."""
        for noise in (CLEAN, *self.noises, *BEGINNING) if noises is None else noises:
            for snr_db in (None,) if noise == CLEAN else snrs_db:
                for level_dbfs in levels_dbfs:
                    yield self._recording(noise, snr_db, level_dbfs)

    def alone(self, levels_dbfs: Sequence[float] = ALONE_DBFS) -> Iterator[Recording]:
        """Every noise at every level with nobody in it, and room tone, which has its own level."""
        yield Recording(CLEAN, None, ROOM_DBFS, pcm(self._room))
        for noise in self.noises:
            for level_dbfs in levels_dbfs:
                bed = _shifted(at_level(self._beds[noise], level_dbfs), f"{noise} {level_dbfs}")
                yield Recording(noise, None, level_dbfs, pcm(bed + self._room))

    def _recording(self, noise: str, snr_db: int | None, level_dbfs: float) -> Recording:
        visits = tuple(self._visits(begins=noise in BEGINNING))
        sound = self._room.copy()
        if snr_db is not None:
            bed = at_level(self._beds[BEGINNING.get(noise, noise)], level_dbfs - snr_db)
            bed = _shifted(bed, f"{noise} {snr_db} {level_dbfs}")
            sound += bed * _rising(visits) if noise in BEGINNING else bed
        for speech, visit in zip(self._speeches, visits, strict=True):
            lay(spoken_at(speech, level_dbfs), sound, visit.start_s)
        end_s = visits[-1].end_s + AFTER_SPEECH_S
        return Recording(noise, snr_db, level_dbfs, pcm(sound[: round(end_s * RATE_HZ)]), visits)

    def _visits(self, *, begins: bool) -> Iterator[Visit]:
        press_s = LEAD_S
        for number, speech in enumerate(self._speeches):
            after_s = SPEECH_AFTER_PRESS_S[number % len(SPEECH_AFTER_PRESS_S)]
            start_s = press_s + (RISES_AFTER_PRESS_S + SPEECH_AFTER_RISE_S if begins else after_s)
            yield Visit(press_s, start_s, start_s + speech.length_s)
            press_s = start_s + speech.length_s + AFTER_SPEECH_S + BETWEEN_VISITS_S


def demonstration_speech() -> list[Speech]:
    """The demonstration's sentences."""
    return [_read(path) for path in sorted(SPEECH.glob("*.wav"))]


def spoken_by_espeak() -> list[Speech]:
    """Further voices, of espeak-ng; none where it is not installed."""
    program = shutil.which("espeak-ng")
    return [measured(voice, _espeak(program, voice)) for voice in ESPEAK_VOICES] if program else []


def _read(path: Path) -> Speech:
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (RATE_HZ, 2, 1):
            raise ValueError(f"{path} is not 16-bit mono at {RATE_HZ} Hz")
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return measured(path.stem, samples / 32768)


def _espeak(program: str, voice: str) -> Samples:
    command = [program, "-v", voice, "--stdout", ESPEAK_TEXT]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    rate_hz = int.from_bytes(wav[24:28], "little")
    # The header's length is not true, because espeak-ng cannot go back in a pipe; so all that follows counts.
    samples = np.frombuffer(wav[44 : len(wav) // 2 * 2], "<i2") / 32768
    return faster(samples, rate_hz / RATE_HZ)


def _shifted(bed: Samples, seed: str) -> Samples:
    """The bed from another moment on; what is before it comes after its end."""
    return np.roll(bed, int(_generator(seed).integers(len(bed))))


def _rising(visits: Sequence[Visit]) -> Samples:
    """Factors for noise that is loud in visits only."""
    corners = [(0.0, -RISE_DB)]
    for visit in visits:
        rise_s, fall_s = visit.press_s + RISES_AFTER_PRESS_S, visit.end_s + AFTER_SPEECH_S
        corners += [(rise_s, -RISE_DB), (rise_s + RISES_WITHIN_S, 0.0), (fall_s, 0.0), (fall_s + 0.5, -RISE_DB)]
    at_s, gains_db = zip(*corners, strict=True)
    times_s = np.arange(round(BED_S * RATE_HZ)) / RATE_HZ
    return np.asarray(10 ** (np.interp(times_s, at_s, gains_db) / 20), np.float64)


def _generator(seed: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(seed.encode()))
