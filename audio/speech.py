"""When a visitor starts and stops speaking: a pure state machine over judged frames of sound.

WebRTC's detector, on which the frames' flags rest, takes a tone or a fan for speech. What tells speech from those is
that its level moves: over 300 ms it changes by far more than `STEADY_DB`, a tone or steady noise by less.
"""

from enum import Enum, auto
from typing import Final

import msgspec
from msgspec.structs import replace

from audio.level import FLOOR_DBFS
from audio.settings import AudioSettings
from audio.voice import Frame

WINDOW_FRAMES: Final = 10
FRAMES_TO_START: Final = 5
"""Of the window; a shorter sound is a knock or a cough."""
FRAMES_TO_GO_ON: Final = 3
STEADY_DB: Final = 1.5
EDGE_FRAMES: Final = 2
"""The quietest frames of the window do not count when its change is looked at: a tone starts and ends in a frame."""
MEAN_WEIGHT: Final = 0.1
"""Of the newest frame in the visitor's mean level: a knock moves it little, half a second of speech a lot."""


class Phase(Enum):
    """Where a visit's speech is."""

    WAITING = auto()
    SPEAKING = auto()
    PAUSED = auto()


class Sign(Enum):
    """What a frame brought to light."""

    STARTED = auto()
    ENDED = auto()
    NOTHING_SAID = auto()


class SpeechState(msgspec.Struct, frozen=True):
    """All that is remembered between frames. Times in seconds from `Begin`, negative in the pre-roll."""

    at_s: float = 0.0
    """End of the last frame."""
    phase: Phase = Phase.WAITING
    window: tuple[float | None, ...] = ()
    """Levels of the newest frames, None for a frame that is not speech by itself."""
    started_s: float | None = None
    """Start of the first speech."""
    last_speech_s: float = 0.0
    """End of the last frame of speech."""
    speech_s: float = 0.0
    """How much speech there was."""
    mean_dbfs: float = FLOOR_DBFS
    """The visitor's mean level, newest speech weighing most."""
    nothing_said: bool = False
    """Whether `NOTHING_SAID` was given."""


Step = tuple[SpeechState, Sign | None]


def step(state: SpeechState, frame: Frame, settings: AudioSettings) -> Step:
    """The state after one more frame, and what that frame brought to light."""
    level = frame.level.dbfs if _counts(state, frame, settings) else None
    state = replace(state, at_s=state.at_s + frame.length_s, window=(*state.window[1 - WINDOW_FRAMES :], level))
    if state.phase is Phase.SPEAKING:
        return _speaking(state, frame, level, settings)
    return _silent(state, frame, settings)


def _counts(state: SpeechState, frame: Frame, settings: AudioSettings) -> bool:
    threshold = settings.silence_dbfs
    if state.started_s is not None:
        threshold = max(threshold, state.mean_dbfs - settings.background_db)
    return frame.voiced and frame.level.dbfs >= threshold


def _silent(state: SpeechState, frame: Frame, settings: AudioSettings) -> Step:
    levels = _lively(state.window, FRAMES_TO_START)
    if levels:
        heard_s = frame.length_s * len(levels)
        first = state.started_s is None
        state = replace(
            state,
            phase=Phase.SPEAKING,
            last_speech_s=state.at_s,
            speech_s=state.speech_s + heard_s,
            started_s=state.at_s - frame.length_s * len(state.window) + _lead_s(state, frame)
            if first
            else state.started_s,
            mean_dbfs=sum(levels) / len(levels) if first else state.mean_dbfs,
        )
        return state, Sign.STARTED if first else None
    if state.phase is Phase.WAITING and not state.nothing_said and state.at_s >= settings.nothing_said_s:
        return replace(state, nothing_said=True), Sign.NOTHING_SAID
    return state, None


def _speaking(state: SpeechState, frame: Frame, level: float | None, settings: AudioSettings) -> Step:
    if level is not None and _lively(state.window, FRAMES_TO_GO_ON):
        state = replace(
            state,
            last_speech_s=state.at_s,
            speech_s=state.speech_s + frame.length_s,
            mean_dbfs=state.mean_dbfs + MEAN_WEIGHT * (level - state.mean_dbfs),
        )
    elif state.at_s - state.last_speech_s >= settings.pause_s:
        return replace(state, phase=Phase.PAUSED, window=()), Sign.ENDED
    return state, None


def _lively(window: tuple[float | None, ...], needed: int) -> list[float]:
    """The levels of the window's frames of speech, or none when they are too few or too steady for speech."""
    levels = sorted(level for level in window if level is not None)
    if len(levels) < needed:
        return []
    inner = levels[EDGE_FRAMES:]
    if len(levels) >= FRAMES_TO_START and inner[-1] - inner[0] < STEADY_DB:
        return []
    return levels


def _lead_s(state: SpeechState, frame: Frame) -> float:
    """From the window's start to its first frame of speech."""
    return frame.length_s * next(i for i, level in enumerate(state.window) if level is not None)
