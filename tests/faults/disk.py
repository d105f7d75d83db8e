"""A disk with a volatile write cache, whose power can be cut at any instant.

A cut is one instant: it happens between two requests of the file system, so that no block of the copy is younger than
another. What it leaves of the writes that were not flushed is the worst that a disk may do by its contract: none of
them, all of them, or any of them in any order, in blocks of 4096 bytes. What was flushed stays: a disk that lies about
that loses data under every program.
"""

import errno
import os
import random
import threading
from collections.abc import Mapping
from enum import Enum

BLOCK_BYTES = 4096
_ZEROS = bytes(BLOCK_BYTES)

Image = Mapping[int, bytes]
"""The blocks that are not zero, by number."""


class Remains(Enum):
    """What a cut leaves of the writes that were not flushed."""

    NOTHING = "nothing"
    ALL = "all"
    SOME = "some"


class Disk:
    """The bytes behind a `FuseFile`. Safe to use from several threads."""

    def __init__(self, size: int, image: Image | None = None) -> None:
        assert size % BLOCK_BYTES == 0
        self.size = size
        self.is_broken = False
        """Whether each write and each flush ends with an input/output error."""
        self._lock = threading.Lock()
        self._safe: dict[int, bytes] = dict(image or {})
        self._cached: dict[int, bytes] = {}

    def read(self, offset: int, size: int) -> bytes:
        """Return what was written last."""
        first, end = offset // BLOCK_BYTES, -(-(offset + size) // BLOCK_BYTES)
        with self._lock:
            blocks = b"".join(map(self._block, range(first, end)))
        start = offset - first * BLOCK_BYTES
        return blocks[start : start + size]

    def write(self, offset: int, data: bytes) -> None:
        """Take bytes into the cache.

        Raises:
            OSError: the disk is broken.
        """
        self._check()
        with self._lock:
            while data:
                number, start = divmod(offset, BLOCK_BYTES)
                part, data = data[: BLOCK_BYTES - start], data[BLOCK_BYTES - start :]
                if len(part) < BLOCK_BYTES:
                    old = self._block(number)
                    part, offset = old[:start] + part + old[start + len(part) :], offset + len(part)
                else:
                    offset += BLOCK_BYTES
                self._cached[number] = part

    def flush(self) -> None:
        """Make everything safe that was written before.

        Raises:
            OSError: the disk is broken.
        """
        self._check()
        with self._lock:
            self._safe.update(self._cached)
            self._cached.clear()

    def cut(self, remains: Remains, chance: random.Random) -> Image:
        """Return what would be on the disk if the power failed at this instant; the disk itself works on."""
        with self._lock:
            safe, cached = dict(self._safe), dict(self._cached)
        match remains:
            case Remains.NOTHING:
                pass
            case Remains.ALL:
                safe.update(cached)
            case Remains.SOME:
                safe.update({number: data for number, data in cached.items() if chance.random() < 0.5})
        return safe

    def _check(self) -> None:
        if self.is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _block(self, number: int) -> bytes:
        return self._cached.get(number) or self._safe.get(number, _ZEROS)


def image_of(data: bytes) -> Image:
    """Return the image with these bytes."""
    blocks = (data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES))
    return {number: block for number, block in enumerate(blocks) if block != _ZEROS}
