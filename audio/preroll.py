"""The sound of the last moments, in memory only, so that a visit can begin before its press."""


class Preroll:
    """A ring of `capacity_bytes` that keeps the newest sound.

    What is taken out or cleared is overwritten with zeros in the ring itself. (Python gives no such promise for the
    short-lived blocks that came from PortAudio; they are freed at once.)
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._ring = bytearray(capacity_bytes)
        self._next = 0
        self._filled = 0

    def __len__(self) -> int:
        """Bytes of sound in the ring."""
        return self._filled

    def write(self, samples: bytes) -> None:
        """Add sound; the oldest goes."""
        capacity = len(self._ring)
        samples = samples[max(0, len(samples) - capacity) :]
        first = samples[: capacity - self._next]
        rest = samples[len(first) :]
        self._ring[self._next : self._next + len(first)] = first
        self._ring[: len(rest)] = rest
        self._next = (self._next + len(samples)) % capacity if capacity else 0
        self._filled = min(capacity, self._filled + len(samples))

    def take(self) -> bytes:
        """All sound in the ring, oldest first; the ring is empty afterwards."""
        start = self._next - self._filled
        sound = bytes(self._ring[start:] + self._ring[: self._next] if start < 0 else self._ring[start : self._next])
        self.clear()
        return sound

    def clear(self) -> None:
        """Overwrite the sound with zeros."""
        self._ring[:] = bytes(len(self._ring))
        self._next = 0
        self._filled = 0
