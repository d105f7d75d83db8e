"""In which language the next visitor is understood: the kiosk's own, unless the visitor has chosen another. Pure."""

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
