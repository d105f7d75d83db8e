"""SQLite's write-ahead log, read without SQLite: which pages it holds, and whether some of it is damaged.

SQLite takes a log up to its first bad checksum and forgets the rest without a word. That is right for a commit which a
power cut tore, and wrong for a log of which a piece went bad: what was committed behind it would be lost in silence.
The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device.spool.schema import PAGE_BYTES

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_FORMAT = 3_007_000
_MASK = 0xFFFF_FFFF
_Sums = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """One page in the log."""

    page: int
    at: int
    """Where the page's bytes begin in the log's file."""
    pages_after: int
    """How many pages the database has after this commit; 0 in the midst of one."""
    whole: bool
    """Its own checksum is right."""
    chained: bool
    """So are those of all before it; SQLite takes it."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a write-ahead log holds for its database."""

    pages: dict[int, int]
    """Where the newest committed version of each page lies in the log's file."""
    size_pages: int | None
    """How many pages the database has; None if the log says nothing."""
    problem: str | None
    """What is damaged; None if SQLite would take all that was committed."""


def read(path: Path) -> Log | None:
    """Read a log; None if there is none.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    frames = list(_frames(data))
    commits = [number for number, frame in enumerate(frames) if frame.whole and frame.pages_after]
    lost = [number for number in commits if not frames[number].chained]
    # The last commit alone may have been torn by a power cut, before it was acknowledged.
    problem = "a part of the write-ahead log is damaged" if len(lost) > 1 else None
    if problem is None:
        commits = [number for number in commits if number not in lost]
    if not commits:
        return Log({}, None, None)
    last = commits[-1]
    pages = {frame.page: frame.at for frame in frames[: last + 1] if frame.whole}
    return Log(pages, frames[last].pages_after, problem)


def _frames(data: bytes) -> Iterator[Frame]:
    """Go through the frames of the log's present generation; an earlier one, behind it, has another salt."""
    if len(data) < _HEADER.size + _FRAME.size + PAGE_BYTES:
        return
    magic, version, page_bytes, _, *salt, first, second = _HEADER.unpack_from(data)
    order = ">" if magic == _BIG else "<"
    chained = (
        magic in (_LITTLE, _BIG)
        and (version, page_bytes) == (_FORMAT, PAGE_BYTES)
        and _sums(data[:24], order, (0, 0)) == (first, second)
    )
    if not chained:
        # A header that is damaged: its frames, which are all of one generation then, must speak for themselves.
        salt = list(_FRAME.unpack_from(data, _HEADER.size)[2:4])
    before = (first, second)
    step = _FRAME.size + PAGE_BYTES
    for at in range(_HEADER.size, len(data) - step + 1, step):
        page, pages_after, *own_salt, one, two = _FRAME.unpack_from(data, at)
        body = at + _FRAME.size
        belongs = own_salt == salt and page > 0
        # The checksum goes on from the one that the frame before has, so each can be checked by itself.
        sums = _sums(data[at : at + 8] + data[body : body + PAGE_BYTES], order, before) if belongs else None
        whole = sums == (one, two)
        chained = chained and whole
        before = (one, two)
        yield Frame(page, body, pages_after if belongs else 0, whole, chained)


def _sums(data: bytes, order: str, before: _Sums) -> _Sums:
    first, second = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second
