"""The ear's signs of life, which its parent reads from shared memory even when no thread of the ear can speak.

They lie at the start of the file that keeps the sound (`audio.kept_sound`). Times are of `CLOCK_MONOTONIC`, which all
processes of a machine share.
"""

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

_MAGIC: Final = 0x56425631
_VITALS: Final = struct.Struct("=IIdd16s")  # magic, work, beat, owed since, tag


class Work(IntEnum):
    """What the recogniser is at."""

    NONE = 0
    LOADING = 1
    """A model."""
    LISTENING = 2
    """Sound of a visit as it comes."""
    RECOVERING = 3
    """Sound of a visit that an earlier ear did not finish."""


class Vitals(NamedTuple):
    """Signs of life at one moment."""

    beat_s: float
    """When the ear's main thread last came by."""
    work: Work
    owed_s: float
    """Since when the recogniser owes a next step of its work; without work, of no meaning."""
    tag: bytes
    """Of the visit that is worked on; see `kept_sound.tag_of`."""

    def overdue_s(self, now_s: float) -> float:
        """How long the recogniser has not done a step though there is work."""
        return 0.0 if self.work is Work.NONE else max(0.0, now_s - self.owed_s)


NO_TAG: Final = bytes(16)
UNBORN: Final = Vitals(0.0, Work.NONE, 0.0, NO_TAG)


def pack(vitals: Vitals) -> bytes:
    """Vitals as they lie in memory."""
    return _VITALS.pack(_MAGIC, vitals.work, vitals.beat_s, vitals.owed_s, vitals.tag)


def unpack(data: bytes) -> Vitals | None:
    """The vitals in `data`; None if there are none."""
    try:
        magic, work, beat_s, owed_s, tag = _VITALS.unpack_from(data)
        return Vitals(beat_s, Work(work), owed_s, tag) if magic == _MAGIC else None
    except (struct.error, ValueError):
        return None


def read(descriptor: int) -> Vitals | None:
    """The vitals of the ear that writes to this file; None before its first sign. Raises `OSError`."""
    return unpack(os.pread(descriptor, _VITALS.size, 0))


def clear(descriptor: int) -> None:
    """Forget the vitals of an ear that has ended. Raises `OSError`."""
    os.pwrite(descriptor, bytes(_VITALS.size), 0)


class VitalSigns:
    """Writes the ear's vitals. Every method may be called in every thread. Without a descriptor nothing is written."""

    def __init__(self, descriptor: int | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._descriptor = descriptor
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._vitals = UNBORN

    def beat(self) -> None:
        """The main thread comes by."""
        with self._lock:
            self._write(self._vitals._replace(beat_s=self._monotonic()))

    def work(self, work: Work, tag: bytes = NO_TAG) -> None:
        """The recogniser owes a step of this work from now on, or has no work."""
        with self._lock:
            self._write(self._vitals._replace(work=work, owed_s=self._monotonic(), tag=tag))

    def step(self) -> None:
        """A step of the work is done."""
        with self._lock:
            self._write(self._vitals._replace(owed_s=self._monotonic()))

    def _write(self, vitals: Vitals) -> None:
        self._vitals = vitals
        if self._descriptor is not None:
            # Without memory for one page there are worse things wrong than that the parent sees no signs.
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, pack(vitals), 0)
