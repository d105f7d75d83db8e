"""Checksums of archives and files: those that were promised, and those that were computed."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Algorithm = Literal["sha256", "md5"]
PIECE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checksum:
    """A promise about a file's bytes."""

    algorithm: Algorithm
    value: str
    """Hexadecimal, in lower case."""

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.algorithm} {self.value}"


def promise(algorithm: Algorithm, text: str) -> Checksum:
    """Read a checksum as a user gives it. Raises `ValueError`: one sentence."""
    digits = {"md5": 32, "sha256": 64}[algorithm]
    value = text.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
        raise ValueError(f"{text!r} is no {algorithm} checksum: that has {digits} digits from 0 to f")
    return Checksum(algorithm, value)


class Hasher:
    """Computes both kinds of checksum of what goes by."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._sha256 = hashlib.sha256()
        # The Vosk project's catalogue has nothing better.
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.size_bytes += len(piece)
        self._sha256.update(piece)
        self._md5.update(piece)

    @property
    def sha256(self) -> str:
        """Of all bytes so far."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """Of all bytes so far."""
        return self._md5.hexdigest()

    def of(self, algorithm: Algorithm) -> Checksum:
        """The checksum of all bytes so far."""
        return Checksum(algorithm, self.md5 if algorithm == "md5" else self.sha256)


def hash_file(path: Path, report: Callable[[int], None] = lambda _: None) -> Hasher:
    """Read a file from the disk itself, not from memory. `report` gets the bytes so far. Raises `OSError`."""
    hasher = Hasher()
    with path.open("rb", buffering=0) as file:
        # What an SD card has lost does not show in pages that are still in memory from the writing.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(PIECE_BYTES):
            hasher.update(piece)
            report(hasher.size_bytes)
    return hasher
