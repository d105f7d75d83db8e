"""In which language the next visitor is understood: the kiosk's own, unless the visitor has chosen another."""

from collections.abc import Callable
from dataclasses import dataclass, replace

CHOICE_S = 60.0
"""So long a chosen language waits for its visit."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The languages that can be chosen, the kiosk's own first, and the one in use."""

    languages: tuple[str, ...]
    chosen: str
    until_s: float | None = None
    """When the kiosk's own comes back; None while it is in use, and during a visit."""

    @classmethod
    def of(cls, languages: tuple[str, ...]) -> "Choice":
        """Return the choice before anybody has chosen; at least one language."""
        return cls(languages, languages[0])


def another(choice: Choice, now_s: float) -> Choice:
    """Return the choice after a visitor has asked for the next language."""
    place = choice.languages.index(choice.chosen) + 1
    chosen = choice.languages[place % len(choice.languages)]
    return replace(choice, chosen=chosen, until_s=None if chosen == choice.languages[0] else now_s + CHOICE_S)


def kept(choice: Choice) -> Choice:
    """Return the choice while a visit is under way: it lasts as long as the visit."""
    return replace(choice, until_s=None)


def own(choice: Choice) -> Choice:
    """Return the choice after a visit, or when the chosen language cannot be understood."""
    return Choice.of(choice.languages)


def at(choice: Choice, now_s: float) -> Choice:
    """Return the choice at a time: a language that nobody has used goes back."""
    return own(choice) if choice.until_s is not None and now_s >= choice.until_s else choice


class LanguageButton:
    """The choice, and the ear that follows it: ``use`` is told each language that is chosen anew."""

    def __init__(self, languages: tuple[str, ...], use: Callable[[str], None]) -> None:
        self._choice = Choice.of(languages)
        self._use = use

    @property
    def chosen(self) -> str:
        """The language of the next visit."""
        return self._choice.chosen

    @property
    def until_s(self) -> float | None:
        """When `tick` is due; None while nothing waits."""
        return self._choice.until_s

    def press(self, now_s: float) -> None:
        """A visitor asks for the next language."""
        self._set(another(self._choice, now_s))

    def tick(self, now_s: float) -> None:
        """Go back to the kiosk's own language if nobody has used the chosen one."""
        self._set(at(self._choice, now_s))

    def visit_begins(self) -> None:
        """Keep the language for as long as the visit lasts."""
        self._set(kept(self._choice))

    def rest(self) -> None:
        """Go back to the kiosk's own language after a visit; a choice that waits for its visit stays."""
        if self._choice.until_s is None:
            self._set(own(self._choice))

    def give_up(self, language: str) -> None:
        """Go back to the kiosk's own language if it is this one that cannot be understood."""
        if language == self._choice.chosen:
            self._set(own(self._choice))

    def _set(self, choice: Choice) -> None:
        before, self._choice = self._choice, choice
        if choice.chosen != before.chosen:
            self._use(choice.chosen)
