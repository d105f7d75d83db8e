"""The sound of visits that have no transcript yet, in memory that outlives an ear that dies of it.

One file in memory (`audio.memory_file`), made by the parent, written by the ear and read by the next ear. It has
`SLOTS` slots, one for each visit at a time: a header of one page, then the samples. The header is written after the
samples that it counts, so that a death between the two costs one block. Nothing here is mapped into the ear, where
native code that goes astray could overwrite it.
"""

import hashlib
import os
import struct
from collections.abc import Collection
from enum import IntEnum
from typing import Final, NamedTuple

from audio import memory_file
from audio.memory_file import ALIGN_BYTES

SLOTS: Final = 4
"""A visitor speaks, another one's last words are being recognised, and a few may be waiting for a new ear."""
HIGHEST_BYTES_PER_S: Final = 2 * 48000
"""What a slot is made for: 16-bit mono. Of sound at a higher rate the end of the longest visit is not kept."""
MARGIN_S: Final = 5.0
"""Pre-roll and tail come on top of `longest_s`; each is bounded by its setting."""

_MAGIC: Final = 0x56425331
_HEADER: Final = struct.Struct("=IIIQ16s48s")  # magic, state, rate, size, tag, language
_LOWEST_RATE_HZ: Final = 4000
_HIGHEST_RATE_HZ: Final = 384000


class SlotState(IntEnum):
    """What a slot holds."""

    FREE = 0
    RECORDING = 1
    FINISHING = 2
    """The end of the visit was asked for."""


class Header(NamedTuple):
    """What is known of the sound in a slot."""

    state: SlotState
    rate_hz: int
    size_bytes: int
    """Samples that follow: 16-bit mono in native byte order."""
    tag: bytes
    """Of the visit; see `tag_of`."""
    language: str
    """In which it is to be understood."""


def tag_of(visit: str) -> bytes:
    """16 bytes that stand for a visit's name, which may be a thousand times as long."""
    return hashlib.blake2b(visit.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def pack(header: Header) -> bytes:
    """A header as it lies in memory."""
    state, rate_hz, size_bytes, tag, language = header
    return _HEADER.pack(_MAGIC, state, rate_hz, size_bytes, tag, language.encode())


def unpack(data: bytes, capacity_bytes: int) -> Header | None:
    """The header in `data`; None if it is free or no header, for what dies may leave anything behind."""
    try:
        magic, state, rate_hz, size_bytes, tag, language = _HEADER.unpack_from(data)
        if magic != _MAGIC or state == SlotState.FREE or not _LOWEST_RATE_HZ <= rate_hz <= _HIGHEST_RATE_HZ:
            return None
        size_bytes = min(size_bytes, capacity_bytes)
        return Header(SlotState(state), rate_hz, size_bytes - size_bytes % 2, tag, language.rstrip(b"\0").decode())
    except (struct.error, ValueError):
        return None


def slot_bytes(longest_s: float) -> int:
    """Room for the samples of one visit."""
    wanted = int((longest_s + MARGIN_S) * HIGHEST_BYTES_PER_S)
    return -(-wanted // ALIGN_BYTES) * ALIGN_BYTES


class Slot:
    """The sound of one visit. To be used by one thread of one process at a time; every method raises `OSError`."""

    def __init__(self, descriptor: int, start: int, capacity_bytes: int, header: Header) -> None:
        self._descriptor = descriptor
        self._start = start
        self._capacity_bytes = capacity_bytes
        self.header = header

    def begin(self) -> None:
        """Take the slot."""
        self._note(self.header)

    def write(self, samples: bytes) -> None:
        """Add sound. What exceeds the slot is not kept."""
        size = self.header.size_bytes
        samples = samples[: self._capacity_bytes - size]
        if not samples:
            return
        written = os.pwrite(self._descriptor, samples, self._start + ALIGN_BYTES + size)
        self._note(self.header._replace(size_bytes=size + written))

    def finish(self) -> None:
        """Note that the end of the visit was asked for."""
        self._note(self.header._replace(state=SlotState.FINISHING))

    def read(self, at: int, size: int) -> bytes:
        """`size` bytes of sound from byte `at` on, less at the end."""
        size = min(size, self.header.size_bytes - at)
        return os.pread(self._descriptor, size, self._start + ALIGN_BYTES + at) if size > 0 else b""

    def wipe(self) -> None:
        """Overwrite the sound with zeros and free the slot."""
        # The header last: who dies half-way leaves a slot that is still to be wiped.
        memory_file.wipe(self._descriptor, self._start + ALIGN_BYTES, self._start + ALIGN_BYTES + self._capacity_bytes)
        memory_file.wipe(self._descriptor, self._start, self._start + ALIGN_BYTES)

    def _note(self, header: Header) -> None:
        self.header = header
        os.pwrite(self._descriptor, pack(header), self._start)


class KeptSound:
    """The slots in the file `descriptor`, whose first `ALIGN_BYTES` are somebody else's. Methods raise `OSError`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stride = (os.fstat(descriptor).st_size - ALIGN_BYTES) // SLOTS
        self._capacity_bytes = self._stride - ALIGN_BYTES
        if self._capacity_bytes <= 0:
            raise OSError(f"descriptor {descriptor} is no file of kept sound")

    def open(self, visit: str, rate_hz: int, language: str) -> Slot | None:
        """A slot for a visit that begins; None while all are taken."""
        for number in range(SLOTS):
            if self._slot(number) is None:
                header = Header(SlotState.RECORDING, rate_hz, 0, tag_of(visit), language)
                slot = Slot(self._descriptor, self._at(number), self._capacity_bytes, header)
                slot.begin()
                return slot
        return None

    def find(self, visit: str) -> Slot | None:
        """The slot of a visit."""
        tag = tag_of(visit)
        return next((slot for slot in self._taken() if slot.header.tag == tag), None)

    def wipe(self, visit: str) -> None:
        """Wipe what is kept of a visit."""
        if slot := self.find(visit):
            slot.wipe()

    def wipe_all_but(self, visits: Collection[str]) -> None:
        """Wipe what belongs to none of these visits, damaged slots included."""
        tags = {tag_of(visit) for visit in visits}
        for number in range(SLOTS):
            slot = self._slot(number)
            if slot is None or slot.header.tag not in tags:
                start = self._at(number)
                memory_file.wipe(self._descriptor, start, start + self._stride)

    def _taken(self) -> list[Slot]:
        return [slot for number in range(SLOTS) if (slot := self._slot(number)) is not None]

    def _slot(self, number: int) -> Slot | None:
        start = self._at(number)
        header = unpack(os.pread(self._descriptor, _HEADER.size, start), self._capacity_bytes)
        return Slot(self._descriptor, start, self._capacity_bytes, header) if header else None

    def _at(self, number: int) -> int:
        return ALIGN_BYTES + number * self._stride


def file_bytes(longest_s: float) -> int:
    """Length of a file with room for `SLOTS` visits."""
    return ALIGN_BYTES + SLOTS * (ALIGN_BYTES + slot_bytes(longest_s))
