"""The thread that starts ears, follows each through its life, and replaces it."""

import logging
import os
import random
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from audio.child import ChildError, EarChild
from audio.ear_account import EarAccount, Loss
from audio.ear_stats import EarStats
from audio.protocol import Command, Discard, EarEvent, Event, Fault, Interrupted, Reopen, UseLanguage
from audio.remedy import Cure
from audio.shared_memory import SharedMemory
from audio.vigil import EarLimits
from audio.vitals import Vitals
from audio.wake_pipe import WakePipe

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.1
"""How often the watch looks at the clock; events come at once."""


class EarWatch(threading.Thread):
    """Watches over one ear after the other until `stop`, and gives `on_event` what is to be told of them.

    `account` is used under `lock` alone. `command` starts an ear; `environment` is added to the process's own. It is
    one thread for the whole time, for the kernel kills an ear when the thread that started it ends.
    """

    def __init__(
        self,
        account: EarAccount,
        lock: threading.RLock,
        on_event: Callable[[EarEvent], None],
        command: Sequence[str],
        environment: Mapping[str, str] | None,
        limits: EarLimits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="ear", daemon=True)
        self._account = account
        self._lock = lock
        self._on_event = on_event
        self._command = tuple(command)
        self._environment = environment
        self._limits = limits
        self._monotonic = monotonic
        self._wake_pipe = WakePipe()
        self._memory = SharedMemory(account.settings.longest_s)
        self._child: EarChild | None = None
        self._outbox: deque[EarEvent] = deque()
        self._restart_asked = False
        self._stop_asked = False
        self._delay_s = limits.retry_first_s
        self._last_words: tuple[str, ...] = ()
        self.turns = 0
        """How often this thread has come by; it stands still where the thread hangs."""

    # ------------------------------------------------------------ any thread, under the lock

    def tell(self, event: EarEvent) -> None:
        """Give this event to `on_event`, soon, in this thread."""
        self._outbox.append(event)
        self._wake_pipe.wake()

    def send(self, command: Command) -> None:
        """Give the ear a command, if there is one."""
        if self._child is not None:
            self._child.send(command)

    def discard(self, visit: str) -> None:
        """Overwrite the sound of a visit."""
        if self._child is not None:
            self._child.send(Discard(visit=visit))
        else:
            self._memory.wipe(visit)

    def restart(self) -> None:
        """Replace the ear."""
        self._restart_asked = True
        self._wake_pipe.wake()

    def wake(self) -> None:
        """Look at the account, which has changed."""
        self._wake_pipe.wake()

    def stats(self) -> EarStats:
        """What the ear is doing now."""
        child = self._child
        return self._account.stats(
            child.pid if child else None,
            self._memory.used_bytes(),
            tuple(child.last_words) if child else self._last_words,
        )

    # ------------------------------------------------------------ any thread, without the lock

    def stop(self, timeout_s: float) -> bool:
        """End the ear and this thread, and overwrite what is kept; whether that was possible in time."""
        self._stop_asked = True
        self._wake_pipe.wake()
        self.join(timeout_s)
        if self.is_alive():
            return False
        with self._lock:
            self._wake_pipe.close()
            self._memory.close()
        return True

    # ------------------------------------------------------------ this thread

    def run(self) -> None:
        """Start ears until `stop`."""
        while not self._stop_asked:
            self.turns += 1
            try:
                makes_haste = self._live()
            except Exception:
                # A defect must cost one ear, not the watch: a thread that has ended is silent for ever.
                logger.exception("the watch over the ear failed")
                makes_haste = False
            if not makes_haste:
                self._rest()
            self._restart_asked = False

    def _live(self) -> bool:
        """One life of an ear, from its start to its end; whether the next one is wanted at once."""
        try:
            child = self._start_child()
        except ChildError as error:
            return self._lose(Loss(str(error)), None, self._monotonic())
        try:
            loss = self._follow(child)
        except Exception as error:
            logger.exception("the watch over the ear failed")
            loss = Loss(f"the watch over the ear failed: {error!r}")
        now_s, vitals = self._monotonic(), self._memory.vitals()
        if self._account.was_steady(now_s):
            self._delay_s = self._limits.retry_first_s
        ending = child.close(is_ending=loss is None)
        self._last_words = tuple(child.last_words)
        return self._lose(loss or Loss(self._how_it_died(ending), died=True), vitals, now_s)

    def _start_child(self) -> EarChild:
        environment = {**os.environ, **self._environment} if self._environment is not None else None
        with self._lock:  # what is discarded from here on, the new ear is told
            self._fit_memory()
            self._memory.prepare()
            start = self._account.start(self._memory.descriptor, self._monotonic())
            self._child = EarChild(start, self._command, environment, self._monotonic)
            return self._child

    def _fit_memory(self) -> None:
        """Make the shared memory anew for other settings, once nothing is kept in the old one."""
        longest_s = self._account.settings.longest_s
        if self._memory.longest_s != longest_s and not self._account.visits:
            self._memory.close()
            self._memory = SharedMemory(longest_s)

    def _follow(self, child: EarChild) -> Loss | None:
        """Hand on a child's events until it must be given up, and why; None when it died without a word."""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout_fd, selectors.EVENT_READ)
            selector.register(self._wake_pipe.fd, selectors.EVENT_READ)
            while True:
                ready_fds = {key.fd for key, _ in selector.select(LOOK_S)}
                self.turns += 1
                self._wake_pipe.clear()
                child.read_stderr()
                self._hand_out()
                if loss := self._asked_loss():
                    return loss
                if child.stdout_fd in ready_fds:
                    events = child.read_events()
                    if events is None:
                        return None
                    for event in events:
                        if isinstance(event, Fault):
                            return Loss(event.reason)
                        self._take(event)
                if verdict := self._verdict():
                    return Loss(verdict)
                self._steer()

    def _asked_loss(self) -> Loss | None:
        """Somebody wants this ear to end."""
        if self._stop_asked:
            return Loss("the ear was stopped", was_asked=True)
        if self._restart_asked:
            return Loss("the ear was asked to start anew", was_asked=True)
        with self._lock:
            account = self._account
            if account.languages.needs_new_ear and not account.visits.live:
                return Loss("the ear is started anew, for a model that has no room beside the others", was_asked=True)
            cure = account.cure(self._monotonic())
            if cure is Cure.REPLACE:
                return Loss("the ear is started anew, because the microphone's sound is wrong", was_asked=True)
            if cure is Cure.REOPEN:
                self.send(Reopen())
        return None

    def _take(self, event: Event) -> None:
        with self._lock:
            told = self._account.take(event, self._monotonic())
        self._emit(told)

    def _verdict(self) -> str | None:
        with self._lock:
            return self._account.verdict(self._monotonic(), self._memory.vitals())

    def _steer(self) -> None:
        """Ask the ear for what is due."""
        with self._lock:
            now_s = self._monotonic()
            if language := self._account.ask(now_s):
                self.send(UseLanguage(language=language))
            expired = self._account.expire(now_s)
            for event in expired:
                self.discard(event.visit)
        self._emit(expired)

    def _lose(self, loss: Loss, vitals: Vitals | None, now_s: float) -> bool:
        """Give up the ear, which has ended at `now_s`, and keep what it leaves behind; whether to make haste."""
        with self._lock:
            account, self._child = self._account, None
            told = account.lose(loss, self._memory.kept(account.visits.names), vitals, now_s)
            told += account.expire(now_s)
            self._memory.wipe_all_but(account.visits.names)
        self._emit(told)
        # For a visitor who waits. That is no way to start ears without a pause: each visit is interrupted once.
        return loss.was_asked or any(isinstance(event, Interrupted) for event in told)

    def _rest(self) -> None:
        """Wait before the next try, or until something else is to be done."""
        until_s = self._monotonic() + self._delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        self._delay_s = min(self._limits.retry_max_s, self._delay_s * 2)
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_pipe.fd, selectors.EVENT_READ)
            while not self._stop_asked and not self._restart_asked:
                left_s = until_s - self._monotonic()
                if left_s <= 0:
                    return
                selector.select(left_s)
                self.turns += 1
                self._wake_pipe.clear()
                self._hand_out()

    def _hand_out(self) -> None:
        while self._outbox:
            self._emit([self._outbox.popleft()])

    def _how_it_died(self, ending: str) -> str:
        if self._account.reason is None:
            return f"the ear died: {ending}"
        said = f"; it said last: {self._last_words[-1]}" if self._last_words else ""
        return f"the ear died before it was ready ({ending}): its model may be damaged{said}"

    def _emit(self, events: Iterable[EarEvent]) -> None:
        for event in events:
            if self._stop_asked:
                return
            try:
                self._on_event(event)
            except Exception:
                logger.exception("the receiver of the ear's events failed")
