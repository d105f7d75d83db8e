"""The uplink: brings the spool's records to the gateway, in order, until each has its receipt; reconnects for ever."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from contract.messages import MessageError, Receipt, encode_feedback
from device.backoff import Backoff
from device.clock import Clock
from device.connection import ConnectionEvent, ConnectionHandler, Down, Received, Up
from device.delivery import Window
from device.record import feedback_of
from device.spool import Entry, Spool, SpoolError
from device.stats import UplinkStats

log = logging.getLogger(__name__)

IDLE_S = 30.0
"""How often the spool is looked at without being told."""
UP_TIMEOUT_S = 15.0
"""How long the broker may take from the connection to the granted subscription."""
SPOOL_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Online:
    """The gateway's broker can be reached."""


@dataclass(frozen=True, slots=True)
class Offline:
    """The gateway's broker cannot be reached; the kiosk works on and keeps its records."""

    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The gateway has answered for a record."""

    record_id: str
    stored: bool
    reason: str | None


UplinkEvent = Online | Offline | Settled


class Link(Protocol):
    """A connection, as the uplink uses it."""

    def open(self) -> None:
        """Connect, or raise OSError."""
        ...

    def send_feedback(self, message: bytes) -> None:
        """Hand one message to the broker."""
        ...

    def send_health(self, message: bytes) -> None:
        """Hand the kiosk's health to the broker, once."""
        ...

    def close(self) -> None:
        """End it."""
        ...


MakeLink = Callable[[int, ConnectionHandler], Link]
"""Makes an unopened link for a session number; its events come with the link itself as their source."""


@dataclass(frozen=True, slots=True)
class _Wake:
    """The spool has something new, or the uplink shall stop."""


