"""The ear's process: the microphone's callback, the commands and the recogniser meet in one queue and one thread."""

import logging
import os
import queue
import threading
import time
from queue import SimpleQueue
from typing import BinaryIO, Final

from audio.health import Finding, Problem, SoundHealth, dead_text, lively_channel
from audio.keeper import Keeper
from audio.kept_sound import KeptSound
from audio.listener import Listener
from audio.loaded_models import LoadedModels
from audio.microphone import Microphone, pick_channel
from audio.microphone_feed import Block, Found, MicrophoneFeed, NoSound
from audio.protocol import (
    LONGEST_LINE_BYTES,
    Begin,
    Command,
    Discard,
    Event,
    Failed,
    Fault,
    Finish,
    LanguageReady,
    LanguageUnusable,
    MicrophoneHealth,
    NoRoom,
    ProtocolError,
    Quit,
    Ready,
    Reopen,
    Start,
    UseLanguage,
    decode_command,
    decode_start,
    encode,
)
from audio.recovery import Recovery
from audio.vitals import VitalSigns
from audio.worker import Loaded, Recognised, RecogniserWorker, Refused, Report, SoFar, Unusable, Worked

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.2
"""How often the main thread gives a sign of life when nothing comes."""


_Item = Found | Block | NoSound | Command | Report


