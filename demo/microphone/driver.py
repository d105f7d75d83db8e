"""Drives the simulated microphone: what it says, and the faults that a USB microphone can have."""

import mmap
import struct
import sys
import time
import wave
from array import array
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from demo.microphone.build import build

CONTROL_BYTES: Final = 4096
DEVICE_NAME: Final = "mic"
POLL_S: Final = 0.005

_MAGIC: Final = 0x31434D53
# The control page, as `struct control` in simmic.c has it.
_WORD: Final = struct.Struct("=I")
_SIGNED: Final = struct.Struct("=i")
_LONG: Final = struct.Struct("=Q")
_MAGIC_AT: Final = 0
_MODE_AT: Final = 4
_OVERRUNS_ASKED_AT: Final = 8
_OVERRUNS_DONE_AT: Final = 12
_SAID_ASKED_AT: Final = 16
_SAID_DONE_AT: Final = 24
_OPENS_AT: Final = 28
_STARTS_AT: Final = 32
_NOISE_AT: Final = 36
_FRAMES_AT: Final = 40
_PATH_AT: Final = 48
_PATH_BYTES: Final = 512
_RATE_AT: Final = 560
_PACE_AT: Final = 564
_OFFSET_AT: Final = 568
_DEAD_CHANNELS_AT: Final = 572

_FULL_SCALE: Final = 32768
ROOM_NOISE_DBFS: Final = -72.0
CLIPPING_DBFS: Final = 20.0
"""White noise of this peak is at full scale for nine tenths of its samples."""


class _Mode(IntEnum):
    PLUGGED = 0
    UNPLUGGED = 1
    UNPLUGGED_AS_OVERRUN = 2
    STALLED = 3
    MUTED = 4


