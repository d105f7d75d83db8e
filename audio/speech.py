"""When a visitor starts and stops speaking: a pure state machine over judged frames of sound.

Three things make a frame speech. It is louder than the shop (see `audio.background`), by its low tones, in which
clatter is weak. WebRTC's detector takes it for speech. And it is among enough others of the kind, whose level moves:
over 300 ms speech changes by more than `STEADY_DB`, a tone or a fan, which the detector takes for speech, by less.

Speech goes on while it is nearer to the visitor's own level than to that of the shop.
"""

import math
from bisect import bisect_right
from enum import Enum, auto
from typing import Final

import msgspec
from msgspec.structs import replace

from audio.background import UNKNOWN, Background, Floor
from audio.level import FLOOR_DBFS
from audio.settings import AudioSettings
from audio.voice import Frame

WINDOW_FRAMES: Final = 10
FRAMES_TO_START: Final = 5
"""Of the window; a shorter sound is a knock or a cough."""
FRAMES_TO_GO_ON: Final = 3
STEADY_DB: Final = 1.5
"""Standard deviation of the levels of the window. That of steady noise is less, and seldom so in a window of speech."""
STEADY_SHARE: Final = 0.04
"""Nor need it be more than this share of what the loudest of the window is above the threshold: where speech is hardly
louder than the shop, the shop fills its gaps."""
EDGE_FRAMES: Final = 2
"""The quietest frames of the window do not count when its change is looked at: a tone starts and ends in a frame."""
MEAN_WEIGHT: Final = 0.1
"""Of the newest frame in the visitor's mean level: a knock moves it little, half a second of speech a lot."""
SHORT_S: Final = 0.5
"""So little speech may be clatter: it ends only when the recogniser has heard a word. An answer of one word has as
little, but a word."""
NEARER_DB: Final = 1.0
"""The middle between shop and visitor is taken so much nearer to the shop: to end late is better than to cut."""
NO_VOICE: Final = -math.inf


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
    window: tuple[float, ...] = ()
    """Levels of the newest frames, `NO_VOICE` for one that WebRTC's detector does not take for speech."""
    started_s: float | None = None
    """Start of the first speech."""
    last_speech_s: float = 0.0
    """End of the last frame of speech."""
    speech_s: float = 0.0
    """How much speech there was, with the gaps between and within words, but not those longer than the window."""
    mean_dbfs: float = FLOOR_DBFS
    """The visitor's mean level, newest speech weighing most."""
    nothing_said: bool = False
    """Whether `NOTHING_SAID` was given."""
    word_heard: bool = False
    """Whether the recogniser has heard a word."""
    background: Background = UNKNOWN
    """The shop before the visit."""
    floor: Floor = UNKNOWN.floor
    """The shop's floor by now."""


Step = tuple[SpeechState, Sign | None]


def beginning(background: Background, at_s: float) -> SpeechState:
    """The state before the first frame, which starts at `at_s`."""
    return SpeechState(at_s=at_s, background=background, floor=background.floor)


def with_word(state: SpeechState) -> SpeechState:
    """The state after the recogniser has heard a word."""
    return replace(state, word_heard=True)


def step(state: SpeechState, frame: Frame, settings: AudioSettings) -> Step:
    """The state after one more frame, and what that frame brought to light."""
    level = frame.low_dbfs if frame.voiced else NO_VOICE
    state = replace(
        state,
        at_s=state.at_s + frame.length_s,
        window=(*state.window[1 - WINDOW_FRAMES :], level),
        floor=state.floor.after(frame.low_dbfs),
    )
    if state.phase is Phase.SPEAKING:
        return _speaking(state, frame, level, settings)
    return _silent(state, frame, level, settings)


def _silent(state: SpeechState, frame: Frame, level: float, settings: AudioSettings) -> Step:
    threshold = _threshold_dbfs(state, settings)
    levels = _lively(state.window, threshold, FRAMES_TO_START) if level > threshold else []
    if levels:
        return _begun(state, frame, levels, threshold)
    if state.phase is Phase.WAITING and not state.nothing_said and state.at_s >= settings.nothing_said_s:
        return replace(state, nothing_said=True), Sign.NOTHING_SAID
    return state, None


def _begun(state: SpeechState, frame: Frame, levels: list[float], threshold: float) -> Step:
    heard_s = frame.length_s * len(levels)
    state = replace(state, phase=Phase.SPEAKING, last_speech_s=state.at_s, speech_s=state.speech_s + heard_s)
    if state.started_s is not None:
        return state, None
    first = next(i for i, level in enumerate(state.window) if level > threshold)
    started_s = state.at_s - frame.length_s * (len(state.window) - first)
    return replace(state, started_s=started_s, mean_dbfs=sum(levels) / len(levels)), Sign.STARTED


def _speaking(state: SpeechState, frame: Frame, level: float, settings: AudioSettings) -> Step:
    threshold = _threshold_dbfs(state, settings)
    if level > threshold and _lively(state.window, threshold, FRAMES_TO_GO_ON):
        since_s = state.at_s - state.last_speech_s
        is_gap = since_s > WINDOW_FRAMES * frame.length_s
        state = replace(
            state,
            last_speech_s=state.at_s,
            speech_s=state.speech_s + (frame.length_s if is_gap else since_s),
            mean_dbfs=state.mean_dbfs + MEAN_WEIGHT * (level - state.mean_dbfs),
        )
        return state, None
    is_over = state.at_s - state.last_speech_s >= settings.pause_s
    if is_over and (state.speech_s >= SHORT_S or state.word_heard or state.at_s >= settings.nothing_said_s):
        return replace(state, phase=Phase.PAUSED, window=()), Sign.ENDED
    return state, None


def _threshold_dbfs(state: SpeechState, settings: AudioSettings) -> float:
    """What a frame of speech is louder than."""
    noise_dbfs = state.background.level_dbfs(state.floor) + settings.over_noise_db
    if state.started_s is None:
        return max(settings.silence_dbfs, noise_dbfs)
    middle_dbfs = (noise_dbfs + state.mean_dbfs) / 2 - NEARER_DB
    return max(settings.silence_dbfs, noise_dbfs, middle_dbfs, state.mean_dbfs - settings.background_db)


def _lively(window: tuple[float, ...], threshold: float, needed: int) -> list[float]:
    """The window's levels above the threshold, or none when they are too few or too steady for speech."""
    ordered = sorted(window)
    lowest = bisect_right(ordered, threshold)
    count = len(ordered) - lowest
    if count < needed:
        return []
    if count >= FRAMES_TO_START and _is_steady(ordered[lowest + EDGE_FRAMES :], threshold):
        return []
    return ordered[lowest:]


def _is_steady(levels: list[float], threshold: float) -> bool:
    """Whether levels, in order and above the threshold, differ by too little for speech."""
    count = len(levels)
    mean = sum(levels) / count
    steady_db = min(STEADY_DB, STEADY_SHARE * (levels[-1] - threshold))
    return math.dist(levels, (mean,) * count) < steady_db * math.sqrt(count)
