"""The parent's account of languages: which to use, which are unusable and until when. Pure; times are passed in."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from audio.ear_stats import LanguageState, LanguageStats
from audio.protocol import LanguageReady
from audio.settings import AudioSettings
from audio.vigil import EarLimits


@dataclass(slots=True)
class _Known:
    is_loaded: bool = False
    memory_mb: float | None = None
    reason: str | None = None
    refusals: int = 0
    is_deadly: bool = False
    retry_s: float = 0.0


class Languages:
    """Which language the ear is to use next, through the lives of several ears.

    A language that was chosen and turns out to be unusable is given up for the last good one. The last one that is
    left is tried again for ever, at growing intervals.
    """

    def __init__(
        self, settings: AudioSettings, limits: EarLimits, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._draw = draw
        self._known = {language: _Known() for language in settings.folders}
        self._wanted = settings.language
        self._good: str | None = None
        self._asked: str | None = None
        self._must_answer = False
        self.in_use: str | None = None
        """What the ear understands now."""
        self.needs_new_ear = False
        """Whether the wanted language fits into a new ear alone."""

    @property
    def loading(self) -> str | None:
        """The language that the ear was asked for and has not answered for."""
        return self._asked

    @property
    def measured_mb(self) -> dict[str, float]:
        """Memory that models were seen to take."""
        return {language: known.memory_mb for language, known in self._known.items() if known.memory_mb}

    def begin(self, now_s: float) -> str | None:
        """A new ear is started: the language for it to load."""
        self.lost()
        self.needs_new_ear = False
        candidates = (self._wanted, self._good, self._settings.language)
        self._asked = next((each for each in candidates if each and not self._is_blocked(each, now_s)), None)
        return self._asked

    def blocked(self, now_s: float) -> tuple[str, ...]:
        """Languages that are not to be tried now."""
        return tuple(language for language in self._known if self._is_blocked(language, now_s))

    def want(self, language: str, now_s: float) -> str | None:
        """Use this language from now on. Why it cannot be, if that is known at once; then nothing changes."""
        known = self._known.get(language)
        if known is None:
            return f"no model is set for the language {language!r}; there are models for: {', '.join(self._known)}"
        if known.is_deadly and self._is_blocked(language, now_s):
            return known.reason
        known.retry_s = now_s
        self._wanted, self._must_answer = language, True
        return None

    def due(self, now_s: float) -> str | None:
        """The language to ask the ear for now, if any. It counts as asked for."""
        if self._asked is not None or self.needs_new_ear or self._is_blocked(self._wanted, now_s):
            return None
        if self._wanted == self.in_use and not self._must_answer:
            return None
        self._asked = self._wanted
        return self._asked

    def ready(self, event: LanguageReady) -> None:
        """The ear uses this language."""
        self.in_use = self._good = event.language
        self._answered(event.language)
        known = self._known.setdefault(event.language, _Known())
        known.is_loaded, known.memory_mb = True, event.memory_mb or known.memory_mb
        known.reason, known.refusals, known.is_deadly = None, 0, False

    def refused(self, language: str, reason: str, now_s: float, *, is_deadly: bool = False) -> bool:
        """The ear cannot use this language, or died of loading it; whether that is an answer, or news."""
        known = self._known.setdefault(language, _Known())
        is_told = known.reason != reason or (language == self._wanted and self._must_answer)
        self._answered(language)
        limits = self._limits
        longest_s = limits.language_deadly_s if is_deadly else limits.language_max_s
        delay_s = min(longest_s, limits.language_first_s * 2.0 ** min(known.refusals, 32))
        known.retry_s = now_s + delay_s * self._draw(0.5, 1.0)
        known.reason, known.is_deadly = reason, is_deadly
        known.refusals += 1
        if language == self._wanted:
            others = (self.in_use, self._good, self._settings.language)
            self._wanted = next((each for each in others if each and each != language), language)
        return is_told

    def no_room(self, language: str) -> None:
        """The ear has no room for this language beside those that it has loaded."""
        self._answered(language)
        self.needs_new_ear = language == self._wanted

    def lost(self) -> None:
        """The ear is lost, and with it all that was loaded."""
        self.in_use = self._asked = None
        for known in self._known.values():
            known.is_loaded = False

    def stats(self) -> tuple[LanguageStats, ...]:
        """Each language, the default one first."""
        folders = self._settings.folders
        return tuple(
            LanguageStats(
                language=language,
                state=self._state(language, known),
                model=str(folders[language]) if folders.get(language) else None,
                memory_mb=known.memory_mb,
                reason=known.reason,
            )
            for language, known in self._known.items()
        )

    def _answered(self, language: str) -> None:
        if language == self._asked:
            self._asked = None
        if language == self._wanted:
            self._must_answer = False

    def _is_blocked(self, language: str, now_s: float) -> bool:
        known = self._known.get(language)
        return known is not None and known.reason is not None and now_s < known.retry_s

    def _state(self, language: str, known: _Known) -> LanguageState:
        if language == self.in_use:
            return "in_use"
        if known.reason is not None:
            return "unusable"
        return "loaded" if known.is_loaded else "not_loaded"
