"""Other sample rates, in plain Python: for the detector of speech, and for sound below a model's rate."""

from array import array
from itertools import pairwise


def averaged(samples: "array[int]", count: int) -> "array[int]":
    """`samples` brought down to `count` samples, each the mean of its share. For detection, not for recognition."""
    length = len(samples)
    if count >= length:
        return samples
    edges = [index * length // count for index in range(count + 1)]
    return array("h", [sum(samples[a:b]) // (b - a) for a, b in pairwise(edges)])


class Interpolator:
    """Brings a stream of 16-bit mono samples up from one rate to a higher one, by straight lines.

    Vosk brings higher rates down by itself and refuses lower ones.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._rest: array[int] = array("h")
        self._offset = 0  # of the next output sample from the first of `_rest`, in 1/to_hz of an input sample

    def convert(self, samples: bytes) -> bytes:
        """The next samples at the higher rate. The last input sample is held back for the next call."""
        values = self._rest
        values.frombytes(samples)
        end = (len(values) - 1) * self._to_hz
        converted = array("h")
        for position in range(self._offset, end, self._from_hz):
            whole, part = divmod(position, self._to_hz)
            left = values[whole]
            converted.append(left + (values[whole + 1] - left) * part // self._to_hz)
        if end > self._offset:
            position = self._offset + len(converted) * self._from_hz
            used = min(position // self._to_hz, len(values) - 1)
            self._offset = position - used * self._to_hz
            self._rest = values[used:]
        return converted.tobytes()
