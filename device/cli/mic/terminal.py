"""A terminal that is drawn on as a whole, and is as before afterwards."""

import os
import sys
import termios
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

from audio.meter_screen import Style

_BEGIN = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the other screen, no cursor, empty
_END = "\x1b[0m\x1b[?25h\x1b[?1049l"
_SHAPES = "█▀▄░"


def is_drawable(output: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether lines can be drawn over each other."""
    return output.isatty() and environment.get("TERM", "dumb") != "dumb"


def style(output: TextIO, environment: Mapping[str, str]) -> Style:
    """What the terminal can show; the variable NO_COLOR takes the colours away (https://no-color.org)."""
    try:
        _SHAPES.encode(output.encoding)
    except UnicodeEncodeError:
        has_blocks = False
    else:
        has_blocks = True
    return Style(colours=not environment.get("NO_COLOR"), blocks=has_blocks)


class Screen:
    """The whole of the terminal at `output`, from entering to leaving the context. What is typed is not shown."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._typing: list[Any] | None = None

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            self._typing = termios.tcgetattr(sys.stdin)
            quiet = termios.tcgetattr(sys.stdin)
            quiet[3] &= ~termios.ECHO
            # Ctrl-Z would leave the terminal as it is drawn.
            quiet[6][termios.VSUSP] = b"\0"
            termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
        self._write(_BEGIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._typing is not None:
            termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, self._typing)
        self._write(_END)

    def size(self) -> os.terminal_size:
        """Columns and lines, at this moment."""
        return os.get_terminal_size(self._output.fileno())

    def show(self, lines: Sequence[str]) -> None:
        """Draw these lines in the place of all others."""
        rows = [*lines, *[""] * (self.size().lines - len(lines))]
        # Each line is emptied first: after its last column is written, emptying its rest would take that away.
        self._write("\x1b[H" + "\r\n".join(f"\x1b[2K{row}" for row in rows))

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
