"""The ear as the agent uses it: a child process that is watched, and replaced for as long as it takes."""

import contextlib
import logging
import os
import random
import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import msgspec

from audio.child import ChildError, EarChild
from audio.protocol import (
    Begin,
    Command,
    Discard,
    EarEvent,
    EarLost,
    Event,
    Failed,
    Fault,
    Finish,
    FirstSound,
    Heartbeat,
    Level,
    NothingSaid,
    Partial,
    Ready,
    SpeechEnded,
    SpeechStarted,
    Transcript,
)
from audio.settings import AudioSettings
from audio.vigil import EarLimits, Vigil

logger = logging.getLogger(__name__)

EAR_COMMAND: Final = (sys.executable, "-P", "-m", "audio")
LOOK_S: Final = 0.1
"""How often the watch looks at the clock; events come at once."""
STOP_S: Final = 5.0

_NOT_STARTED: Final = "the ear is being started"


class EarStats(msgspec.Struct, frozen=True):
    """What the ear is doing, for the health report."""

    is_ready: bool
    reason: str | None
    """Why it is not ready."""
    ready: Ready | None
    """What the newest ear said of itself."""
    pid: int | None
    starts: int
    losses: int
    """Times at which a working ear was lost, or the first could not be started."""
    blocks: int
    """Of the newest ear, as are the next two."""
    overflows: int
    backlog_s: float
    transcripts: int
    failures: int
    """Visits that ended without a transcript."""
    last_words: tuple[str, ...]
    """Newest lines that the ear printed to standard error."""


