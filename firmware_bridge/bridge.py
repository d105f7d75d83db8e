"""Panel bridge: one thread that owns the serial port, finds the panel, keeps it and never gives up."""

import contextlib
import logging
import math
import os
import secrets
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.events import PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.link import HostLink
from firmware_bridge.messages import Identity, Scene
from firmware_bridge.port import PortError, SerialPort

RETRY_S = 0.5
"""How long to wait before a port is opened again; with the jitter, a panel that returns is right within 2 s."""
RETRY_JITTER_S = 0.25
REOPEN_S = 10.0
"""A port without a panel is closed and opened again so often: its name may stand for another device by now."""
MAX_UNSENT_BYTES = 4096
"""A port that has taken nothing of so much output is stuck; a working one takes it in 0.4 s."""
STOP_S = 5.0

logger = logging.getLogger(__name__)
_random = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class PanelStats:
    """Counters of the bridge since it was made; all but the first two only grow."""

    online: bool
    problem: str | None
    sessions: int
    open_failures: int
    bytes_received: int
    bytes_sent: int
    frames_received: int
    crc_errors: int
    malformed: int
    overlong: int
    unknown_types: int
    bad_payloads: int
    stray: int
    duplicate_events: int
    scene_repeats: int
    callback_errors: int


class PanelBridge:
    """Keeps the panel at `port` in service and calls `on_event` for all that happens there.

    `port` is a device path, best one that names the device and not the socket (below `/dev/serial/by-id`).
    `on_event` is called on the bridge's own thread and must return at once; an exception in it is logged and counted.
    A bridge without a panel reports `PanelOffline` once, also at its start, and then keeps looking until `stop`.
    """

    def __init__(
        self,
        port: str,
        on_event: Callable[[PanelEvent], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        retry_s: float = RETRY_S,
        reopen_s: float = REOPEN_S,
    ) -> None:
        self._path = port
        self._on_event = on_event
        self._monotonic = monotonic
        self._retry_s = retry_s
        self._reopen_s = reopen_s
        self._link = HostLink(lambda: 1 + secrets.randbelow(2**32 - 1))
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._scene: Scene | None = None
        self._level: int | None = None
        self._wake_reader = self._wake_writer = -1
        self._open_failures = 0
        self._bytes_received = 0
        self._bytes_sent = 0
        self._callback_errors = 0

    def start(self) -> None:
        """Start looking for the panel; raises RuntimeError when it was called before: a bridge runs once."""
        if self._thread is not None:
            raise RuntimeError("this panel bridge was started before; make a new one")
        with self._lock:
            self._wake_reader, self._wake_writer = os.pipe()
            os.set_blocking(self._wake_reader, False)
            os.set_blocking(self._wake_writer, False)
        self._thread = threading.Thread(target=self._run, name="panel-bridge", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what was last shown, close the port and end the thread, without an event; a second call does nothing.

        Not to be called by `on_event`. It takes milliseconds, and up to `STOP_S` where `on_event` does not return;
        then RuntimeError is raised.
        """
        if self._thread is None:
            return
        self._stopping.set()
        with self._lock:
            self._wake()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise RuntimeError(f"the panel bridge did not end within {STOP_S:.0f} s: its event callback is stuck")
        with self._lock:
            if self._wake_writer >= 0:
                os.close(self._wake_reader)
                os.close(self._wake_writer)
            self._wake_reader = self._wake_writer = -1

    def show(self, scene: Scene) -> None:
        """Have the panel show `scene` from now on; from any thread, also while there is no panel."""
        with self._lock:
            self._scene = scene
            self._level = None
            self._wake()

    def level(self, value: int) -> None:
        """Show how loud it is, 0..255, for the scene at hand; from any thread, the latest wins."""
        with self._lock:
            self._level = value
            self._wake()

    @property
    def identity(self) -> Identity | None:
        """Who the panel is, or None while there is none."""
        return self._link.identity

    @property
    def problem(self) -> str | None:
        """Why there is no panel, as a sentence, or None while there is one."""
        return self._link.problem

    def stats(self) -> PanelStats:
        """Return the counters as they are now; from any thread."""
        link, decoder, counters = self._link, self._link.decoder, self._link.counters
        return PanelStats(
            online=link.online,
            problem=link.problem,
            sessions=counters.sessions,
            open_failures=self._open_failures,
            bytes_received=self._bytes_received,
            bytes_sent=self._bytes_sent,
            frames_received=decoder.frames,
            crc_errors=decoder.crc_errors,
            malformed=decoder.malformed,
            overlong=decoder.overlong,
            unknown_types=counters.unknown_types,
            bad_payloads=counters.bad_payloads,
            stray=counters.stray,
            duplicate_events=counters.duplicate_events,
            scene_repeats=link.repeats,
            callback_errors=self._callback_errors,
        )

    def _wake(self) -> None:
        """Wake the thread; the lock is held, so the pipe is open or known to be closed."""
        if self._wake_writer >= 0:
            # A full pipe wakes it as well.
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_writer, b"\0")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                port = SerialPort(self._path)
            except PortError as error:
                self._open_failures += 1
                self._deliver(self._link.close(str(error)))
            else:
                self._serve(port)
            self._stopping.wait(self._retry_s + _random.uniform(0.0, RETRY_JITTER_S))

    def _serve(self, port: SerialPort) -> None:
        """Work with an open port until it fails, stays unanswered for long, or the bridge stops."""
        poller = select.poll()
        poller.register(self._wake_reader, select.POLLIN)
        unsent = bytearray()
        try:
            self._link.open(self._monotonic())
            while not self._stopping.is_set() and self._link.unanswered_s(self._monotonic()) < self._reopen_s:
                self._exchange(port, poller, unsent)
            self._hand_over(port, unsent)
        except PortError as error:
            self._end(str(error))
        else:
            self._end(self._link.problem or "the panel bridge was stopped")
        finally:
            port.close()

    def _end(self, reason: str) -> None:
        events = self._link.close(reason)
        if not self._stopping.is_set():
            self._deliver(events)

    def _exchange(self, port: SerialPort, poller: select.poll, unsent: bytearray) -> None:
        """Send what is due, wait for whatever comes first, and take it."""
        self._hand_over(port, unsent)
        poller.register(port.fileno(), select.POLLIN | (select.POLLOUT if unsent else 0))
        wait_s = max(0.0, self._link.next_deadline_s - self._monotonic())
        ready = {fd for fd, _ in poller.poll(math.ceil(wait_s * 1000))}
        if self._wake_reader in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_reader, MAX_UNSENT_BYTES)
        if port.fileno() in ready:
            data = port.read()
            self._bytes_received += len(data)
            self._deliver(self._link.feed(data, self._monotonic()))

    def _hand_over(self, port: SerialPort, unsent: bytearray) -> None:
        """Give the link its orders and the port the link's output."""
        with self._lock:
            scene, level, self._level = self._scene, self._level, None
        now_s = self._monotonic()
        if scene is not None:
            self._link.show(scene, now_s)
        if level is not None:
            self._link.level(level, now_s)
        self._deliver(self._link.tick(now_s))
        unsent += self._link.take_output()
        if unsent:
            sent = port.write(unsent)
            self._bytes_sent += sent
            del unsent[:sent]
        if len(unsent) > MAX_UNSENT_BYTES:
            raise PortError(f"{self._path} takes no data: unplug the panel and plug it in again")

    def _deliver(self, events: list[PanelEvent]) -> None:
        for event in events:
            if isinstance(event, PanelOffline):
                logger.warning("no panel: %s; looking for it until it is there", event.reason)
            elif isinstance(event, PanelOnline):
                self._log_identity(event.identity)
            try:
                self._on_event(event)
            except Exception:
                self._callback_errors += 1
                logger.exception("the consumer of the panel's events failed at %s", event)

    def _log_identity(self, identity: Identity) -> None:
        logger.info(
            "panel %s is in service at %s: firmware %s; %d presses without a host since its start",
            identity.serial_number,
            self._path,
            ".".join(map(str, identity.firmware)),
            identity.missed_presses,
        )
