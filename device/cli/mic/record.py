"""`kiosk mic record`: a WAV file of what the kiosk hears, for a technician's own ears."""

import argparse
import os
import stat
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from audio.capture import Capture
from audio.level import Loudness, loudness, together
from audio.measure import dbfs
from audio.microphone import MicrophoneError, pick_channel
from audio.settings import AudioSettings
from device.cli.mic import place
from device.cli.mic.stopping import stop_asked

LONGEST_S = 3600.0
"""A recording that somebody forgot ends by itself."""
LONGEST_BYTES = 2**32 - 2**16
"""What the sizes in a WAV file's header can say."""
WARNING = "holds the voices of people: keep it to yourself, and delete it when you are done"


class FileRefusedError(Exception):
    """The file cannot be written. One sentence."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "record",
        help="record what the kiosk hears to a WAV file",
        description="Record what the kiosk hears, its channel at its rate, until Ctrl-C, for an hour at most.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.wav")
    parser.add_argument("--seconds", type=place.seconds, metavar="N", help="end after so long")
    parser.add_argument("--all-channels", action="store_true", help="record every channel of the microphone")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    place.add_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = place.audio_settings(arguments)
    path: Path = arguments.file
    try:
        _check(path, replace=arguments.force)
        with Capture(settings, rate_hz=arguments.rate, all_channels=arguments.all_channels) as capture:
            recording = _Recording(capture, settings, path, arguments)
            with stop_asked() as is_stopped:
                recording.run(arguments.seconds, is_stopped)
    except FileRefusedError as error:
        print(f"kiosk: {error}", file=sys.stderr)
        return 1
    except MicrophoneError as error:
        place.complain(error, arguments)
        return 1
    return 0


class _Recording:
    """The writing of one file. It is made when there is sound, so that no failure replaces an earlier one."""

    def __init__(self, capture: Capture, settings: AudioSettings, path: Path, arguments: argparse.Namespace) -> None:
        self._capture = capture
        self._settings = settings
        self._path = path
        self._replace: bool = arguments.force
        self._all_channels: bool = arguments.all_channels
        self._channels = capture.microphone.channels if arguments.all_channels else 1
        self._levels: list[Loudness] = []
        self._frames = 0

    def run(self, seconds: float | None, is_stopped: Callable[[], bool]) -> None:
        """Record. Raises `MicrophoneError` and `FileRefusedError`; what was recorded until then is kept."""
        microphone = self._capture.microphone
        longest_s = min(seconds or LONGEST_S, LONGEST_BYTES / (2 * self._channels * microphone.rate_hz))
        most_frames = round(longest_s * microphone.rate_hz)
        blocks = self._capture.blocks()
        first = next(blocks)
        print(f"kiosk: recording to {self._path}; Ctrl-C ends it", file=sys.stderr, flush=True)
        try:
            with _created(self._path, replace=self._replace) as file, wave.open(file, "wb") as sound:
                sound.setnchannels(self._channels)
                sound.setsampwidth(2)
                sound.setframerate(microphone.rate_hz)
                self._write(sound, first.samples, most_frames)
                while self._frames < most_frames and not is_stopped():
                    self._write(sound, next(blocks).samples, most_frames)
        except OSError as error:
            raise FileRefusedError(f"{self._path}: {error.strerror}; what was recorded before is in it") from error
        finally:
            self._tell()

    def _write(self, sound: wave.Wave_write, samples: bytes, most_frames: int) -> None:
        channels = self._capture.microphone.channels
        own = pick_channel(samples, channels, self._settings.channel)
        kept = samples if self._all_channels else own
        kept = kept[: (most_frames - self._frames) * 2 * self._channels]
        sound.writeframes(kept)  # corrects the header each time, so that the file is whole at any moment
        self._frames += len(kept) // 2 // self._channels
        self._levels.append(loudness(own))

    def _tell(self) -> None:
        microphone = self._capture.microphone
        level = together(self._levels)
        many = "1 channel" if self._channels == 1 else f"{self._channels} channels"
        print(
            f"{self._path}: {self._frames / microphone.rate_hz:.1f} s, {microphone.rate_hz} Hz, {many}, "
            f"{level.dbfs:.0f} dBFS, peak {dbfs(level.peak**2):.0f}"
        )
        print(f"kiosk: {self._path} {WARNING}", file=sys.stderr)


def _check(path: Path, *, replace: bool) -> None:
    """Find out before the microphone is opened whether the file can be made. Raises `FileRefusedError`."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise FileRefusedError(f"{path}: there is no folder {path.parent}; make it first") from None
        return
    except OSError as error:
        raise FileRefusedError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise FileRefusedError(f"{path}: it is no file; name another")
    if not replace:
        raise FileRefusedError(f"{path}: it exists already; name another file, or replace it with --force")


def _created(path: Path, *, replace: bool) -> BinaryIO:
    """A file that its owner alone can read. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if replace else os.O_EXCL)
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)  # one that is replaced may have had other rights
    return os.fdopen(descriptor, "wb")
