"""Faults: what a bad line, a hung firmware or a worn switch does to the virtual panel, on demand and repeatable."""

import math
import random
from collections import deque
from dataclasses import dataclass

MAX_DELAY_MS = 10_000
MAX_CHATTER = 50
MAX_HELD_BYTES = 4096
"""What is longer than this without an end is passed on as it is."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong; raises ValueError for what cannot be. The default is a panel without faults."""

    drop: float = 0.0
    """Share of the frames, in each direction, that are lost."""
    repeat: float = 0.0
    """Share of the frames, in each direction, that arrive twice."""
    corrupt: float = 0.0
    """Share of the frames, in each direction, of which one byte is changed."""
    delay_ms: int = 0
    """How much later everything arrives, in each direction."""
    silent: bool = False
    """Nothing that the panel says goes out; it still hears."""
    chatter: int = 0
    """How often a button bounces at each press and each release, too slowly for the debouncing to hide it."""

    def __post_init__(self) -> None:
        for name in ("drop", "repeat", "corrupt"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share of all frames: expected 0 to 1, not {getattr(self, name)}")
        for name, most in (("delay_ms", MAX_DELAY_MS), ("chatter", MAX_CHATTER)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is a whole number from 0 to {most}, not {getattr(self, name)}")


class BadLine:
    """One direction of a line: cuts the bytes into frames, damages these and delivers them later, but in order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._held = bytearray()
        self._under_way: deque[tuple[float, bytes]] = deque()

    @property
    def deadline_s(self) -> float:
        """When something arrives; infinite when nothing is under way."""
        return self._under_way[0][0] if self._under_way else math.inf

    def put(self, data: bytes, faults: Faults, now_s: float) -> None:
        """Send `data`; the beginning of a frame is held back until its end comes, where frames are damaged."""
        if self._held or faults.drop or faults.repeat or faults.corrupt:
            data = self._cut(data, faults)
        if data:
            earliest_s = self._under_way[-1][0] if self._under_way else now_s
            self._under_way.append((max(earliest_s, now_s + faults.delay_ms / 1000), data))

    def take(self, now_s: float) -> bytes:
        """Return what has arrived by now."""
        arrived = bytearray()
        while self.deadline_s <= now_s:
            arrived += self._under_way.popleft()[1]
        return bytes(arrived)

    def reset(self) -> None:
        """Forget what is under way: the line was cut."""
        self._held.clear()
        self._under_way.clear()

    def _cut(self, data: bytes, faults: Faults) -> bytes:
        self._held += data
        whole = bytearray()
        while (end := self._frame_end()) is not None:
            whole += self._damaged(bytes(self._held[:end]), faults)
            del self._held[:end]
        return bytes(whole)

    def _frame_end(self) -> int | None:
        """Return where the first frame ends, with its zero; None while it goes on."""
        begin = 1 if self._held[:1] == b"\x00" else 0
        end = self._held.find(0, begin)
        if end >= 0:
            return end + 1
        return len(self._held) if len(self._held) > MAX_HELD_BYTES else None

    def _damaged(self, frame: bytes, faults: Faults) -> bytes:
        if self._rng.random() < faults.drop:
            return b""
        if self._rng.random() < faults.corrupt:
            at = self._rng.randrange(len(frame))
            frame = frame[:at] + bytes((frame[at] ^ self._rng.randrange(1, 256),)) + frame[at + 1 :]
        return frame * 2 if self._rng.random() < faults.repeat else frame