class Uplink:
    """Runs in a thread of its own; `start` and `stop` frame its life."""

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        *,
        kiosk: str,
        make_link: MakeLink,
        on_event: Callable[[UplinkEvent], None],
        start_number: int,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._kiosk = kiosk
        self._make_link = make_link
        self._on_event = on_event
        self._backoff = backoff or Backoff()
        self._monotonic = monotonic
        self._inbox: queue.SimpleQueue[tuple[object, ConnectionEvent | _Wake]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        # Every connection of every start gets a higher number, with one write to the disk for each start.
        self._session = start_number * 1_000_000
        self._announced: bool | None = None
        self._link: Link | None = None
        self._reason: str | None = None
        self._since_s = monotonic()
        self._receipt_s: float | None = None
        self._in_flight = self._connections = self._sent = self._stored = self._refused = self._stray = 0

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def wake(self) -> None:
        """Say that the spool has something new."""
        self._inbox.put((None, _Wake()))

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the connection and the thread."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def send_health(self, message: bytes) -> None:
        """Publish the kiosk's health if the broker can be reached, else drop it. Any thread; never waits."""
        link = self._link
        if link is not None:
            link.send_health(message)

    def stats(self) -> UplinkStats:
        """Return how the connection is; any thread."""
        now_s = self._monotonic()
        return UplinkStats(
            online=self._link is not None,
            reason=self._reason,
            state_for_s=now_s - self._since_s,
            session=self._session,
            connections=self._connections,
            in_flight=self._in_flight,
            sent=self._sent,
            stored=self._stored,
            refused=self._refused,
            stray_receipts=self._stray,
            last_receipt_s=None if self._receipt_s is None else now_s - self._receipt_s,
        )

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._session += 1
            reason = self._one_connection()
            if self._stopping.is_set():
                return
            self._announce_offline(reason)
            self._pause(self._backoff.next_s())

    def _one_connection(self) -> str:
        """Connect and work until the connection ends; return why it ended."""
        link = self._make_link(self._session, lambda source, event: self._inbox.put((source, event)))
        try:
            try:
                link.open()
            except (OSError, ValueError) as error:
                return f"{type(error).__name__}: {error}"
            return self._serve(link)
        except Exception as error:
            # A defect must cost one connection, not the uplink: a thread that has ended is silent for ever.
            log.exception("The uplink failed and connects anew")
            return f"a defect of the uplink: {error}"
        finally:
            self._link = None
            self._in_flight = 0
            link.close()

    def _serve(self, link: Link) -> str:
        """Work on one connection until it ends; return why it ended."""
        window = Window()
        up = False
        up_by_s = self._monotonic() + UP_TIMEOUT_S
        while not self._stopping.is_set():
            wait_s = self._send_due(link, window) if up else up_by_s - self._monotonic()
            if not up and wait_s <= 0:
                return f"the broker accepted the connection but not the kiosk within {UP_TIMEOUT_S:.0f} s"
            match self._next_event(link, max(0.0, wait_s)):
                case Up():
                    up = True
                    self._link, self._reason = link, None
                    self._since_s = self._monotonic()
                    self._connections += 1
                    self._backoff.reset()
                    self._announce_online()
                case Down(reason=reason):
                    return reason
                case Received(receipt=receipt):
                    self._settle(window, receipt)
                case _:
                    pass
        return "the agent stops"

    def _next_event(self, link: Link, wait_s: float) -> ConnectionEvent | _Wake | None:
        """Return the next event of this connection, or None after ``wait_s`` seconds."""
        try:
            source, event = self._inbox.get(timeout=wait_s)
        except queue.Empty:
            return None
        # An earlier connection may still say something after its end.
        return event if source in (link, None) else None

    def _send_due(self, link: Link, window: Window) -> float:
        """Send what is due; return after how many seconds to look again."""
        now_s = self._monotonic()
        try:
            # Everything in the window is among the first of the spool, because it was sent in order.
            entries = {entry.id: entry for entry in self._spool.waiting(limit=2 * window.size)}
            for record_id in window.overdue(now_s):
                if record_id not in entries:
                    window.settled(record_id)
                else:
                    self._send(link, window, entries[record_id], now_s)
            for record_id in window.fresh(entries):
                self._send(link, window, entries[record_id], now_s)
        except SpoolError as error:
            log.error("The spool cannot be read, trying again: %s", error)  # noqa: TRY400
            return SPOOL_RETRY_S
        due_s = window.next_due_s()
        return IDLE_S if due_s is None else max(0.0, due_s - self._monotonic())

    def _send(self, link: Link, window: Window, entry: Entry, now_s: float) -> None:
        try:
            message = self._spool.freeze(entry.id, lambda: self._encode(entry))
        except KeyError:
            return
        except (MessageError, ValueError) as error:
            self._spool.refused(entry.id, f"it cannot be sent: {error}")
            self._on_event(Settled(entry.id, stored=False, reason=str(error)))
            return
        link.send_feedback(message)
        window.sent(entry.id, now_s)
        self._sent += 1
        self._in_flight = window.size - window.free

    def _encode(self, entry: Entry) -> bytes:
        assert entry.sequence is not None, "the spool numbers what it releases"
        feedback = feedback_of(entry.record, kiosk=self._kiosk, sequence=entry.sequence, now=self._clock.now())
        return encode_feedback(feedback)

    def _settle(self, window: Window, receipt: Receipt) -> None:
        window.settled(receipt.id)
        self._in_flight = window.size - window.free
        self._receipt_s = self._monotonic()
        stored = receipt.outcome == "stored"
        try:
            known = (
                self._spool.stored(receipt.id)
                if stored
                else self._spool.refused(receipt.id, receipt.reason or "the gateway gave no reason")
            )
        except SpoolError as error:
            log.error("A receipt could not be noted, its record will be sent again: %s", error)  # noqa: TRY400
            return
        self._stray += not known
        self._stored += known and stored
        self._refused += known and not stored
        if known and not stored:
            log.warning("The gateway refused record %s; it is kept on the shelf: %s", receipt.id, receipt.reason)
        if known:
            self._on_event(Settled(receipt.id, stored=stored, reason=receipt.reason))

    def _announce_online(self) -> None:
        if self._announced is False:
            log.info("The gateway's broker can be reached again")
        elif self._announced is None:
            log.info("Connected to the gateway's broker")
        self._announced = True
        self._on_event(Online())

    def _announce_offline(self, reason: str) -> None:
        self._reason = reason
        if self._announced is not False:
            self._since_s = self._monotonic()
        if self._announced is False:
            log.debug("Still no broker: %s", reason)
            return
        log.warning("The gateway's broker cannot be reached, records are kept and it is tried again: %s", reason)
        self._announced = False
        self._on_event(Offline(reason))

    def _pause(self, seconds: float) -> None:
        """Wait before the next connection; only `stop` cuts it short."""
        self._stopping.wait(seconds)
