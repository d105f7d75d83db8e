"""The ear's process: the microphone's callback, the commands and the recogniser meet in one queue and one thread."""

import logging
import os
import threading
import time
from dataclasses import dataclass
from queue import SimpleQueue
from typing import BinaryIO

from audio.listener import Listener
from audio.microphone import MicrophoneError, MicrophoneStream, find_microphone, pick_channel
from audio.model import ModelError, find_model
from audio.protocol import (
    LONGEST_LINE_BYTES,
    Begin,
    Command,
    Discard,
    Event,
    Failed,
    Fault,
    Finish,
    ProtocolError,
    Quit,
    Ready,
    decode_command,
    decode_settings,
    encode,
)
from audio.settings import AudioSettings
from audio.worker import Loaded, Recognised, RecogniserWorker, Refused, Report, SoFar, Unusable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Block:
    samples: bytes
    overflowed: bool


class _StreamEnded:
    """PortAudio gave the microphone's stream up."""


class _EarError(Exception):
    """The ear cannot go on."""


_Item = _Block | _StreamEnded | Command | Report


class Ear:
    """Hears with the microphone of `settings` and writes events to the file descriptor `events_fd`."""

    def __init__(self, settings: AudioSettings, events_fd: int) -> None:
        self._settings = settings
        self._events_fd = events_fd
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._model: Loaded | None = None
        self._has_sound = False
        self._is_ready = False

    def run(self, commands: BinaryIO) -> int:
        """Work until told to quit; the exit status. Ends the process itself when `commands` ends.

        A reason not to work is told as `Fault`.
        """
        try:
            self._work(commands)
        except (MicrophoneError, ModelError, _EarError) as error:
            self._write(Fault(reason=str(error)))
            return 1
        return 0

    def _work(self, commands: BinaryIO) -> None:
        settings = self._settings
        # The cheap checks first: while the microphone is missing, the ear is started again and again. The worker
        # imports Vosk and loads the model.
        self._microphone = find_microphone(settings)
        find_model(settings.model_folder)
        worker = RecogniserWorker(settings, self._microphone.rate_hz, self._queue.put)
        self._listener = Listener(settings, self._microphone.rate_hz, worker, self._write, time.monotonic)
        stream = MicrophoneStream(
            self._microphone,
            settings,
            deliver=lambda samples, overflowed: self._queue.put(_Block(samples, overflowed)),
            ended=lambda: self._queue.put(_StreamEnded()),
        )
        worker.start()
        threading.Thread(target=self._read, args=(commands,), name="commands", daemon=True).start()
        while not isinstance(item := self._queue.get(), Quit):
            self._handle(item)
        del stream  # it had to live so long: PortAudio calls back into it

    def _read(self, commands: BinaryIO) -> None:
        while line := commands.readline(LONGEST_LINE_BYTES):
            try:
                self._queue.put(decode_command(line))
            except ProtocolError as error:
                logger.warning("a command was not understood: %s", error)
        # The parent is gone. Not through the queue: the thread that empties it may hang in native code.
        os._exit(0)

    def _handle(self, item: _Item) -> None:
        match item:
            case _Block():
                self._has_sound = True
                samples = pick_channel(item.samples, self._microphone.channels, self._settings.channel)
                self._listener.hear(samples, overflowed=item.overflowed)
                self._become_ready()
            case Loaded():
                self._model = item
                self._listener.model = item.model.name
                self._become_ready()
            case _StreamEnded():
                raise _EarError(f"the microphone {self._microphone.name!r} stopped: it was unplugged, or it failed")
            case Unusable():
                raise _EarError(item.reason)
            case SoFar() | Recognised() | Refused():
                self._listener.report(item)
            case _:
                self._obey(item)

    def _obey(self, command: Command) -> None:
        match command:
            case Begin() if not self._is_ready:
                self._write(Failed(visit=command.visit, reason="the ear is still being started"))
            case Begin():
                self._listener.begin(command.visit)
            case Finish():
                self._listener.finish(command.visit)
            case Discard():
                self._listener.discard(command.visit)
            case Quit():
                pass

    def _become_ready(self) -> None:
        if self._is_ready or self._model is None or not self._has_sound:
            return
        self._is_ready = True
        self._write(
            Ready(
                device=self._microphone.name,
                rate_hz=self._microphone.rate_hz,
                channels=self._microphone.channels,
                model=self._model.model.name,
                model_is_demonstration=self._model.model.is_demonstration,
                language=self._settings.language,
            )
        )

    def _write(self, event: Event) -> None:
        write_event(self._events_fd, event)


def serve(commands: BinaryIO, events_fd: int) -> int:
    """Read the settings from the first line of `commands`, then be the ear; the exit status."""
    line = commands.readline(LONGEST_LINE_BYTES)
    if not line:
        return 0
    try:
        settings = decode_settings(line)
    except ProtocolError as error:
        write_event(events_fd, Fault(reason=f"the settings of the ear are wrong: {error}"))
        return 1
    return Ear(settings, events_fd).run(commands)


def write_event(events_fd: int, event: Event) -> None:
    """Write one event, whole."""
    line = encode(event)
    while line:
        line = line[os.write(events_fd, line) :]
