"""What the ear is doing, for the health report."""

from typing import Literal

import msgspec

from audio.protocol import MicrophoneHealth, Ready

LanguageState = Literal["in_use", "loaded", "not_loaded", "unusable"]


class LanguageStats(msgspec.Struct, frozen=True):
    """One of the languages that are set."""

    language: str
    state: LanguageState
    model: str | None
    """Folder of its model; None: the embedded demonstration model."""
    memory_mb: float | None
    """What it took when it was loaded last; None before that."""
    reason: str | None
    """Why it is unusable."""


class EarProgress(msgspec.Struct, frozen=True):
    """Whether the ear and the watch over it move on. Two that are equal, some time apart, show that it stands."""

    is_ready: bool
    turns: int
    """Of the watch, which comes by several times a second, and every few seconds where there is no ear."""
    starts: int
    blocks: int
    """Of sound, of the newest ear; they grow every second while it is ready."""


class EarStats(msgspec.Struct, frozen=True):
    """What the ear is doing, for the health report."""

    is_ready: bool
    reason: str | None
    """Why it is not ready."""
    ready: Ready | None
    """What the newest ear said of itself."""
    problems: tuple[MicrophoneHealth, ...]
    """What is wrong with the sound of the microphone, the oldest first."""
    pid: int | None
    starts: int
    losses: int
    """Times at which a working ear was lost, or the first could not be started."""
    blocks: int
    """Of the newest ear, as are the next two."""
    overflows: int
    backlog_s: float
    transcripts: int
    failures: int
    """Visits that ended without a transcript."""
    interruptions: int
    """Visits during which the ear was lost, and whose sound was kept."""
    waiting: int
    """Of those, the ones that have no transcript yet."""
    kept_bytes: int
    """Memory that kept sound takes."""
    language: str | None
    """The language in use; None while none is."""
    languages: tuple[LanguageStats, ...]
    last_words: tuple[str, ...]
    """Newest lines that the ear printed to standard error."""
