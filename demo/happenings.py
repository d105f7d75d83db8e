"""What happens in the store, from every process, in one list that can be waited on."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that a process told."""

    at: float
    """Seconds since 1970 in UTC, by this machine's clock."""
    source: str
    """``panel``, ``kiosk``, ``gateway`` or ``receiver``."""
    name: str
    fields: Mapping[str, Any]


class TimedOutError(RuntimeError):
    """What was waited for did not happen in time; the text says what happened last."""


class Happenings:
    """Collects from any thread; `wait_for` waits for a condition, with a deadline."""

    def __init__(self, on_happening: Callable[[Happening], None] | None = None) -> None:
        self._changed = threading.Condition()
        self._all: list[Happening] = []
        self._on_happening = on_happening

    def add(self, source: str, name: str, at: float | None = None, **fields: Any) -> None:
        """Note that something happened, now or at ``at``."""
        happening = Happening(time.time() if at is None else at, source, name, fields)
        with self._changed:
            self._all.append(happening)
            self._changed.notify_all()
        if self._on_happening is not None:
            self._on_happening(happening)

    def __len__(self) -> int:
        with self._changed:
            return len(self._all)

    def since(self, mark: int = 0) -> list[Happening]:
        """Return what happened after the first ``mark`` ones."""
        with self._changed:
            return self._all[mark:]

    def find(self, source: str, name: str, *, since: int = 0, **fields: Any) -> list[Happening]:
        """Return all of one kind whose fields have the given values."""
        return [one for one in self.since(since) if _matches(one, source, name, fields)]

    def wait_for(self, source: str, name: str, *, timeout_s: float, since: int = 0, **fields: Any) -> Happening:
        """Wait for the first one of a kind after the first ``since`` ones, and return it.

        Raises:
            TimedOutError: it did not happen within ``timeout_s``.
        """
        deadline_s = time.monotonic() + timeout_s
        seen = since
        with self._changed:
            while True:
                for one in self._all[seen:]:
                    if _matches(one, source, name, fields):
                        return one
                seen = len(self._all)
                if not self._changed.wait(deadline_s - time.monotonic()) and time.monotonic() >= deadline_s:
                    raise TimedOutError(self._missing(source, name, fields, timeout_s))

    def _missing(self, source: str, name: str, fields: Mapping[str, Any], timeout_s: float) -> str:
        last = "; ".join(f"{one.source} {one.name} {dict(one.fields)}" for one in self._all[-8:] if one.name != "level")
        return f"no {name!r} {dict(fields)} from the {source} within {timeout_s:.0f} s; last: {last[-1500:]}"


def _matches(one: Happening, source: str, name: str, fields: Mapping[str, Any]) -> bool:
    return one.source == source and one.name == name and all(one.fields.get(key) == fields[key] for key in fields)
