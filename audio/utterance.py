"""What is known of a visit's sound besides its words: its length, its speech, whether it was too quiet or too loud."""

from collections.abc import Iterable
from typing import Final

from audio.background import UNKNOWN, Background
from audio.level import CLIPPED
from audio.protocol import Transcript
from audio.recogniser import Recognition
from audio.settings import AudioSettings
from audio.speech import Sign, beginning, step, with_word
from audio.voice import Frame

CLIPPED_FRAMES: Final = 3
"""This many frames with a clipped sample mean too loud; a single one is a knock on the kiosk."""


class Utterance:
    """The sound of one visit, frame by frame. `preroll`: its frames from before `Begin`; `background`: the shop's."""

    def __init__(
        self, settings: AudioSettings, preroll: Iterable[Frame] = (), background: Background = UNKNOWN
    ) -> None:
        earlier = tuple(preroll)
        self._settings = settings
        self._background_power = _power(background.usual_dbfs)
        self._state = beginning(background, -sum(frame.length_s for frame in earlier))
        self._speech_power = 0.0
        self._speech_frames = 0
        self._clipped_frames = 0
        self.earlier_signs = tuple(sign for frame in earlier if (sign := self.hear(frame)) is not None)

    @property
    def speech_started_s(self) -> float | None:
        """Start of the first speech, from `Begin`."""
        return self._state.started_s

    def hear(self, frame: Frame) -> Sign | None:
        """Take the next frame; what it brought to light."""
        before_s = self._state.speech_s
        self._state, sign = step(self._state, frame, self._settings)
        if self._state.speech_s > before_s:
            self._speech_power += _power(frame.low_dbfs)
            self._speech_frames += 1
            self._clipped_frames += frame.level.peak >= CLIPPED
        return sign

    def hear_words(self, text: str) -> None:
        """Take the recogniser's words so far."""
        if text:
            self._state = with_word(self._state)

    def transcript(
        self,
        visit: str,
        recognition: Recognition,
        *,
        model: str,
        audio_s: float,
        finalise_ms: float,
        language: str | None = None,
        interrupted: bool = False,
    ) -> Transcript:
        """The visit's transcript. `language`: of the model; None: the default one.

        Words are taken for nothing where there was no speech: Vosk hears some in noise.
        """
        spoken = self._state.speech_s > 0 and bool(recognition.text)
        words = recognition.words if spoken else ()
        return Transcript(
            visit=visit,
            text=recognition.text if spoken else None,
            language=language or self._settings.language,
            model=model,
            confidence=round(sum(word.confidence for word in words) / len(words), 4) if words else None,
            words=words,
            audio_s=round(audio_s, 3),
            speech_s=round(self._state.speech_s, 3),
            finalise_ms=round(finalise_ms, 1),
            too_quiet=self._is_too_quiet(),
            too_loud=self._clipped_frames >= CLIPPED_FRAMES,
            interrupted=interrupted,
        )

    def _is_too_quiet(self) -> bool:
        if not self._speech_frames:
            return False
        power = self._speech_power / self._speech_frames - self._background_power
        return power < _power(self._settings.quiet_dbfs)


def _power(dbfs: float) -> float:
    return 10 ** (dbfs / 10)