class Ear:
    """Hears and recovers as `start` says, and writes events to the file descriptor `events_fd`."""

    def __init__(self, start: Start, events_fd: int) -> None:
        settings = start.settings
        self._start = start
        self._settings = settings
        self._events_fd = events_fd
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._vital_signs = VitalSigns(start.shared_fd)
        self._kept = _kept_sound(start)
        self._worker = RecogniserWorker(
            LoadedModels(settings, start.measured_mb),
            self._queue.put,
            partial_every_s=settings.partial_every_s,
            vital_signs=self._vital_signs,
        )
        self._recovery = Recovery(settings, self._kept, start.recover, self._worker, self._write, time.monotonic)
        self._feed = MicrophoneFeed(settings, self._queue.put)
        self._models: dict[str, Loaded] = {}
        self._wanted = start.language
        self._language: str | None = None
        self._microphone: Microphone | None = None
        self._health: SoundHealth | None = None
        self._listener: Listener | None = None
        self._has_sound = False
        self._is_ready = False
        self._fault: str | None = None

    def run(self, commands: BinaryIO) -> int:
        """Work until told to quit; the exit status. Ends the process itself when `commands` ends.

        A reason not to work is told as `Fault`, after what was to be recovered.
        """
        threading.Thread(target=self._read, args=(commands,), name="commands", daemon=True).start()
        self._feed.start()
        if self._recovery.is_busy:
            self._begin_loading()
        while not isinstance(item := self._next(), Quit):
            if item is not None:
                self._handle(item)
            self._recovery.go_on()
            # What was kept can be worked on without a microphone; a visitor of now cannot be heard without one.
            if self._fault and (self._has_sound or not self._recovery.is_busy):
                self._write(Fault(reason=self._fault))
                return 1
        return 0

    def _next(self) -> _Item | None:
        self._vital_signs.beat()
        try:
            return self._queue.get(timeout=BEAT_S)
        except queue.Empty:
            return None

    def _read(self, commands: BinaryIO) -> None:
        while line := commands.readline(LONGEST_LINE_BYTES):
            try:
                self._queue.put(decode_command(line))
            except ProtocolError as error:
                logger.warning("a command was not understood: %s", error)
        # The parent is gone. Not through the queue: the thread that empties it may hang in native code.
        os._exit(0)

    def _begin_loading(self) -> None:
        """Start the recogniser's thread, with all that is wanted of it so far. It imports Vosk, which takes a while."""
        if self._worker.is_alive():
            return
        self._worker.start()
        for language in dict.fromkeys([*([self._wanted] if self._wanted else []), *self._recovery.languages]):
            if language in self._start.avoid:
                self._recovery.unusable(language, "", for_good=False)
            else:
                self._worker.load(language)

    def _handle(self, item: _Item) -> None:
        match item:
            case Block():
                self._hear(item)
            case Found():
                self._begin_listening(item.microphone)
                self._begin_loading()
            case NoSound():
                self._fault = item.reason
            case Loaded():
                self._take_model(item)
            case Unusable():
                self._do_without(item)
            case SoFar() | Recognised() | Refused() | Worked():
                if self._listener is not None and not isinstance(item, Worked):
                    self._listener.report(item)
                self._recovery.report(item)
            case _:
                self._obey(item)

    def _hear(self, block: Block) -> None:
        assert self._microphone is not None, "the microphone was found before it was opened"
        assert self._health is not None, "it was made when the microphone was found"
        assert self._listener is not None, "so was it"
        self._has_sound = True
        samples = pick_channel(block.samples, self._microphone.channels, self._settings.channel)
        self._listener.hear(samples, overflowed=block.overflowed)
        self._become_ready()
        for finding in self._health.hear(samples, block.at_s, overflowed=block.overflowed):
            self._tell(finding, block, self._microphone)
        if self._health.is_dead:
            self._listener.deaden(dead_text(self._health.flat_s), self._settings.dead_s)

    def _tell(self, finding: Finding, block: Block, microphone: Microphone) -> None:
        text = finding.text
        if finding.problem is Problem.DEAD and finding.is_present and self._settings.channel != "mix":
            text = dead_text(self._settings.dead_s, lively_channel(block.samples, microphone.channels))
        self._write(MicrophoneHealth(problem=finding.problem, is_present=finding.is_present, text=text))

    def _begin_listening(self, microphone: Microphone) -> None:
        if self._microphone is not None and microphone.rate_hz != self._microphone.rate_hz:
            self._fault = f"the microphone {microphone.name!r} has come back with another rate"
            return
        self._health = SoundHealth(self._settings, microphone.rate_hz)
        self._microphone = microphone
        if self._listener is not None:  # it was opened again
            return
        self._listener = Listener(
            self._settings, microphone.rate_hz, self._worker, self._write, time.monotonic, Keeper(self._kept)
        )
        if self._language is not None:
            self._listener.use(self._language, self._models[self._language].model.name)

    def _obey(self, command: Command) -> None:
        if isinstance(command, UseLanguage):
            self._want(command.language)
        elif isinstance(command, Begin) and (self._listener is None or not self._is_ready):
            self._write(Failed(visit=command.visit, reason="the ear is still being started"))
        elif isinstance(command, Begin) and self._listener is not None:
            self._listener.begin(command.visit)
        elif isinstance(command, Finish) and self._listener is not None:
            self._listener.finish(command.visit)
        elif isinstance(command, Reopen):
            self._feed.reopen()
        elif isinstance(command, Discard):
            self._recovery.discard(command.visit)
            if self._listener is not None:
                self._listener.discard(command.visit)

    def _want(self, language: str) -> None:
        self._wanted = language
        if language in self._models:
            self._use(self._models[language])
        else:
            if not self._worker.is_alive():
                self._worker.start()
            self._worker.load(language)

    def _take_model(self, loaded: Loaded) -> None:
        self._models[loaded.language] = loaded
        self._recovery.loaded(loaded.language, loaded.model.name)
        if loaded.language == self._wanted:
            self._use(loaded)

    def _use(self, loaded: Loaded) -> None:
        self._language = loaded.language
        if self._listener is not None:
            self._listener.use(loaded.language, loaded.model.name)
        self._write(
            LanguageReady(
                language=loaded.language,
                model=loaded.model.name,
                model_is_demonstration=loaded.model.is_demonstration,
                memory_mb=round(loaded.memory_bytes / 1e6, 1),
            )
        )
        self._become_ready()

    def _do_without(self, unusable: Unusable) -> None:
        self._recovery.unusable(unusable.language, unusable.reason, for_good=unusable.for_want_of_room)
        if unusable.language == self._wanted:
            self._wanted = self._language
            kind = NoRoom if unusable.for_want_of_room else LanguageUnusable
            self._write(kind(language=unusable.language, reason=unusable.reason))

    def _become_ready(self) -> None:
        if self._is_ready or self._language is None or not self._has_sound or self._microphone is None:
            return
        self._is_ready = True
        model = self._models[self._language].model
        self._write(
            Ready(
                device=self._microphone.name,
                rate_hz=self._microphone.rate_hz,
                channels=self._microphone.channels,
                model=model.name,
                model_is_demonstration=model.is_demonstration,
                language=self._language,
            )
        )

    def _write(self, event: Event) -> None:
        write_event(self._events_fd, event)


def serve(commands: BinaryIO, events_fd: int) -> int:
    """Read the `Start` from the first line of `commands`, then be the ear; the exit status."""
    line = commands.readline(LONGEST_LINE_BYTES)
    if not line:
        return 0
    try:
        start = decode_start(line)
    except ProtocolError as error:
        write_event(events_fd, Fault(reason=f"the settings of the ear are wrong: {error}"))
        return 1
    return Ear(start, events_fd).run(commands)


def write_event(events_fd: int, event: Event) -> None:
    """Write one event, whole."""
    line = encode(event)
    while line:
        line = line[os.write(events_fd, line) :]


def _kept_sound(start: Start) -> KeptSound | None:
    if start.shared_fd is None:
        return None
    try:
        return KeptSound(start.shared_fd)
    except OSError as error:
        logger.warning("no sound is kept: %s", error)
        return None
