"""How loud the shop is of itself, so that a visitor can be told from it. Pure arithmetic on the levels of frames.

Between visits the ear hears the shop all the time: its fans, its music, the people in it. What is heard in a visit is
speech only where it is louder than that. Two things are known of the shop: how loud it usually becomes, from the last
minute, and its floor, the level of its quietest moments, from the last seconds. When the floor rises in the midst of a
visit (a fan starts), all that must be louder than the shop rises with it.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from statistics import median
from typing import Final

import msgspec

from audio.level import FLOOR_DBFS

BLOCK_FRAMES: Final = 15
BLOCKS: Final = 10
"""The floor is looked for in the last 4.5 s: a visitor who speaks without a pause still breathes."""
RANK: Final = 3
"""The floor is the lowest level of a block of frames, of the blocks the fourth lowest: one moment of lost sound, which
is digital silence, does not count, and neither does one gap in the babble of a crowd."""
LEAST_BLOCKS: Final = 5
LEAST_FRAMES: Final = 100
"""With less than 3 s of the shop, a visitor's own words before the press would be most of it."""
SHORT_FRAMES: Final = 667
"""20 s. The shop was as loud as it was in the last 20 s or in all that is remembered, whichever was less: friends who
talk before they press are few of the long stretch, a coffee mill that has stopped is none of the short one."""
PRESS_FRAMES: Final = 16
"""The last half second before a press does not count: many speak before they press."""
LOUD_SHARE: Final = 0.93
"""The shop is quieter than its loudness for this share of the time."""
CREST_DB: Final = 14.0
"""Its loudness is at most so far above its median: a shop that clatters, or where one talked for long before the press,
must not make the visitor shout."""
LEAST_HEADROOM_DB: Final = 1.0
MOST_HEADROOM_DB: Final = 9.0
"""By how much the shop is taken to be louder than its floor. Talk is louder than the gaps in it by far more, but to ask
so much of the visitor would end speech that is not over."""
USUAL_HEADROOM_DB: Final = 7.0
"""Where the shop is not known."""


class Floor(msgspec.Struct, frozen=True):
    """The level of the quietest moments of the last seconds."""

    blocks: tuple[float, ...] = ()
    """The lowest level of each of the newest blocks, oldest first."""
    lowest_dbfs: float = 0.0
    """Of the block that is not yet complete."""
    frames: int = 0
    """In that block."""
    dbfs: float = FLOOR_DBFS
    """The floor; `FLOOR_DBFS` until there are `LEAST_BLOCKS`."""

    def after(self, level_dbfs: float) -> "Floor":
        """The floor after one more frame of this level."""
        lowest_dbfs = min(self.lowest_dbfs, level_dbfs)
        if self.frames + 1 < BLOCK_FRAMES:
            return Floor(self.blocks, lowest_dbfs, self.frames + 1, self.dbfs)
        blocks = (*self.blocks[1 - BLOCKS :], lowest_dbfs)
        return Floor(blocks, dbfs=_floor_dbfs(blocks))


class Background(msgspec.Struct, frozen=True):
    """What the shop sounded like before a visit."""

    loud_dbfs: float = FLOOR_DBFS
    """How loud it usually became."""
    usual_dbfs: float = FLOOR_DBFS
    """Its median level."""
    headroom_db: float = USUAL_HEADROOM_DB
    """By how much its loudness is above its floor."""
    floor: Floor = Floor()
    """As it was last."""

    def level_dbfs(self, floor: Floor) -> float:
        """How loud the shop becomes with the floor that it has by now."""
        return max(self.loud_dbfs, floor.dbfs + self.headroom_db)


UNKNOWN: Final = Background()
"""Of a shop that was not listened to. It is learnt from the visit itself, so its first seconds count as quiet."""


class BackgroundMeter:
    """Hears the shop between visits, frame by frame. `remembered`: how many frames are remembered."""

    def __init__(self, remembered: int) -> None:
        self._levels: deque[float] = deque(maxlen=remembered + PRESS_FRAMES)

    def hear(self, level_dbfs: float) -> None:
        """The level of the next frame."""
        self._levels.append(level_dbfs)

    def measure(self) -> Background:
        """What the shop is like, or `UNKNOWN` where it was heard for less than `LEAST_FRAMES`."""
        count = len(self._levels) - PRESS_FRAMES
        if count < LEAST_FRAMES:
            return UNKNOWN
        levels = list(islice(self._levels, count))
        loud_dbfs = min(_loud_dbfs(levels), _loud_dbfs(levels[-SHORT_FRAMES:]))
        starts = range(count % BLOCK_FRAMES, count, BLOCK_FRAMES)
        lowest = [min(levels[start : start + BLOCK_FRAMES]) for start in starts]
        headroom_db = min(MOST_HEADROOM_DB, max(LEAST_HEADROOM_DB, loud_dbfs - median(lowest)))
        blocks = tuple(lowest[-BLOCKS:])
        return Background(loud_dbfs, median(levels), headroom_db, Floor(blocks, dbfs=_floor_dbfs(blocks)))


def _loud_dbfs(levels: Sequence[float]) -> float:
    ordered = sorted(levels)
    last = len(ordered) - 1
    return min(ordered[round(LOUD_SHARE * last)], ordered[last // 2] + CREST_DB)


def _floor_dbfs(blocks: Sequence[float]) -> float:
    return sorted(blocks)[min(RANK, len(blocks) - LEAST_BLOCKS)] if len(blocks) >= LEAST_BLOCKS else FLOOR_DBFS
