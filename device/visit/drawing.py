"""The drawing of the visit: a card for each phase with its ways out, as an SVG that a phone can show."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from device.visit.transitions import PHASES, Outcome, merged

WIDTH = 360
MARGIN = 12
LINE_HEIGHT = 15
GAP = 26
TEXT_CHARS = 47
"""So many characters of the small letters fit into a card, by experience with wide ones."""

COLOURS = {
    "idle": "#5f6b7a",
    "recording": "#c62828",
    "finishing": "#8a6d00",
    "thanks": "#1b7a3d",
    "notice": "#7b4bb3",
    "closed": "#37474f",
    "out_of_service": "#b3261e",
}
MAIN_WAY = ("idle", "recording", "finishing", "thanks")
"""Drawn with an arrow from each to the next."""

_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1c1f23}"
    ".title{font-size:15px;font-weight:700}.to{font-size:12.5px;font-weight:700}.why{font-size:12px}"
    ".card{fill:#fff;stroke-width:1.5}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a card: text, or the phase that a way leads to."""

    text: str
    to: str | None = None


def drawing() -> str:
    """Return the SVG."""
    parts: list[str] = []
    y = MARGIN
    for number, (phase, outcomes) in enumerate(merged().items()):
        lines = list(_ways_out(phase, outcomes))
        height = 34 + LINE_HEIGHT * len(lines) + 8
        parts += _card(phase, lines, y, height)
        y += height
        if phase in MAIN_WAY[:-1] and list(PHASES)[number + 1] == MAIN_WAY[MAIN_WAY.index(phase) + 1]:
            parts.append(_arrow(y))
        y += GAP
    height = y - GAP + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="The phases of a visit and what leads from one to another">'
    )
    back = f'<rect width="{WIDTH}" height="{height}" fill="#f4f5f7"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", back, *parts, "</svg>", ""])


def _ways_out(phase: str, outcomes: dict[Outcome, list[str]]) -> Iterator[Line]:
    """Yield where a phase can lead, and how; a notice with the scene that it shows."""
    ways: dict[tuple[str, str], list[str]] = {}
    for outcome, happenings in outcomes.items():
        if outcome.then != phase:
            scene = outcome.shown.name.lower() if outcome.shown is not None and outcome.then == "notice" else ""
            ways.setdefault((outcome.then, scene), []).extend(happenings)
    for (then, scene), happenings in ways.items():
        name = then.replace("_", " ")
        yield Line(f"{name}: {scene.replace('_', ' ')}" if scene else name, to=then)
        yield from (Line(text) for text in _wrapped("; ".join(_plain(phase, happenings)).replace("*", "")))


def _plain(phase: str, happenings: list[str]) -> list[str]:
    """Return the happenings without the form of the phase where all its forms are there."""
    names = [happening.partition(" (")[0] for happening in happenings]
    is_whole = {name: names.count(name) == len(PHASES[phase]) for name in names}
    shown = (name if is_whole[name] else happening for name, happening in zip(names, happenings, strict=True))
    return list(dict.fromkeys(shown))


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > TEXT_CHARS:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _card(phase: str, lines: list[Line], y: int, height: int) -> Iterator[str]:
    colour = COLOURS[phase]
    yield (
        f'<rect class="card" x="{MARGIN}" y="{y}" width="{WIDTH - 2 * MARGIN}" height="{height}" rx="8" '
        f'stroke="{colour}"/>'
    )
    yield f'<rect x="{MARGIN}" y="{y}" width="6" height="{height}" rx="3" fill="{colour}"/>'
    yield f'<text class="title" x="{MARGIN + 16}" y="{y + 22}">{escape(phase.replace("_", " "))}</text>'
    at = y + 34
    for line in lines:
        at += LINE_HEIGHT
        if line.to is None:
            yield f'<text class="why" x="{MARGIN + 30}" y="{at - 3}">{escape(line.text)}</text>'
        else:
            colour = COLOURS[line.to]
            yield f'<text class="to" x="{MARGIN + 16}" y="{at - 3}" style="fill:{colour}">→ {escape(line.text)}</text>'


def _arrow(y: int) -> str:
    middle, tip = WIDTH // 2, y + GAP - 2
    return (
        f'<path d="M{middle} {y + 3}V{tip - 8}M{middle - 7} {tip - 9}L{middle} {tip - 1}L{middle + 7} {tip - 9}" '
        'stroke="#1c1f23" stroke-width="2.5" fill="none"/>'
    )
