"""The parent's hand on the memory that it shares with its ears, one after the other. It never fails: without such
memory no sound is kept and no signs of life are read, and all else works."""

import logging
import os
from collections.abc import Callable, Collection
from typing import TypeVar

from audio import memory_file, vitals
from audio.kept_sound import KeptSound, file_bytes
from audio.vitals import Vitals

logger = logging.getLogger(__name__)

T = TypeVar("T")


class SharedMemory:
    """Memory for visits of up to `longest_s`. To be used by one thread at a time."""

    def __init__(self, longest_s: float) -> None:
        self.longest_s = longest_s
        self.descriptor: int | None = None
        """To be passed to an ear."""
        self._kept: KeptSound | None = None
        try:
            self.descriptor = memory_file.create("voiseback-ear", file_bytes(longest_s))
            self._kept = KeptSound(self.descriptor)
        except OSError as error:
            logger.warning("the sound of a visit will be lost with the ear, for there is no shared memory: %s", error)

    def vitals(self) -> Vitals | None:
        """What the ear wrote of itself; None before its first sign."""
        return self._try(vitals.read, None)

    def prepare(self) -> None:
        """Forget the signs of the last ear, before the next is started."""
        self._try(vitals.clear, None)

    def kept(self, visits: Collection[str]) -> list[str]:
        """Those of these visits of which there is sound."""
        return self._try(lambda _: [visit for visit in visits if self._has_sound(visit)], [])

    def wipe(self, visit: str) -> None:
        """Overwrite the sound of a visit; no ear may be using it."""
        if kept := self._kept:
            self._try(lambda _: kept.wipe(visit), None)

    def wipe_all_but(self, visits: Collection[str]) -> None:
        """Overwrite all sound but that of these visits; no ear may be using it."""
        if kept := self._kept:
            self._try(lambda _: kept.wipe_all_but(visits), None)

    def used_bytes(self) -> int:
        """How much memory is taken."""
        return self._try(memory_file.used_bytes, 0)

    def close(self) -> None:
        """Overwrite all sound and let go of the memory."""
        self.wipe_all_but(())
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = self._kept = None

    def _has_sound(self, visit: str) -> bool:
        slot = self._kept.find(visit) if self._kept else None
        return slot is not None and slot.header.size_bytes > 0

    def _try(self, use: Callable[[int], T], otherwise: T) -> T:
        if self.descriptor is None:
            return otherwise
        try:
            return use(self.descriptor)
        except OSError as error:
            logger.warning("the memory that is shared with the ear cannot be used: %s", error)
            return otherwise
