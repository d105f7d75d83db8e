"""The thread that opens the microphone, now and again; PortAudio may take seconds to look around, or hang."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from audio.microphone import Microphone, MicrophoneError, MicrophoneStream, find_microphone, look_again
from audio.settings import AudioSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """The microphone; its sound follows."""

    microphone: Microphone


@dataclass(frozen=True, slots=True)
class Block:
    """Sound, all channels interleaved."""

    samples: bytes
    overflowed: bool
    """Whether sound was lost before it."""
    at_s: float
    """When it arrived, on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class NoSound:
    """There is no microphone, or no more. One sentence."""

    reason: str


class MicrophoneFeed(threading.Thread):
    """Opens the microphone of `settings`. `report` is called in this thread and in PortAudio's, and may not wait."""

    def __init__(self, settings: AudioSettings, report: Callable[[Found | Block | NoSound], None]) -> None:
        super().__init__(name="microphone", daemon=True)
        self._settings = settings
        self._report = report
        self._reopen_asked = threading.Event()

    def reopen(self) -> None:
        """Close the microphone, look for the devices anew, and open it again. Any thread."""
        self._reopen_asked.set()

    def run(self) -> None:
        """Open the microphone, whenever it is asked for; PortAudio does the rest."""
        try:
            while True:
                stream = self._opened()
                self._reopen_asked.wait()
                self._reopen_asked.clear()
                stream.close()
                look_again()
        except MicrophoneError as error:
            self._report(NoSound(str(error)))
        except Exception as error:
            logger.exception("the microphone could not be opened")
            self._report(NoSound(f"the microphone could not be opened: {error!r}"))

    def _opened(self) -> MicrophoneStream:
        microphone = find_microphone(self._settings)
        self._report(Found(microphone))
        stopped = NoSound(f"the microphone {microphone.name!r} stopped: it was unplugged, or it failed")
        return MicrophoneStream(
            microphone,
            self._settings,
            deliver=lambda samples, overflowed: self._report(Block(samples, overflowed, time.monotonic())),
            ended=lambda: self._report(stopped),
        )
