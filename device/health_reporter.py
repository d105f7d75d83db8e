"""Asks the parts of the kiosk how they are; tells the gateway, the service manager and whoever asks on this machine.

It has a thread of its own, because parts may keep it waiting: the spool asks the disk, the ear has a lock. A disk that
hangs may cost the health; it must not cost the visit, whose loop has no time to wait. For the same reason nothing that
keeps the agent alive depends on this thread (`device.watchdog`).
"""

import logging
import selectors
import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path

from audio.wake_pipe import WakePipe
from contract import messages, service_manager
from contract.health import Health, in_words, parts_of
from device.health import HealthMaker
from device.health_schedule import Schedule
from device.status_socket import StatusSocket

log = logging.getLogger(__name__)

STOP_S = 5.0
MAX_STATUS_CHARS = 500


class HealthReporter:
    """Runs from `start` to `stop`.

    Args:
        maker: makes the health.
        folder: where the socket lies that `kiosk status` asks.
        send: takes a message for the gateway; must not wait.
        interval_s: how often the gateway is told.
        tell: sends one message to the service manager.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        maker: HealthMaker,
        folder: Path,
        send: Callable[[bytes], None],
        *,
        interval_s: float,
        tell: Callable[[str], None] = service_manager.notify,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maker = maker
        self._folder = folder
        self._send = send
        self._tell = tell
        self._monotonic = monotonic
        self._schedule = Schedule(interval_s)
        self._lock = threading.Lock()
        self._wake_pipe: WakePipe | None = None
        self._stopping = threading.Event()
        self._words = ""
        self._is_failing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin.

        Raises:
            OSError: the socket cannot be made.
        """
        status = StatusSocket(self._folder)
        wake_pipe = self._wake_pipe = WakePipe()
        self._thread = threading.Thread(target=self._run, args=(status, wake_pipe), name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End. A part that does not answer is left behind with the thread."""
        self._stopping.set()
        self.news()
        if self._thread is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                log.warning("A part of the kiosk does not tell how it is; the thread that asked it is left behind")

    def news(self) -> None:
        """Say that a state may have changed; any thread."""
        with self._lock:
            if self._wake_pipe is not None:
                self._wake_pipe.wake()

    # ------------------------------------------------------------ the thread

    def _run(self, status: StatusSocket, wake_pipe: WakePipe) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(status, selectors.EVENT_READ)
                selector.register(wake_pipe.fd, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    ready = {key.fd for key, _ in selector.select(self._schedule.wait_s(self._monotonic()))}
                    if wake_pipe.fd in ready:
                        wake_pipe.clear()
                        self._schedule.news()
                    self._turn(status, is_asked=status.fileno() in ready)
        finally:
            with self._lock:
                self._wake_pipe = None
            wake_pipe.close()
            status.close()

    def _turn(self, status: StatusSocket, *, is_asked: bool) -> None:
        is_due = self._schedule.wait_s(self._monotonic()) <= 0
        if self._stopping.is_set() or not (is_asked or is_due):
            return
        message = b""
        try:
            health = self._maker.make()
            message = messages.encode(health)
            if is_due:
                self._tell_all(health, message)
            self._is_failing = False
        except Exception:
            # A defect in a part must cost its report and not this thread, which would be silent for ever.
            if not self._is_failing:
                log.exception("The health of the kiosk cannot be told")
            self._is_failing = True
            self._schedule.failed(self._monotonic())
        if is_asked:
            status.answer(message)

    def _tell_all(self, health: Health, message: bytes) -> None:
        words = in_words(health)[:MAX_STATUS_CHARS]
        if words != self._words:
            self._words = words
            self._tell(service_manager.status(words))
        if self._schedule.looked(_states(health), self._monotonic()):
            self._send(message)


def _states(health: Health) -> Hashable:
    """Return what is told at once when it changes."""
    return (
        *(part.state for _, part in parts_of(health)),
        health.uplink.online,
        health.ear.microphone_problems,
        health.agent.stuck_buttons,
    )
