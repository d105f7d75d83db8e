"""What keeps the ingest from being flooded or from filling the disk: a rate for each kiosk, and room that is left."""

import logging
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

MAX_KIOSKS = 20_000
"""Of so many the rate is remembered; those heard longest ago are forgotten first."""

CALM_S = 60.0
"""A kiosk that has kept to its rate for so long is told of anew when it breaks it again."""

ROOM_EVERY_S = 1.0
MB = 1_000_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float
    refused_at_s: float | None = None


class RateLimit:
    """So many messages a second from each kiosk, with some ahead; pure, the clock is passed in.

    Args:
        rate_per_s: how many messages a kiosk may send for ever.
        burst: how many it may send at once after a silence, as after an outage.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allow(self, kiosk: str, now_s: float) -> bool:
        """Tell whether one more message of ``kiosk`` is within its rate, and count it if so."""
        bucket = self._buckets.get(kiosk)
        if bucket is None:
            bucket = self._buckets[kiosk] = _Bucket(self._burst, now_s)
            if len(self._buckets) > MAX_KIOSKS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(kiosk)
        bucket.left = min(self._burst, bucket.left + (now_s - bucket.at_s) * self._rate_per_s)
        bucket.at_s = now_s
        if bucket.left >= 1:
            bucket.left -= 1
            self._tell_of_calm(kiosk, bucket, now_s)
            return True
        if bucket.refused_at_s is None:
            logger.warning("a kiosk sends too fast; what is too much is not taken", extra={"kiosk": kiosk})
        bucket.refused_at_s = now_s
        return False

    def _tell_of_calm(self, kiosk: str, bucket: _Bucket, now_s: float) -> None:
        if bucket.refused_at_s is not None and now_s - bucket.refused_at_s >= CALM_S:
            bucket.refused_at_s = None
            logger.info("a kiosk keeps to its rate again", extra={"kiosk": kiosk})


class DiskRoom:
    """Whether the disk has room for what comes in, with some left over for what is there to be worked off.

    Args:
        folder: where the database lies.
        low_mb: with less room than this, in millions of bytes, nothing is taken; 0 never looks.
    """

    def __init__(self, folder: Path, low_mb: int) -> None:
        self._folder = folder
        self._low_mb = low_mb
        self._asked_s: float | None = None
        self._enough = True

    def is_enough(self, now_s: float) -> bool:
        """Tell whether there is room; the disk is asked once a second."""
        if self._asked_s is None or now_s - self._asked_s >= ROOM_EVERY_S:
            self._asked_s = now_s
            self._look()
        return self._enough

    def _look(self) -> None:
        free_mb = shutil.disk_usage(self._folder).free // MB
        # A quarter more ends it, so that it does not begin again with the next message.
        enough = free_mb >= (self._low_mb if self._enough else self._low_mb * 5 // 4)
        if enough != self._enough:
            fields = {"free_mb": free_mb, "min_free_mb": self._low_mb}
            if enough:
                logger.info("the disk has room again; feedback is taken", extra=fields)
            else:
                logger.warning("the disk is nearly full; nothing is taken, and the kiosks keep it", extra=fields)
        self._enough = enough