class SimulatedMicrophone:
    """A USB microphone that exists for ALSA alone, under the name "mic".

    `directory` takes the compiled plugin (or `build_dir` does, to share it between microphones), the control page
    and the ALSA configuration; `environment()` is what a process needs to find the microphone. The room is never
    digitally silent: white noise of `noise_dbfs` (peak) is under all that is said, except when muted. With
    several channels the noise differs in each, and the voice is in `voice_channel` (from 1) alone.

    Raises `BuildError` if the plugin cannot be compiled.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rate_hz: int = 16000,
        channels: int = 1,
        voice_channel: int = 1,
        noise_dbfs: float = ROOM_NOISE_DBFS,
        build_dir: Path | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self.rate_hz = rate_hz
        library = build(build_dir or directory)
        control = self.directory / "control"
        control.write_bytes(_WORD.pack(_MAGIC).ljust(CONTROL_BYTES, b"\0"))
        control.chmod(0o666)  # the ear may run as another user than the demonstration
        with control.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), CONTROL_BYTES)
        self.make_noise(noise_dbfs)
        self._utterances = 0
        self._configuration = self.directory / "asoundrc"
        self._configuration.write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm_type.simmic {{ lib "{library}" }}\n'
            f"pcm.{DEVICE_NAME} {{\n"
            f'    type simmic\n    control "{control}"\n    rate {rate_hz}\n'
            f"    channels {channels}\n    voice_channel {voice_channel}\n"
            f'    hint {{ show on description "Simulated USB microphone" }}\n}}\n',
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the control page. A process that has the microphone open keeps hearing the room."""
        self._page.close()

    def environment(self) -> dict[str, str]:
        """What to add to the environment of a process so that ALSA shows it the microphone."""
        return {"ALSA_CONFIG_PATH": str(self._configuration)}

    def say(self, sound: Path) -> None:
        """Speak a 16-bit mono WAV file, or raw 16-bit mono samples at the microphone's rate, from now on.

        What is still being said is cut off. A WAV of another rate is converted. Raises `ValueError` for another
        kind of WAV.
        """
        self._utterances += 1
        target = self.directory / f"utterance-{self._utterances}.raw"
        raw = _read_wav(sound, self.rate_hz) if sound.suffix.lower() == ".wav" else sound.read_bytes()
        target.write_bytes(raw)
        target.chmod(0o644)
        name = str(target).encode()
        if len(name) >= _PATH_BYTES:
            raise ValueError(f"the directory's name is too long for the control page: {self.directory}")
        self._page[_PATH_AT : _PATH_AT + _PATH_BYTES] = name.ljust(_PATH_BYTES, b"\0")
        self._set(_SAID_ASKED_AT, self._utterances)

    @property
    def speaking(self) -> bool:
        """Whether something that `say` was given has not been delivered to its last sample."""
        return self._get(_SAID_DONE_AT) != self._utterances

    def wait_until_said(self, timeout_s: float) -> bool:
        """Wait until all is said; False if that took longer than `timeout_s` (an unplugged one never ends)."""
        deadline = time.monotonic() + timeout_s
        while self.speaking:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def unplug(self) -> None:
        """Pull the plug: the stream is disconnected at once, and the device cannot be opened."""
        self._set(_MODE_AT, _Mode.UNPLUGGED)

    def unplug_as_overrun(self) -> None:
        """Pull the plug in the way in which the failing transfers first look like an overrun."""
        self._set(_MODE_AT, _Mode.UNPLUGGED_AS_OVERRUN)

    def stall(self) -> None:
        """Deliver nothing more, without any error."""
        self._set(_MODE_AT, _Mode.STALLED)

    def mute(self) -> None:
        """Deliver zeros at the usual pace."""
        self._set(_MODE_AT, _Mode.MUTED)

    def replug(self, rate_hz: int | None = None) -> None:
        """End `unplug`, `stall` or `mute`. `rate_hz`: come back as a device that can do this rate alone."""
        if rate_hz is not None:
            self.rate_hz = rate_hz
            self._set(_RATE_AT, rate_hz)
        self._set(_MODE_AT, _Mode.PLUGGED)

    def run_at(self, pace_hz: int | None) -> None:
        """Deliver so many frames a second, whatever rate was agreed; None: that rate."""
        self._set(_PACE_AT, pace_hz or 0)

    def make_noise(self, dbfs: float = ROOM_NOISE_DBFS) -> None:
        """Change the room's noise, given by its peak; above 0 it is clipped (`CLIPPING_DBFS`)."""
        self._set(_NOISE_AT, round(_FULL_SCALE * 10 ** (dbfs / 20)))

    def shift(self, offset: float = 0.0) -> None:
        """Add a constant to every sample, also when muted: -1 to 1 of full scale."""
        _SIGNED.pack_into(self._page, _OFFSET_AT, round(_FULL_SCALE * offset))

    def kill_channels(self, *channels: int) -> None:
        """Deliver zeros on these channels, counted from 1, and sound on all others."""
        self._set(_DEAD_CHANNELS_AT, sum(1 << (channel - 1) for channel in channels))

    def overrun(self) -> None:
        """Lose some sound once, with the overrun that ALSA reports for it."""
        self._set(_OVERRUNS_ASKED_AT, self._get(_OVERRUNS_ASKED_AT) + 1)

    @property
    def overrun_done(self) -> bool:
        """Whether the overruns asked for have happened."""
        return self._get(_OVERRUNS_DONE_AT) == self._get(_OVERRUNS_ASKED_AT)

    @property
    def opens(self) -> int:
        """How often the device was opened, probing included."""
        return self._get(_OPENS_AT)

    @property
    def starts(self) -> int:
        """How often a stream was started."""
        return self._get(_STARTS_AT)

    @property
    def frames(self) -> int:
        """Frames delivered to the stream that read last, since its start."""
        return int(_LONG.unpack_from(self._page, _FRAMES_AT)[0])

    def _get(self, offset: int) -> int:
        return int(_WORD.unpack_from(self._page, offset)[0])

    def _set(self, offset: int, value: int) -> None:
        _WORD.pack_into(self._page, offset, value)


def _read_wav(path: Path, rate_hz: int) -> bytes:
    with wave.open(str(path), "rb") as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path}: the simulated microphone speaks 16-bit mono WAV files only")
        samples = array("h", file.readframes(file.getnframes()))
        if sys.byteorder == "big":
            samples.byteswap()
        return _at_rate(samples, file.getframerate(), rate_hz).tobytes()


def _at_rate(samples: "array[int]", from_hz: int, to_hz: int) -> "array[int]":
    if from_hz == to_hz or len(samples) < 2:
        return samples
    last = len(samples) - 2
    converted = array("h")
    for target in range(len(samples) * to_hz // from_hz):
        whole, part = divmod(target * from_hz, to_hz)
        left = min(whole, last)
        converted.append(samples[left] + (samples[left + 1] - samples[left]) * part // to_hz)
    return converted
