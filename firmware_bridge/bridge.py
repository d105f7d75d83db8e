"""Panel bridge: one thread that owns the serial port, finds the panel, keeps it and never gives up."""

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable

from firmware_bridge.candidates import ListCandidates, list_candidates
from firmware_bridge.conversation import Conversation, Trace, Traffic, no_trace
from firmware_bridge.events import PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.link import HostLink
from firmware_bridge.messages import Identity, Scene
from firmware_bridge.pauses import RETRY_S, Pauses
from firmware_bridge.port import PortError, SerialPort
from firmware_bridge.search import NO_PORT, PROBE_S, PortSearch
from firmware_bridge.stats import PanelStats

REOPEN_S = 10.0
"""A port without a panel is closed and opened again so often: its name may stand for another device by now."""
WATCH_S = 0.25
"""How often a pause looks whether a port has come, so that a panel that is plugged in is right within 2 s."""
STOP_S = 5.0
ANSWERS = 255
"""Answers in one scene go by this many numbers in turn; 0 is none."""

logger = logging.getLogger(__name__)


class PanelBridge:
    """Keeps the panel at `port` in service and calls `on_event` for all that happens there.

    `port` is a device path, best one that names the device and not the socket (below `/dev/serial/by-id`), or `AUTO`:
    then each port of `candidates` that nobody uses is asked, one at a time, and the one that answers is kept, and tried
    first when its panel has gone. `trace` sees all traffic, on the bridge's thread.
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
        probe_s: float = PROBE_S,
        candidates: ListCandidates = list_candidates,
        trace: Trace = no_trace,
    ) -> None:
        self._on_event = on_event
        self._monotonic = monotonic
        self._search = PortSearch(port, candidates)
        self._pauses = Pauses(retry_s)
        self._patience_s = probe_s if self._search.automatic else reopen_s
        self._trace = trace
        self._traffic = Traffic()
        self._port: str | None = None
        self._link = HostLink(lambda: 1 + secrets.randbelow(2**32 - 1))
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._scene: Scene | None = None
        self._answers = 0
        self._level: int | None = None
        self._wake_reader = self._wake_writer = -1
        self._watched_s = 0.0
        self._open_failures = 0
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
            if scene is not self._scene:
                self._answers = 0
            self._scene = scene
            self._level = None
            self._wake()

    def answer(self) -> None:
        """Have the panel answer a press that changes nothing, in the scene that it shows; from any thread.

        Without a panel nothing is answered, then or later.
        """
        with self._lock:
            self._answers = self._answers % ANSWERS + 1
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
            port=self._port,
            round_trip_s=link.round_trip.last_s,
            smoothed_round_trip_s=link.round_trip.smoothed_s,
            sessions=counters.sessions,
            reconnections=max(0, counters.sessions - 1),
            open_failures=self._open_failures,
            bytes_received=self._traffic.received,
            bytes_sent=self._traffic.sent,
            frames_received=decoder.frames,
            crc_errors=decoder.crc_errors,
            malformed=decoder.malformed,
            overlong=decoder.overlong,
            unknown_types=counters.unknown_types,
            bad_payloads=counters.bad_payloads,
            stray=counters.stray,
            duplicate_events=counters.duplicate_events,
            scenes_acknowledged=counters.scenes_acknowledged,
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
            reason = self._look()
            events = [] if reason is None else self._link.close(reason)
            if not self._stopping.is_set():
                self._deliver(events)
                self._pause()

    def _pause(self) -> None:
        left_s = self._pauses.next_s()
        while left_s > 0 and not self._stopping.wait(min(left_s, WATCH_S)) and not self._search.newcomers():
            left_s -= WATCH_S

    def _look(self) -> str | None:
        """Try the ports until a panel was there and has gone, or none is left; return why there is none now.

        None where another port has come meanwhile: the search is not over.
        """
        reasons = []
        for path in self._search.round():
            before = self._link.counters.sessions
            reason = self._try(path)
            if self._stopping.is_set() or self._link.counters.sessions > before:
                return reason
            reasons.append(reason)
            if self._search.automatic and self._search.newcomers():
                return None
        if not self._search.automatic:
            return reasons[0]
        if not reasons:
            return NO_PORT
        return f"no panel answers: {'; '.join(reasons)}"

    def _try(self, path: str) -> str:
        """Work with the panel at `path`, if there is one, until it has gone; return why."""
        try:
            port = SerialPort(path)
        except PortError as error:
            self._open_failures += 1
            return str(error)
        self._port = path
        try:
            return self._serve(port)
        except PortError as error:
            return str(error)
        finally:
            self._port = None
            port.close()

    def _serve(self, port: SerialPort) -> str:
        """Work with an open port until it fails, stays unanswered for long, or the bridge stops; return why."""
        talk = Conversation(
            port,
            self._link,
            monotonic=self._monotonic,
            traffic=self._traffic,
            trace=self._trace,
            wake=self._wake_reader,
        )
        self._watched_s = 0.0
        while not self._stopping.is_set() and not self._given_up():
            self._hand_over(talk)
            self._deliver(talk.receive())
            if self._link.online:
                self._search.prefer(port.path)
                self._pauses.reset()
                self._watched_s = 0.0
        if not self._stopping.is_set():
            reason = self._link.why_no_answer()
            return f"{port.path}: {reason}" if self._search.automatic else reason
        self._hand_over(talk)
        return "the panel bridge was stopped"

    def _given_up(self) -> bool:
        """Whether another port is to be tried, or this one anew."""
        unanswered_s = self._link.unanswered_s(self._monotonic())
        if unanswered_s >= self._patience_s:
            return True
        if not self._search.automatic or unanswered_s < self._watched_s + WATCH_S:
            return False
        self._watched_s = unanswered_s
        return self._search.newcomers()

    def _hand_over(self, talk: Conversation) -> None:
        """Give the link its orders and the port the link's output."""
        with self._lock:
            scene, answers, level, self._level = self._scene, self._answers, self._level, None
        now_s = self._monotonic()
        if scene is not None:
            self._link.show(scene, now_s, answers)
        if level is not None:
            self._link.level(level, now_s)
        self._deliver(talk.send())

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
            self._port,
            ".".join(map(str, identity.firmware)),
            identity.missed_presses,
        )
