"""The ear as the agent uses it: a child process that is watched, and replaced for as long as it takes."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from audio.ear_account import EarAccount
from audio.ear_stats import EarProgress, EarStats
from audio.ear_watch import EarWatch
from audio.protocol import Begin, EarEvent, Finish, LanguageUnusable
from audio.settings import AudioSettings
from audio.vigil import EarLimits

logger = logging.getLogger(__name__)

EAR_COMMAND: Final = (sys.executable, "-P", "-m", "audio")
STOP_S: Final = 5.0


class EarProcess:
    """Keeps an ear running and hands its events to `on_event`.

    `on_event` is called in one thread of this object, must not wait, and gets of a visit only what comes between its
    `begin` and its end. A visit ends with exactly one `Transcript` or `Failed`, or with `discard`. An ear that dies,
    hangs, hears nothing for a second or cannot start is killed and replaced, for ever; `EarLost` tells so once, `Ready`
    when it is over. A microphone or a model that is missing is such a loss too, never an exception.

    A visit during which the ear is lost goes on as `Interrupted`: what was said until then is transcribed by the next
    ear. Only if that is lost over it too, or there was no sound yet, it ends with `Failed`.

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
        self._on_event = on_event
        self._command = tuple(command)
        self._environment = environment
        self._limits = limits or EarLimits()
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._account = EarAccount(settings, self._limits)
        self._watch: EarWatch | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the ear and the watch over it. Returns at once; `Ready` or `EarLost` follows."""
        with self._lock:
            if self._watch is not None:
                return
            self._watch = EarWatch(
                self._account,
                self._lock,
                self._on_event,
                self._command,
                self._environment,
                self._limits,
                self._monotonic,
            )
            self._watch.start()

    def stop(self) -> None:
        """End the ear, and overwrite what is kept. No event comes afterwards. Not to be called from `on_event`."""
        watch = self._watch
        if watch is None:
            return
        if not watch.stop(STOP_S):
            logger.warning("the receiver of the ear's events does not return; its thread is left behind")
            return
        with self._lock:
            self._watch = None
            for visit in self._account.visits.names:
                self._account.end(visit)

    def begin(self, visit: str) -> None:
        """Listen for a visit, from shortly before this moment on. Without a ready ear it fails at once."""
        with self._lock:
            failed = self._account.begin(visit)
            if self._watch is None:
                return
            if failed is None:
                self._watch.send(Begin(visit=visit))
            else:
                self._watch.tell(failed)

    def finish(self, visit: str) -> None:
        """End a visit; its `Transcript` or `Failed` follows. No effect on a visit that is not being recorded."""
        with self._lock:
            if self._watch is not None and self._account.finish(visit, self._monotonic()):
                self._watch.send(Finish(visit=visit))

    def discard(self, visit: str) -> None:
        """Forget a visit and its sound, also one that was interrupted.

        What `on_event` is being given at this moment may still be of it; nothing after that.
        """
        with self._lock:
            self._account.end(visit)
            if self._watch is not None:
                self._watch.discard(visit)

    def use_language(self, language: str) -> None:
        """Understand visits that begin from now on in another language of the settings.

        Answered by `LanguageReady`, from which on it is so, or by `LanguageUnusable`; the language in use stays until
        then. A model that is not loaded yet is loaded as soon as nobody speaks; one that does not fit beside those
        that are loaded takes a new ear, which `EarLost` and `Ready` tell.
        """
        with self._lock:
            reason = self._account.languages.want(language, self._monotonic())
            if self._watch is None:
                return
            if reason is not None:
                self._watch.tell(LanguageUnusable(language=language, reason=reason))
            self._watch.wake()

    def restart(self, settings: AudioSettings | None = None) -> None:
        """Replace the ear by a new one, with other settings if given: another model, another microphone."""
        with self._lock:
            if settings is not None:
                self._account.set(settings)
            if self._watch is not None:
                self._watch.restart()

    def progress(self) -> EarProgress:
        """How far the ear and the watch over it have come. It takes no lock, so it answers even if the watch hangs."""
        watch = self._watch
        return self._account.progress(watch.turns if watch is not None else 0)

    def stats(self) -> EarStats:
        """What the ear is doing now."""
        with self._lock:
            return self._watch.stats() if self._watch is not None else self._account.stats(None, 0, ())
