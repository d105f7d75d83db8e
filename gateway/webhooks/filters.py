"""Which feedback an endpoint gets. Pure."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from contract.webhook import Category, Event, Payload, Sentiment, event_of
from gateway.errors import UsageError

NOTHING = "none"
"""Stands in a filter for a field that is null."""

SENTIMENTS: tuple[str, ...] = (*get_args(Sentiment), NOTHING)
CATEGORIES: tuple[str, ...] = (*get_args(Category), NOTHING)
EVENTS: tuple[str, ...] = tuple(Event)

Testimonial = Literal["", "yes", "no"]


class Filters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an endpoint gets: of each kind any that is named, of all kinds together; an empty kind lets all through."""

    events: tuple[str, ...] = ()
    sentiments: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    kiosks: tuple[str, ...] = ()
    testimonial: Testimonial = ""

    def let_through(self, payload: Payload, *, kiosk: str, is_testimonial: bool) -> bool:
        """Tell whether this event of a feedback goes to the endpoint."""
        return (
            _names(self.events, event_of(payload))
            and _names(self.sentiments, payload.sentiment or NOTHING)
            and _names(self.categories, payload.category or NOTHING)
            and _names(self.kiosks, kiosk)
            and (self.testimonial == "" or is_testimonial is (self.testimonial == "yes"))
        )

    def describe(self) -> str:
        """Return it in one line; empty if everything is let through."""
        parts = [
            f"{name} {' or '.join(values)}"
            for name, values in (
                ("event", self.events),
                ("sentiment", self.sentiments),
                ("category", self.categories),
                ("kiosk", self.kiosks),
                ("testimonial", (self.testimonial,) if self.testimonial else ()),
            )
            if values
        ]
        return ", ".join(parts)


EVERYTHING = Filters()


def _names(values: tuple[str, ...], value: str) -> bool:
    return not values or value in values


def check(filters: Filters) -> None:
    """Accept filters that can let something through.

    Raises:
        UsageError: a value is none of its kind.
    """
    for name, values, known in (
        ("event", filters.events, EVENTS),
        ("sentiment", filters.sentiments, SENTIMENTS),
        ("category", filters.categories, CATEGORIES),
    ):
        for value in values:
            if value not in known:
                raise UsageError(f"{value[:100]!r} is no {name}: choose from {', '.join(known)}")


def stored(filters: Filters) -> dict[str, object]:
    """Return what the database keeps."""
    built: dict[str, object] = msgspec.to_builtins(filters)
    return built


def load(kept: Mapping[str, object]) -> Filters:
    """Return what the database has kept.

    Raises:
        msgspec.ValidationError: somebody else wrote it.
    """
    return msgspec.convert(kept, Filters)
