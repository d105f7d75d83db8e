"""A template grammar of what visitors say; `python -m audio.demo_model.grammar` prints samples.

A template is a string in which `{slot}` stands for a random entry of that slot (entries may hold slots themselves) and
`(a|b|)` for one of its alternatives, the last of which is empty here.
"""

import random
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self, TypeGuard

TEMPLATES_FILE: Final = Path(__file__).parent / "text" / "templates.toml"
JOINED_SHARE: Final = 0.15  # of the utterances hold two sentences
SAMPLES: Final = 20

_ALTERNATIVES: Final = re.compile(r"\(([^()]*)\)")  # the innermost ones
_SLOT: Final = re.compile(r"\{(\w+)\}")
_WORD: Final = re.compile(r"[a-z']+")
_PLAIN: Final = re.compile(r"[a-z' ()|]*")
_FRAME_SLOTS: Final = ("opening", "joint", "closing")


class GrammarError(ValueError):
    """The templates cannot be used; the message says which entry and why."""


class Grammar:
    """Random in-domain utterances from templates and slots."""

    def __init__(self, templates: Sequence[str], slots: Mapping[str, Sequence[str]]) -> None:
        """Check `templates` and `slots`; `slots` needs `opening`, `joint` and `closing`, which frame the templates.

        Raises `GrammarError` for an empty slot, an unknown slot, a slot that holds itself, a stray letter or bracket.
        """
        if not templates:
            raise GrammarError("there are no templates")
        self._templates = tuple(templates)
        self._slots = {name: tuple(entries) for name, entries in slots.items()}
        for slot in _FRAME_SLOTS:
            if slot not in self._slots:
                raise GrammarError(f"the slot {slot!r} is missing")
        for text in self._texts():
            self._check(text)
        for slot in self._slots:
            self._check_depth(slot, ())

    @classmethod
    def load(cls, path: Path = TEMPLATES_FILE) -> Self:
        """Read `path`, a TOML file with the list `templates` and the table `slots` of lists.

        Raises `GrammarError` if the file is not such a grammar, `OSError` if it cannot be read.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise GrammarError(f"{path}: {error}") from None
        templates, slots = document.get("templates"), document.get("slots")
        if not _is_texts(templates) or not isinstance(slots, dict) or not all(map(_is_texts, slots.values())):
            raise GrammarError(f"{path}: it needs 'templates', a list of strings, and the table 'slots' of such lists")
        try:
            return cls(templates, slots)
        except GrammarError as error:
            raise GrammarError(f"{path}: {error}") from None

    def generate(self, rng: random.Random) -> str:
        """One utterance: a template, at times with an opening, a closing or a second template; lower case, no marks."""
        parts = ["{opening}", rng.choice(self._templates), "{closing}"]
        if rng.random() < JOINED_SHARE:
            parts += ["{joint}", rng.choice(self._templates)]
        return " ".join(" ".join(self._expand(part, rng) for part in parts).split())

    def words(self) -> frozenset[str]:
        """Every word that an utterance can hold."""
        return frozenset(word for text in self._texts() for word in _WORD.findall(_SLOT.sub(" ", text)))

    def _texts(self) -> Iterator[str]:
        yield from self._templates
        for entries in self._slots.values():
            yield from entries

    def _expand(self, text: str, rng: random.Random) -> str:
        while True:
            if found := _ALTERNATIVES.search(text):
                chosen = rng.choice(found[1].split("|"))
            elif found := _SLOT.search(text):
                chosen = rng.choice(self._slots[found[1]])
            else:
                return text
            text = text[: found.start()] + chosen + text[found.end() :]

    def _check(self, text: str) -> None:
        for slot in _SLOT.findall(text):
            if not self._slots.get(slot):
                raise GrammarError(f"{text!r} names the slot {slot!r}, which is missing or empty")
        plain = _SLOT.sub(" ", text)
        if not _PLAIN.fullmatch(plain):
            raise GrammarError(f"{text!r} may hold a to z, apostrophes, {{slot}} and (a|b) only")
        while _ALTERNATIVES.search(plain):
            plain = _ALTERNATIVES.sub(" ", plain)
        if set(plain) & set("(|)"):
            raise GrammarError(f"{text!r} has a bracket or bar without its partner")

    def _check_depth(self, slot: str, above: tuple[str, ...]) -> None:
        if slot in above:
            raise GrammarError(f"the slot {slot!r} holds itself, by way of {' and '.join(above)}")
        if not self._slots[slot]:
            raise GrammarError(f"the slot {slot!r} is empty")
        for name in {name for entry in self._slots[slot] for name in _SLOT.findall(entry)}:
            self._check_depth(name, (*above, slot))


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def main() -> None:
    """Print samples."""
    grammar, rng = Grammar.load(), random.Random(1)  # noqa: S311  no secret depends on it
    for _ in range(SAMPLES):
        sys.stdout.write(grammar.generate(rng) + "\n")


if __name__ == "__main__":
    main()
