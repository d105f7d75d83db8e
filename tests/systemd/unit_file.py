"""A unit file as its tests read it: sections, keys, and the comment above each line."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "systemd"
PRODUCTS = ("kiosk", "gateway")
_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line ``key=value`` and the comment lines directly above it."""

    section: str
    key: str
    value: str
    comment: str


class UnitFile:
    """One unit of the product, by its short name."""

    def __init__(self, product: str) -> None:
        self.path = FOLDER / f"voiseback-{product}.service"
        self.text = self.path.read_text(encoding="utf-8")
        self.entries = list(_entries(self.text))

    def values(self, key: str) -> list[str]:
        """Return every value of a key, in order."""
        return [entry.value for entry in self.entries if entry.key == key]

    def value(self, key: str) -> str:
        """Return the value of a key that stands there once."""
        (value,) = self.values(key)
        return value

    def seconds(self, key: str) -> float:
        """Return a span of time in seconds."""
        value = self.value(key)
        number = value.rstrip("smin")
        return float(number) * _SECONDS[value[len(number) :]]


def _entries(text: str) -> list[Entry]:
    found: list[Entry] = []
    section, comment = "", ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        if line.startswith("#"):
            comment += line.removeprefix("#")
            continue
        if "=" in line:
            key, value = line.split("=", 1)
            found.append(Entry(section, key, value, comment.strip()))
        comment = ""
    return found