class EarProcess:
    """Keeps an ear running and hands its events to `on_event`.

    `on_event` is called in one thread of this object, must not wait, and gets of a visit only what comes between its
    `begin` and its end. A visit ends with exactly one `Transcript` or `Failed`, or with `discard`. An ear that dies,
    hears nothing for a second or cannot start is killed and replaced, for ever; `EarLost` tells so once, `Ready` when
    it is over. A microphone or a model that is missing is such a loss too, never an exception.

    `command` starts the ear; `environment` is added to the process's own. All methods are safe in every thread.
    """

    def __init__(
        self,
        settings: AudioSettings,
        on_event: Callable[[EarEvent], None],
        *,
        command: Sequence[str] = EAR_COMMAND,
        environment: Mapping[str, str] | None = None,
        limits: EarLimits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._command = tuple(command)
        self._environment = environment
        self._limits = limits or EarLimits()
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._child: EarChild | None = None
        self._vigil: Vigil | None = None
        self._ready: Ready | None = None
        self._is_ready = False
        self._reason: str | None = _NOT_STARTED
        self._visits: set[str] = set()
        self._outbox: deque[EarEvent] = deque()
        self._restart_asked = False
        self._stop_asked = False
        self._heartbeat = Heartbeat(blocks=0, overflows=0, backlog_s=0.0)
        self._lost_s: float | None = None
        self._delay_s = self._limits.retry_first_s
        self._starts = self._losses = self._transcripts = self._failures = 0
        self._last_words: tuple[str, ...] = ()
        self._wake_read, self._wake_write = -1, -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the ear and the watch over it. Returns at once; `Ready` or `EarLost` follows."""
        if self._thread is not None:
            return
        self._stop_asked = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # One thread for the whole time: the kernel kills the ear when the thread that started it ends.
        self._thread = threading.Thread(target=self._watch, name="ear", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the ear. No event comes afterwards. Not to be called from `on_event`."""
        if self._thread is None:
            return
        self._stop_asked = True
        self._wake()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            logger.warning("the receiver of the ear's events does not return; its thread is left behind")
            return
        with self._lock:
            self._thread = None
            self._visits.clear()
            self._outbox.clear()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1

    def begin(self, visit: str) -> None:
        """Listen for a visit, from shortly before this moment on. Without a ready ear it fails at once."""
        with self._lock:
            if self._is_ready and self._child is not None:
                self._visits.add(visit)
                self._child.send(Begin(visit=visit))
                return
            self._failures += 1
            self._outbox.append(Failed(visit=visit, reason=self._reason or _NOT_STARTED))
        self._wake()

    def finish(self, visit: str) -> None:
        """End a visit; its `Transcript` or `Failed` follows. No effect on a visit that is not open."""
        with self._lock:
            if visit in self._visits and self._vigil is not None:
                self._vigil.finishing(visit, self._monotonic())
                self._send(Finish(visit=visit))

    def discard(self, visit: str) -> None:
        """Forget a visit. What `on_event` is being given at this moment may still be of it; nothing after that."""
        with self._lock:
            self._visits.discard(visit)
            if self._vigil is not None:
                self._vigil.done(visit)
            self._send(Discard(visit=visit))

    def restart(self, settings: AudioSettings | None = None) -> None:
        """Replace the ear by a new one, with other settings if given: another model, another microphone."""
        with self._lock:
            self._settings = settings or self._settings
            self._restart_asked = True
        self._wake()

    def stats(self) -> EarStats:
        """What the ear is doing now."""
        with self._lock:
            child = self._child
            return EarStats(
                is_ready=self._is_ready,
                reason=self._reason,
                ready=self._ready,
                pid=child.pid if child else None,
                starts=self._starts,
                losses=self._losses,
                blocks=self._heartbeat.blocks,
                overflows=self._heartbeat.overflows,
                backlog_s=self._heartbeat.backlog_s,
                transcripts=self._transcripts,
                failures=self._failures,
                last_words=tuple(child.last_words) if child else self._last_words,
            )

    def _send(self, command: Command) -> None:
        if self._child is not None:
            self._child.send(command)

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._wake_write >= 0:
                os.write(self._wake_write, b"!")

    def _watch(self) -> None:
        while not self._stop_asked:
            reason = self._live()
            if self._stop_asked:
                break
            self._lose(reason)
            if not self._restart_asked:
                self._rest()
            self._restart_asked = False

    def _live(self) -> str:
        """One life of an ear, from its start to its end; why it ended."""
        with self._lock:
            self._starts += 1
            settings = self._settings
        environment = {**os.environ, **self._environment} if self._environment is not None else None
        try:
            child = EarChild(settings, self._command, environment, self._monotonic)
        except ChildError as error:
            return str(error)
        vigil = Vigil(self._limits, self._monotonic())
        with self._lock:
            self._child, self._vigil = child, vigil
            self._heartbeat = Heartbeat(blocks=0, overflows=0, backlog_s=0.0)
        reason = self._follow(child, vigil)
        with self._lock:
            self._child, self._vigil, self._is_ready = None, None, False
            if vigil.was_steady(self._monotonic()):
                self._delay_s = self._limits.retry_first_s
        ending = child.close(is_ending=reason is None)
        self._last_words = tuple(child.last_words)
        return reason or self._how_it_died(ending)

    def _follow(self, child: EarChild, vigil: Vigil) -> str | None:
        """Hand on a child's events until it must be given up, and why; None when it died without a word."""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout_fd, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                ready_fds = {key.fd for key, _ in selector.select(LOOK_S)}
                child.read_stderr()
                self._hand_out(ready_fds)
                if self._stop_asked:
                    return "the ear was stopped"
                if self._restart_asked:
                    return "the ear was asked to start anew"
                if child.stdout_fd in ready_fds:
                    events = child.read_events()
                    if events is None:
                        return None
                    for event in events:
                        if isinstance(event, Fault):
                            return event.reason
                        self._take(event, vigil)
                elif verdict := self._verdict(vigil):
                    return verdict

    def _verdict(self, vigil: Vigil) -> str | None:
        with self._lock:
            return vigil.verdict(self._monotonic())

    def _take(self, event: Event, vigil: Vigil) -> None:
        now_s = self._monotonic()
        match event:
            case Ready():
                vigil.ready(now_s)
                self._become_ready(event)
            case Level():
                vigil.heard(now_s)
            case Heartbeat():
                vigil.heard(now_s)
                with self._lock:
                    self._heartbeat = event
            case Transcript() | Failed():
                if not self._end_visit(event, vigil):
                    return
            case FirstSound() | SpeechStarted() | SpeechEnded() | NothingSaid() | Partial():
                if event.visit not in self._visits:
                    return
        self._emit(event)

    def _end_visit(self, event: Transcript | Failed, vigil: Vigil) -> bool:
        with self._lock:
            if event.visit not in self._visits:
                return False
            self._visits.discard(event.visit)
            vigil.done(event.visit)
            self._transcripts += isinstance(event, Transcript)
            self._failures += isinstance(event, Failed)
            return True

    def _become_ready(self, ready: Ready) -> None:
        with self._lock:
            self._ready, self._is_ready, self._reason = ready, True, None
        if self._lost_s is not None:
            logger.info("the ear is back after %.1f s", self._monotonic() - self._lost_s)
            self._lost_s = None
        logger.info("the ear hears %r at %d Hz with the model %s", ready.device, ready.rate_hz, ready.model)

    def _lose(self, reason: str) -> None:
        with self._lock:
            self._reason = reason
            failed = [Failed(visit=visit, reason=reason) for visit in sorted(self._visits)]
            self._failures += len(failed)
            self._visits.clear()
        for event in failed:
            self._emit(event)
        if self._lost_s is not None:
            logger.debug("there is still no ear: %s", reason)
            return
        self._lost_s = self._monotonic()
        self._losses += 1
        logger.log(logging.INFO if self._restart_asked else logging.WARNING, "there is no ear: %s", reason)
        self._emit(EarLost(reason=reason))

    def _rest(self) -> None:
        """Wait before the next try, or until something else is to be done."""
        until_s = self._monotonic() + self._delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        self._delay_s = min(self._limits.retry_max_s, self._delay_s * 2)
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._stop_asked and not self._restart_asked:
                left_s = until_s - self._monotonic()
                if left_s <= 0:
                    return
                self._hand_out({key.fd for key, _ in selector.select(left_s)})

    def _hand_out(self, ready_fds: set[int]) -> None:
        if self._wake_read in ready_fds:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        while self._outbox:
            self._emit(self._outbox.popleft())

    def _how_it_died(self, ending: str) -> str:
        if self._reason is None:
            return f"the ear died: {ending}"
        said = f"; it said last: {self._last_words[-1]}" if self._last_words else ""
        return f"the ear died before it was ready ({ending}): its model may be damaged{said}"

    def _emit(self, event: EarEvent) -> None:
        if self._stop_asked:
            return
        try:
            self._on_event(event)
        except Exception:
            logger.exception("the receiver of the ear's events failed")
