"""Draws a level meter for a terminal of any size: lines of text, no terminal."""

from typing import Final, NamedTuple

from audio import figures
from audio.meter import Reading, Zone

LOWEST_DBFS: Final = -60.0
"""The bar's left end."""
STEP_DB: Final = 10
_WIDEST_FIGURES: Final = "-96"
_HOW_TO_END: Final = "Ctrl-C ends"
_ASCII: Final = str.maketrans("█▀▄░│", "##..|")
_COLOURS: Final = {
    Zone.SILENT: "",  # the terminal's own, which can be seen before any background
    Zone.QUIET: "\x1b[33m",  # yellow
    Zone.GOOD: "\x1b[32m",  # green
    Zone.LOUD: "\x1b[33m",  # yellow
    Zone.CLIPPING: "\x1b[1;31m",  # bright red
}
_PLAIN: Final = "\x1b[0m"
_HINTS: Final = {
    Zone.SILENT: "nothing is heard: speak; look for a mute switch",
    Zone.QUIET: "come nearer, or raise the capture level",
    Zone.GOOD: "as it should be while a visitor speaks",
    Zone.LOUD: "step back, or lower the capture level",
    Zone.CLIPPING: "distorted: lower the capture level",
}


class Style(NamedTuple):
    """What a terminal can show."""

    colours: bool
    blocks: bool
    """Whether it has block characters; else the drawing is ASCII."""


class _Layout(NamedTuple):
    figures_scale: int
    """0: figures of the usual size."""
    word_scale: int
    bar_rows: int


def draw(reading: Reading, title: str, width: int, height: int, style: Style) -> list[str]:
    """The screen: at most `height` lines of at most `width` cells, colours apart."""
    layout = _layout(width, height)
    sections = [
        [_heading(title, width)],
        [_centred(line, width) for line in _figures(reading, layout)],
        [_centred(f"dBFS     peak {reading.peak_dbfs:.0f}", width)],
        [_centred(line, width) for line in _word(reading.zone, layout)],
        [_bar(reading, width)] * layout.bar_rows,
        [_axis(width)],
        [_centred(_HINTS[reading.zone], width)],
    ]
    coloured = {1, 3, 4}
    lines = []
    spare = height - sum(map(len, sections))
    for number, section in enumerate(sections):
        # Free lines go between the parts that are looked at from afar.
        if number in {1, 3, 4} and spare > 0:
            lines += [""] * max(1, spare // 4)
            spare -= max(1, spare // 4)
        lines += [_styled(line, reading.zone if number in coloured else None, style) for line in section]
    if len(lines) <= height:
        return lines
    return [_styled(line, None, style) for line in [*sections[1], *sections[3], *sections[4], *sections[2]]][:height]


def plain(reading: Reading) -> str:
    """The same in one line, for a log or a pipe."""
    return f"{reading.dbfs:4.0f} dBFS   peak {reading.peak_dbfs:4.0f}   {reading.zone.value}"


def _layout(width: int, height: int) -> _Layout:
    bar_rows = 1 if height < 16 else 2 if height < 30 else 3
    longest_word = max(figures.width(zone.value.upper()) for zone in Zone)
    word_scale = min(width // longest_word, 0 if height < 16 else 1 if height < 30 else 2)
    word_rows = figures.height(word_scale) if word_scale else 1
    other_rows = 4 + word_rows + bar_rows  # title, unit, axis, hint
    figures_scale = min(width // figures.width(_WIDEST_FIGURES), 2 * (height - other_rows) // figures.ROWS)
    return _Layout(max(0, figures_scale), word_scale, bar_rows)


def _figures(reading: Reading, layout: _Layout) -> list[str]:
    text = f"{reading.dbfs:.0f}".replace("-0", "0").rjust(len(_WIDEST_FIGURES))
    return figures.draw(text, layout.figures_scale) if layout.figures_scale else [text]


def _word(zone: Zone, layout: _Layout) -> list[str]:
    return figures.draw(zone.value.upper(), layout.word_scale) if layout.word_scale else [zone.value]


def _heading(title: str, width: int) -> str:
    room = width - len(_HOW_TO_END) - 2
    if room < len(_HOW_TO_END):
        return title[:width]
    short = title if len(title) <= room else title[: room - 3] + "..."
    return f"{short:<{room}}  {_HOW_TO_END}"


def _bar(reading: Reading, width: int) -> str:
    filled = _column(reading.dbfs, width)
    cells = list("█" * filled + "░" * (width - filled))
    peak = min(width - 1, _column(reading.peak_dbfs, width))
    if peak > filled:
        cells[peak - 1 : peak + 1] = " █"
    return "".join(cells)[:width]


def _axis(width: int) -> str:
    """Marks of the bar, each under its place, as many as have room."""
    line = [" "] * width
    free_from = 0
    for mark in range(int(LOWEST_DBFS), 1, STEP_DB):
        text = str(mark)
        start = min(max(0, _column(mark, width) - len(text) // 2), width - len(text))
        if start >= free_from:
            line[start : start + len(text)] = text
            free_from = start + len(text) + 1
    return "".join(line).rstrip()[:width]


def _column(level_dbfs: float, width: int) -> int:
    share = (level_dbfs - LOWEST_DBFS) / -LOWEST_DBFS
    return round(width * min(1.0, max(0.0, share)))


def _centred(text: str, width: int) -> str:
    """In the middle of a line."""
    return text[:width].center(width).rstrip()


def _styled(line: str, zone: Zone | None, style: Style) -> str:
    text = line if style.blocks else line.translate(_ASCII)
    return f"{_COLOURS[zone]}{text}{_PLAIN}" if style.colours and zone is not None and text.strip() else text
