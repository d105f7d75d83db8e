"""Figures and letters so large that they can be read across a room, made of the cells of a terminal.

A cell is about twice as high as wide, so half a cell is a square: the letters are drawn in half cells.
"""

from typing import Final

ROWS: Final = 5
GAP: Final = 1

_GLYPHS: Final = {
    " ": ("   ", "   ", "   ", "   ", "   "),
    "-": ("   ", "   ", "###", "   ", "   "),
    "0": ("###", "# #", "# #", "# #", "###"),
    "1": (" # ", "## ", " # ", " # ", "###"),
    "2": ("###", "  #", "###", "#  ", "###"),
    "3": ("###", "  #", "###", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"),
    "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"),
    "7": ("###", "  #", "  #", " # ", " # "),
    "8": ("###", "# #", "###", "# #", "###"),
    "9": ("###", "# #", "###", "  #", "###"),
    "C": (" ###", "#   ", "#   ", "#   ", " ###"),
    "D": ("### ", "#  #", "#  #", "#  #", "### "),
    "E": ("####", "#   ", "### ", "#   ", "####"),
    "G": (" ###", "#   ", "# ##", "#  #", " ###"),
    "I": ("###", " # ", " # ", " # ", "###"),
    "L": ("#   ", "#   ", "#   ", "#   ", "####"),
    "N": ("#   #", "##  #", "# # #", "#  ##", "#   #"),
    "O": (" ## ", "#  #", "#  #", "#  #", " ## "),
    "P": ("### ", "#  #", "### ", "#   ", "#   "),
    "Q": (" ##  ", "#  # ", "#  # ", "# ## ", " ## #"),
    "S": (" ###", "#   ", " ## ", "   #", "### "),
    "T": ("#####", "  #  ", "  #  ", "  #  ", "  #  "),
    "U": ("#  #", "#  #", "#  #", "#  #", " ## "),
}
_CELLS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def width(text: str, scale: int = 1) -> int:
    """Cells that `text` is wide. Raises `KeyError` for a letter that is not drawn here."""
    return scale * (sum(len(_GLYPHS[letter][0]) + GAP for letter in text) - GAP) if text else 0


def height(scale: int = 1) -> int:
    """Lines that text is high."""
    return (ROWS * scale + 1) // 2


def draw(text: str, scale: int = 1) -> list[str]:
    """`text` in lines of `width`. Raises `KeyError` for a letter that is not drawn here."""
    halves = [
        "".join(dot * scale for dot in (" " * GAP).join(_GLYPHS[letter][row] for letter in text))
        for row in range(ROWS)
        for _ in range(scale)
    ]
    if len(halves) % 2:
        halves.append(" " * width(text, scale))
    return [
        "".join(_CELLS[upper == "#", lower == "#"] for upper, lower in zip(*pair, strict=True))
        for pair in zip(halves[::2], halves[1::2], strict=True)
    ]
