"""The pages of SQLite's file, read without SQLite, so that one bad page costs no other.

A b-tree whose root is damaged hides all of its rows from SQLite. Here every page is looked at by itself, and each row
is taken from the page that it lies on. The format: https://www.sqlite.org/fileformat2.html
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from device.spool import log_file
from device.spool.schema import PAGE_BYTES

Value = int | float | str | bytes | None

TABLE_LEAF = 0x0D
INDEX_LEAF, INDEX_INNER = 0x0A, 0x02
_FILE_HEADER_BYTES = 100
_FIXED_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class PageError(Exception):
    """These bytes are no row."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a row lies."""

    kind: int
    page: int
    at: int


class Image:
    """A database as of its last commit: its file, with the pages of the write-ahead log in front of it."""

    def __init__(self, path: Path, log_path: Path) -> None:
        """Open both files; either may be missing.

        Raises:
            OSError: one is there and cannot be opened.
        """
        try:
            log = log_file.read(log_path)
        except OSError:
            log = None  # a file that is there and cannot be read hides its own pages, and no others
        self._log_pages = log.pages if log else {}
        self._main = _open(path)
        self._log = _open(log_path) if self._log_pages else None
        size = os.fstat(self._main).st_size if self._main is not None else 0
        self.pages = (log.size_pages if log else None) or -(-size // PAGE_BYTES)
        """How many there are."""
        self.unreadable = 0
        """Pages that the disk did not give."""

    def __enter__(self) -> "Image":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for descriptor in (self._main, self._log):
            if descriptor is not None:
                os.close(descriptor)

    def page(self, number: int) -> bytes:
        """Return a page, counted from 1. Raises `PageError` if it cannot be had."""
        at = self._log_pages.get(number)
        descriptor = self._main if at is None else self._log
        if not 0 < number <= self.pages or descriptor is None:
            raise PageError(f"there is no page {number}")
        try:
            data = os.pread(descriptor, PAGE_BYTES, (number - 1) * PAGE_BYTES if at is None else at)
        except OSError as error:
            self.unreadable += 1
            raise PageError(f"page {number} cannot be read: {error.strerror}") from error
        # A file that was cut off in the midst of a page may have whole rows in what is left of it.
        return data.ljust(PAGE_BYTES, b"\0")

    def cells(self) -> Iterator[Cell]:
        """Go through all rows of tables and entries of indexes, page by page."""
        for number in range(1, self.pages + 1):
            try:
                page = self.page(number)
            except PageError:
                continue
            yield from _cells(number, page)

    def row(self, cell: Cell) -> tuple[int | None, list[Value]]:
        """Return the number of a row, None for an index's entry, and its values.

        Raises:
            PageError: the bytes at the cell are no row.
        """
        page = self.page(cell.page)
        try:
            at = cell.at + (4 if cell.kind == INDEX_INNER else 0)
            size, at = _varint(page, at)
            number = None
            if cell.kind == TABLE_LEAF:
                number, at = _varint(page, at)
            return number, _values(self._payload(page, at, size, cell.kind))
        except (IndexError, struct.error) as error:
            raise PageError(str(error)) from error

    def _payload(self, page: bytes, at: int, size: int, kind: int) -> bytes:
        if size > self.pages * PAGE_BYTES:
            raise PageError("a row that is larger than the file")
        local = _local_bytes(size, kind)
        if at + local > PAGE_BYTES:
            raise PageError("a row that goes beyond its page")
        parts, left = [page[at : at + local]], size - local
        at += local
        while left > 0:
            (following,) = struct.unpack_from(">I", page, at)
            page, at = self.page(following), 0
            parts.append(page[4 : 4 + left])
            left -= len(parts[-1])
        return b"".join(parts)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _cells(number: int, page: bytes) -> Iterator[Cell]:
    start = _FILE_HEADER_BYTES if number == 1 else 0
    kind = page[start]
    if kind not in (TABLE_LEAF, INDEX_LEAF, INDEX_INNER):
        return
    pointers = start + (12 if kind == INDEX_INNER else 8)
    (count,) = struct.unpack_from(">H", page, start + 3)
    for index in range(min(count, (PAGE_BYTES - pointers) // 2)):
        (at,) = struct.unpack_from(">H", page, pointers + 2 * index)
        if pointers < at < PAGE_BYTES:
            yield Cell(kind, number, at)


def _local_bytes(size: int, kind: int) -> int:
    """How much of a row lies on its own page; the rest is on a chain of others."""
    most = PAGE_BYTES - 35 if kind == TABLE_LEAF else (PAGE_BYTES - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (PAGE_BYTES - 12) * 32 // 255 - 23
    local = least + (size - least) % (PAGE_BYTES - 4)
    return local if local <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for length in range(8):
        byte = data[at + length]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + length + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >= 1 << 63 else value, at + 9


def _values(payload: bytes) -> list[Value]:
    header_bytes, at = _varint(payload, 0)
    if not 0 < header_bytes <= len(payload):
        raise PageError("no row's header")
    types = []
    while at < header_bytes:
        kind, at = _varint(payload, at)
        types.append(kind)
    values: list[Value] = []
    at = header_bytes
    for kind in types:
        size = _size(kind)
        if at + size > len(payload):
            raise PageError("a value that goes beyond its row")
        values.append(_value(kind, payload[at : at + size]))
        at += size
    return values


def _size(kind: int) -> int:
    if kind < 0 or kind in (10, 11):
        raise PageError(f"no type of a value: {kind}")
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == 7 else _FIXED_BYTES.get(kind, 0)


def _value(kind: int, data: bytes) -> Value:
    if kind == 0:
        return None
    if kind in _FIXED_BYTES:
        return int.from_bytes(data, "big", signed=True)
    if kind == 7:
        number: float = struct.unpack(">d", data)[0]
        return number
    if kind in (8, 9):
        return kind - 8
    return data.decode("utf-8", errors="replace") if kind % 2 else data
