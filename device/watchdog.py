"""Feeds the service manager's watchdog from the progress of the agent's loop and of the ear, and from nothing else.

The loop calls `Watchdog.turn` itself, so a loop that stands feeds nothing. The ear replaces itself for as long as it
takes, and without a microphone or a model for ever: that is progress. It makes none if the watch over it stands, or if
an ear that is ready gives no sound and is not replaced. The network, the panel and the gateway have no say in it: to
restart the agent would not mend them.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audio.ear_stats import EarProgress
from contract.service_manager import notify

log = logging.getLogger(__name__)

FEED_SHARE: Final = 0.25
"""Of the watchdog's period: two feedings may be late or lost."""
EAR_PATIENCE_S: Final = 30.0
"""The watch over the ear comes by every 3 s at most; it takes longer to start and to bury an ear on a slow disk."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of the ear's progress."""

    seen: EarProgress
    moved_s: float
    """When the watch over the ear was last seen to have moved."""
    heard_s: float
    """When there was last sound, or no ear that was ready."""


def begin(seen: EarProgress, now_s: float) -> Progress:
    """Begin to look at the ear."""
    return Progress(seen, now_s, now_s)


def look(known: Progress, seen: EarProgress, now_s: float) -> Progress:
    """Return what is known after the ear was seen so at ``now_s``."""
    before = known.seen
    has_moved = seen.turns != before.turns
    has_sound = not seen.is_ready or (seen.starts, seen.blocks) != (before.starts, before.blocks)
    return Progress(seen, now_s if has_moved else known.moved_s, now_s if has_sound else known.heard_s)


def stands(known: Progress, now_s: float) -> str | None:
    """Say why the ear makes no progress; None while it does."""
    if now_s - known.moved_s > EAR_PATIENCE_S:
        return f"the watch over the ear has not moved for {EAR_PATIENCE_S:.0f} s"
    if now_s - known.heard_s > EAR_PATIENCE_S:
        return f"the ear is ready, has given no sound for {EAR_PATIENCE_S:.0f} s, and is not replaced"
    return None


class Watchdog:
    """For the agent's thread: give `turn` to it as what it calls at every turn.

    Args:
        ear: how far the ear has come; must not wait.
        period_s: after how long without being fed the service manager restarts the agent; None if it does not watch.
        tell: sends one message to the service manager.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        ear: Callable[[], EarProgress],
        *,
        period_s: float | None,
        tell: Callable[[str], None] = notify,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ear = ear
        self._period_s = period_s
        self._tell = tell
        self._monotonic = monotonic
        self._known: Progress | None = None
        self._due_s = float("-inf")
        self._is_hungry = False

    def turn(self) -> None:
        """The loop has come by: the first time the service is ready, later it is alive."""
        now_s = self._monotonic()
        if now_s < self._due_s:
            return
        seen = self._ear()
        if self._known is None:
            self._tell("READY=1")
            self._known = begin(seen, now_s)
        self._known = look(self._known, seen, now_s)
        if self._period_s is None:
            self._due_s = float("inf")
            return
        self._due_s = now_s + FEED_SHARE * self._period_s
        reason = stands(self._known, now_s)
        if reason is None:
            self._tell("WATCHDOG=1")
        elif not self._is_hungry:
            log.error("The watchdog is not fed any more, so that the service is restarted: %s", reason)
        self._is_hungry = reason is not None
