"""PCM WAV files as 16-bit mono samples."""

import sys
import wave
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOWEST_RATE_HZ: Final = 4000
HIGHEST_RATE_HZ: Final = 192000
PIECE_S: Final = 10.0
"""So long that a recognised file seldom changes between the recogniser and what looks at the sound: each change costs
the processor its caches, measured as 3 % of the whole with a small model."""


class WavError(Exception):
    """A file that is no WAV this program can read. One sentence."""


class WavReader:
    """The sound of a WAV file: PCM of 8, 16, 24 or 32 bits, any number of channels (their mean is taken).

    Raises `WavError`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # `pieces` closes it, or `close`.
            self._file = wave.open(str(path), "rb")  # noqa: SIM115
        except FileNotFoundError as error:
            raise WavError(f"there is no file {path}") from error
        except OSError as error:
            raise WavError(f"{path} cannot be read: {error.strerror}") from error
        except (wave.Error, EOFError, ValueError, RuntimeError) as error:  # RuntimeError: of a chunk's size
            raise WavError(
                f"{path} is not a PCM WAV file ({str(error) or 'it is too short'}); convert it, for example with: "
                "ffmpeg -i IN -ac 1 -ar 16000 OUT.wav"
            ) from error
        self.rate_hz = self._file.getframerate()
        self._channels = self._file.getnchannels()
        self._width = self._file.getsampwidth()
        if not LOWEST_RATE_HZ <= self.rate_hz <= HIGHEST_RATE_HZ:
            self.close()
            raise WavError(
                f"{path} has {self.rate_hz} samples a second; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} can be read"
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def pieces(self) -> Iterator[bytes]:
        """The samples, `PIECE_S` at a time, in native byte order. Raises `WavError`."""
        frame_bytes = self._width * self._channels
        try:
            while data := self._file.readframes(int(self.rate_hz * PIECE_S)):
                yield _mono(_as_16_bit(data[: len(data) - len(data) % frame_bytes], self._width), self._channels)
        except (OSError, EOFError, RuntimeError, wave.Error) as error:
            raise WavError(f"{self._path} cannot be read to its end: {error}") from error


def _as_16_bit(data: bytes, width: int) -> bytes:
    """Samples of `width` bytes (as WAV has them: little endian, 8 bits unsigned) as native 16-bit samples."""
    if width == 2 and sys.byteorder == "little":
        return data
    if width == 1:
        return array("h", [(value - 128) << 8 for value in data]).tobytes()
    upper = bytearray(len(data) // width * 2)
    upper[0::2] = data[width - 2 :: width]
    upper[1::2] = data[width - 1 :: width]
    samples = array("h", bytes(upper))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def _mono(samples: bytes, channels: int) -> bytes:
    if channels == 1:
        return samples
    values = array("h", samples)
    return array("h", [sum(frame) // channels for frame in zip(*[iter(values)] * channels, strict=True)]).tobytes()
