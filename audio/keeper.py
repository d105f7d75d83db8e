"""Keeps the sound of the ear's visits for the case that the ear is lost. Where it cannot, the visits go on without."""

import logging
from collections.abc import Callable

from audio.kept_sound import KeptSound, Slot

logger = logging.getLogger(__name__)


class Keeper:
    """Writes the sound of visits to `kept`, if there is any. For one thread."""

    def __init__(self, kept: KeptSound | None) -> None:
        self._kept = kept
        self._slots: dict[str, Slot] = {}

    def begin(self, visit: str, rate_hz: int, language: str) -> None:
        """Keep the sound of this visit, which begins."""

        def open_slot() -> None:
            slot = self._kept.open(visit, rate_hz, language) if self._kept else None
            if slot is not None:
                self._slots[visit] = slot

        self._try(visit, open_slot)

    def write(self, visit: str, samples: bytes) -> None:
        """More sound of the visit."""
        if slot := self._slots.get(visit):
            self._try(visit, lambda: slot.write(samples))

    def finish(self, visit: str) -> None:
        """The end of the visit was asked for."""
        if slot := self._slots.get(visit):
            self._try(visit, slot.finish)

    def forget(self, visit: str) -> None:
        """The visit is over: overwrite its sound."""
        if slot := self._slots.pop(visit, None):
            self._try(visit, slot.wipe)

    def _try(self, visit: str, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            self._slots.pop(visit, None)
            logger.warning("the sound of a visit is not kept: %s", error)
