"""Labelled texts: reading them, and the gate that lets only rows of a suitable licence into shipped weights."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from gateway.analysis.engine import (
    CATEGORIES,
    EMOTION_FAMILIES,
    INTENSITIES,
    SENTIMENTS,
    Category,
    EmotionFamily,
    Intensity,
    Sentiment,
)

SHIPPABLE_CLASSES: Final = ("own", "permissive")
"""Classes of licence whose rows may stand behind weights that are given to others."""

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "sentiment": SENTIMENTS,
    "category": CATEGORIES,
    "emotion_family": EMOTION_FAMILIES,
    "intensity": INTENSITIES,
    "is_testimonial_candidate": ("true", "false"),
}
"""The fields that are trained, with their labels in the order of the weights' columns."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A text with the labels that it has; a field that is absent is unknown, not negative.

    `weak` names fields whose label was derived, not annotated. `also` gives acceptable alternates by field.
    `nullable` marks speech without content, where null is as right as the label.
    """

    id: str
    text: str
    origin: str
    licence_class: Literal["own", "permissive", "non-commercial", "research-only", "unstated"] = "unstated"
    topic: str | None = None
    sentiment: Sentiment | None = None
    category: Category | None = None
    emotion: str | None = None
    emotion_family: EmotionFamily | None = None
    intensity: Intensity | None = None
    is_testimonial_candidate: bool | None = None
    summary: str | None = None
    weak: tuple[str, ...] = ()
    also: dict[str, tuple[Any, ...]] = {}
    nullable: bool = False

    def label(self, field: str) -> str | None:
        """Return the label of a field as it stands in `FIELDS`, or null where it is unknown."""
        return _as_label(getattr(self, field))

    def accepts(self, field: str, label: str | None) -> bool:
        """Tell whether an answer is right: the label, an alternate, or null for speech without content."""
        if label is None:
            return self.nullable
        return label == self.label(field) or label in map(_as_label, self.also.get(field, ()))


def _as_label(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


class RowError(Exception):
    """A file of rows cannot be read; the message names the file and the line."""


class LicenceRefusedError(Exception):
    """Rows whose licence does not allow them behind shipped weights; the message says which."""


def read_rows(paths: Iterable[Path]) -> list[Row]:
    """Read JSON-lines files; raises `RowError` for a file or line that cannot be used, and when there are no rows."""
    rows = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise RowError(f"{path} cannot be read: {error}.") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                rows.append(msgspec.json.decode(line, type=Row))
            except msgspec.MsgspecError as error:
                raise RowError(f"{path}, line {number}: {error}.") from error
    if not rows:
        raise RowError("There are no rows; name JSON-lines files that have some.")
    return rows


def check_licences(rows: Sequence[Row], *, accept_other: bool) -> tuple[str, ...]:
    """Return the rows' classes of licence in order; raises `LicenceRefusedError` for any but own and permissive."""
    classes = tuple(sorted({row.licence_class for row in rows}))
    refused = [name for name in classes if name not in SHIPPABLE_CLASSES]
    if refused and not accept_other:
        origins = sorted({row.origin for row in rows if row.licence_class in refused})
        raise LicenceRefusedError(
            f"Rows of class {', '.join(refused)} (from {', '.join(origins)}) may not stand behind weights "
            "that are shipped; leave them out, or give --accept-other-licences for weights that you keep to yourself."
        )
    return classes
