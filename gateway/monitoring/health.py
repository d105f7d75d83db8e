"""Whether each part of the gateway works, by name."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

Look = Callable[[], str | None]
"""Tells what is wrong with a part, in one sentence without a secret or a visitor's word; None if nothing is."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong with each part; None where nothing is."""

    parts: Mapping[str, str | None]

    @property
    def is_good(self) -> bool:
        """Whether all parts work."""
        return not any(self.parts.values())

    def told(self) -> dict[str, Any]:
        """Return it as `/healthz` says it."""
        parts = {
            name: {"ok": problem is None, **({} if problem is None else {"problem": problem})}
            for name, problem in self.parts.items()
        }
        return {"ok": self.is_good, "parts": parts}


def look(parts: Mapping[str, Look]) -> Health:
    """Look at every part now; one that cannot be looked at is not well."""
    return Health({name: _safely(each) for name, each in parts.items()})


def database_problem() -> str | None:
    """Ask the database something and tell what is wrong with it."""
    with own_connection():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what is wrong)
            return f"it cannot be asked: {type(error).__name__}"
    return None


def _safely(part: Look) -> str | None:
    try:
        return part()
    except Exception as error:  # noqa: BLE001 (one part's trouble must not hide the others)
        return f"it cannot be looked at: {type(error).__name__}"


@contextlib.contextmanager
def own_connection() -> Iterator[None]:
    """Leave no connection behind in a thread that ends with its request."""
    try:
        yield
    finally:
        connection.close()
