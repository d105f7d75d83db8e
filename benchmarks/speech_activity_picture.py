"""The figures of speech activity as a picture: SVG, for light and dark pages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.speech_activity_score import Alone, Figures, Share

Cell = tuple[str, int | None]

WIDTH: Final = 860
MARGIN: Final = 28
LABEL_WIDTH: Final = 96
CELL_WIDTH: Final = 57
CELL_HEIGHT: Final = 26
PANEL_STEP: Final = WIDTH / 2
TOP: Final = 84
BAR_WIDTH: Final = 190
MOST_STARTS: Final = 6.0
"""False starts a minute that fill a bar: with visits of ten seconds there cannot be more."""
LOW_COLOUR: Final = (247, 226, 190)
HIGH_COLOUR: Final = (13, 104, 110)
PALE_UNTIL: Final = 60
"""Percent; darker cells carry white figures."""
STYLE: Final = """
    text { font: 13px system-ui, sans-serif; fill: #1d2327; }
    .paper { fill: #ffffff; } .title { font-size: 19px; font-weight: 600; } .head { font-weight: 600; }
    .faint { fill: #5c666d; font-size: 12px; } .middle { text-anchor: middle; } .right { text-anchor: end; }
    .figure { text-anchor: middle; font-variant-numeric: tabular-nums; } .on-pale { fill: #1d2327; }
    .on-deep { fill: #ffffff; } .track { fill: #e6eaec; } .bar { fill: #b4532a; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e8ecee; } .paper { fill: #14191c; } .faint { fill: #9aa5ab; } .track { fill: #2a3237; }
      .bar { fill: #e08a5b; } .on-pale { fill: #1d2327; } .on-deep { fill: #ffffff; }
    }"""
PANELS: Final[Sequence[tuple[str, Callable[[Figures], Share]]]] = (
    ("Starts found", lambda row: row.start_recall),
    ("Ends found", lambda row: row.end_recall),
    ("Starts right, of those told", lambda row: row.start_precision),
    ("Ends right, of those told", lambda row: row.end_precision),
)


def drawn(spoken: Mapping[Cell, Figures], alone: Mapping[str, Alone]) -> str:
    """The picture. `spoken`: by noise and ratio in decibels, None for a noise without one; `alone`: by noise."""
    noises = list(dict.fromkeys(noise for noise, _ in spoken))
    panel_height = 58 + CELL_HEIGHT * len(noises)
    bars_top = TOP + 2 * panel_height + 22
    height = bars_top + 40 + CELL_HEIGHT * len(alone)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"  <style>{STYLE}\n  </style>",
        f'  <rect class="paper" width="{WIDTH}" height="{height}"/>',
        _text(MARGIN, 36, "Speech found in noise", "title"),
        _text(MARGIN, 57, "Percent of visits, by noise and by how much louder than it the visitor speaks.", "faint"),
    ]
    for number, (title, share) in enumerate(PANELS):
        x, y = MARGIN + number % 2 * PANEL_STEP, TOP + number // 2 * panel_height
        lines += _panel(x, y, title, noises, {cell: share(row) for cell, row in spoken.items()})
    lines += _bars(bars_top, alone)
    return "\n".join([*lines, "</svg>", ""])


def _panel(x: float, y: float, title: str, noises: Sequence[str], shares: Mapping[Cell, Share]) -> Iterator[str]:
    ratios = list(dict.fromkeys(ratio for _, ratio in shares if ratio is not None))
    yield _text(x, y + 16, title, "head")
    for column, ratio in enumerate(ratios):
        yield _text(x + LABEL_WIDTH + (column + 0.5) * CELL_WIDTH, y + 38, f"{ratio} dB", "faint middle")
    for row, noise in enumerate(noises):
        top = y + 46 + row * CELL_HEIGHT
        yield _text(x + LABEL_WIDTH - 10, top + 17, noise, "right")
        if (noise, None) in shares:
            yield from _cell(x + LABEL_WIDTH, top, CELL_WIDTH * max(1, len(ratios)), shares[noise, None])
        for column, ratio in enumerate(ratios):
            if (noise, ratio) in shares:
                yield from _cell(x + LABEL_WIDTH + column * CELL_WIDTH, top, CELL_WIDTH, shares[noise, ratio])


def _cell(x: float, y: float, width: float, share: Share) -> Iterator[str]:
    percent = share.percent
    if percent is None:
        yield _text(x + width / 2, y + 17, "-", "faint middle")
        return
    depth = percent / 100
    mixed = (round(low + depth * (high - low)) for low, high in zip(LOW_COLOUR, HIGH_COLOUR, strict=True))
    colour = "#" + "".join(f"{part:02x}" for part in mixed)
    yield (
        f'  <rect x="{x + 1:g}" y="{y + 1:g}" width="{width - 2:g}" height="{CELL_HEIGHT - 2}" rx="3" fill="{colour}"/>'
    )
    ink = "on-pale" if percent < PALE_UNTIL else "on-deep"
    yield _text(x + width / 2, y + 17, f"{percent:.0f}", f"figure {ink}")


def _bars(top: float, alone: Mapping[str, Alone]) -> Iterator[str]:
    left = MARGIN + LABEL_WIDTH
    yield _text(MARGIN, top, "Noise that nobody speaks in: false starts a minute", "head")
    yield _text(MARGIN + PANEL_STEP, top, "Ended as nothing said", "head")
    for row, (noise, heard) in enumerate(alone.items()):
        y = top + 14 + row * CELL_HEIGHT
        length = BAR_WIDTH * min(1.0, heard.false_starts_a_minute / MOST_STARTS)
        yield _text(left - 10, y + 14, noise, "right")
        yield f'  <rect class="track" x="{left}" y="{y + 4:g}" width="{BAR_WIDTH}" height="12" rx="3"/>'
        yield f'  <rect class="bar" x="{left}" y="{y + 4:g}" width="{length:.1f}" height="12" rx="3"/>'
        yield _text(left + BAR_WIDTH + 12, y + 15, f"{heard.false_starts_a_minute:.1f}", "")
        yield from _cell(left + PANEL_STEP, y - 3, CELL_WIDTH, heard.nothing_said)


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'  <text x="{x:g}" y="{y:g}" class="{classes}">{escape(text)}</text>'
