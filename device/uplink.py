"""The uplink: brings the spool's records to the gateway, in order, until each has its receipt; reconnects for ever."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from device.backoff import Backoff
from device.clock import Clock
from device.connection import ConnectionEvent, ConnectionHandler, Down, Received, Up
from device.courier import Carrier, Courier, Tally
from device.delivery import Window
from device.spool import Outcome, Spool
from device.stats import UplinkStats
from device.timekeeper import PATIENCE_S, Timekeeper

log = logging.getLogger(__name__)

UP_TIMEOUT_S = 15.0
"""How long the broker may take from the connection to the granted subscription."""
STEADY_S = 10.0
"""After living so long, or after a record that was settled, a connection that ends is at once made anew."""
LINGER_S = 0.02
"""How long the first receipt waits for others, to be settled with them in one transaction."""
REFUSED_FIRST_S = 5.0
REFUSED_CEILING_S = 300.0
"""A broker that does not know the kiosk is asked seldom, and for ever: an operator may yet let it in."""


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


class Link(Carrier, Protocol):
    """A connection, as the uplink uses it."""

    def open(self) -> None:
        """Connect, or raise OSError."""
        ...

    def send_health(self, message: bytes) -> None:
        """Hand one health message to the broker."""
        ...

    def close(self) -> None:
        """End it."""
        ...


MakeLink = Callable[[int, ConnectionHandler], Link]
"""Makes an unopened link for a session number; its events come with the link itself as their source."""


@dataclass(frozen=True, slots=True)
class _Wake:
    """The spool has something new, or the uplink shall stop."""


_STOPS = Down("the agent stops")


class Uplink:
    """Runs in a thread of its own; `start` and `stop` frame its life. `wake`, `send_health` and `stats` are for all."""

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
        refused_backoff: Backoff | None = None,
        clock_patience_s: float = PATIENCE_S,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """Make an uplink; ``pause`` waits for so many seconds or for the end of the uplink."""
        self._spool = spool
        self._timekeeper = Timekeeper(clock, spool, patience_s=clock_patience_s)
        self._kiosk = kiosk
        self._make_link = make_link
        self._on_event = on_event
        self._backoff = backoff or Backoff()
        self._refused_backoff = refused_backoff or Backoff(first_s=REFUSED_FIRST_S, ceiling_s=REFUSED_CEILING_S)
        self._monotonic = monotonic
        self._inbox: queue.SimpleQueue[tuple[object, ConnectionEvent | _Wake]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        # Every connection of every start gets a higher number, with one write to the disk for each start.
        self._session = start_number * 1_000_000
        self._tally = Tally()
        self._connections = 0
        self._link: Link | None = None
        self._courier: Courier | None = None
        self._reason: str | None = "not connected yet"
        self._since_s = monotonic()
        self._announced: bool | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def wake(self) -> None:
        """Say that the spool has something new."""
        self._inbox.put((None, _Wake()))

    def send_health(self, message: bytes) -> None:
        """Publish a health message if the broker can be reached, else drop it."""
        link = self._link
        if link is None:
            return
        try:
            link.send_health(message)
        except (OSError, ValueError) as error:
            log.debug("A health message was lost: %s", error)

    def stats(self) -> UplinkStats:
        """Tell how the connection is and what has gone over it."""
        now_s = self._monotonic()
        tally, courier, reason = self._tally, self._courier, self._reason
        last_s = tally.last_receipt_at_s
        return UplinkStats(
            online=reason is None,
            reason=reason,
            state_for_s=now_s - self._since_s,
            session=self._session,
            connections=self._connections,
            in_flight=courier.in_flight if courier is not None else 0,
            sent=tally.sent,
            stored=tally.stored,
            refused=tally.refused,
            stray_receipts=tally.stray_receipts,
            last_receipt_s=None if last_s is None else now_s - last_s,
        )

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the connection and the thread."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            end = self._one_connection()
            if self._stopping.is_set():
                return
            self._say_offline(end.reason)
            self._wait_for(self._refused_backoff.next_s() if end.refused else self._backoff.next_s())

    def _one_connection(self) -> Down:
        """Connect and work until the connection ends; return how it ended."""
        link = self._make_link(self._session + 1, lambda source, event: self._inbox.put((source, event)))
        try:
            try:
                link.open()
            except (OSError, ValueError) as error:
                return Down(f"{type(error).__name__}: {error}")
            self._session += 1
            return self._serve(link)
        except Exception as error:
            # A defect must cost one connection, not the uplink: a thread that has ended is silent for ever.
            log.exception("The uplink failed and connects anew")
            return Down(f"a defect of the uplink: {error}")
        finally:
            self._link = self._courier = None
            link.close()

    def _serve(self, link: Link) -> Down:
        """Wait until the broker has let the kiosk in, then work until the connection ends; return how it ended."""
        courier = self._courier = Courier(
            self._spool,
            self._timekeeper,
            link,
            kiosk=self._kiosk,
            tally=self._tally,
            on_settled=self._settled,
            window=Window(),
            monotonic=self._monotonic,
        )
        up_by_s = self._monotonic() + UP_TIMEOUT_S
        while not self._stopping.is_set():
            wait_s = up_by_s - self._monotonic()
            if wait_s <= 0:
                return Down(f"the broker accepted the connection but not the kiosk within {UP_TIMEOUT_S:.0f} s")
            self._timekeeper.look(online=False)
            match self._next_event(link, courier, min(wait_s, self._timekeeper.next_look_s)):
                case Up():
                    return self._work(link, courier)
                case Down() as end:
                    return end
        return _STOPS

    def _work(self, link: Link, courier: Courier) -> Down:
        self._say_online(link)
        steady_s = self._monotonic() + STEADY_S
        while not self._stopping.is_set():
            self._timekeeper.look(online=True)
            event = self._next_event(link, courier, min(courier.work(), self._timekeeper.next_look_s))
            event = event or self._gather(link, courier)
            if self._monotonic() >= steady_s:
                self._backoff.reset()
            if isinstance(event, Down):
                courier.finish()
                return event
        courier.finish()
        return _STOPS

    def _gather(self, link: Link, courier: Courier) -> Up | Down | None:
        """Let the first receipt wait for others, but not for long; return what else happens to the connection."""
        until_s = self._monotonic() + LINGER_S
        event = None
        while event is None and courier.unsettled and (left_s := until_s - self._monotonic()) > 0:
            if courier.unsettled >= courier.in_flight / 2 and self._inbox.empty():
                break
            event = self._next_event(link, courier, left_s)
        return event

    def _next_event(self, link: Link, courier: Courier, wait_s: float) -> Up | Down | None:
        """Return what happens to this connection next, or None after ``wait_s`` seconds or something for the courier.

        An earlier connection may still say something after its end; its receipts are as true as others.
        """
        try:
            source, event = self._inbox.get(timeout=max(0.0, wait_s))
        except queue.Empty:
            return None
        match event:
            case Received(receipt=receipt):
                courier.take(receipt)
            case Up() | Down() if source is link:
                return event
        return None

    def _settled(self, outcome: Outcome) -> None:
        self._backoff.reset()
        self._on_event(Settled(outcome.record_id, stored=outcome.stored, reason=outcome.reason))

    def _wait_for(self, seconds: float) -> None:
        """Wait before the next connection, with an eye on the clock; only `stop` cuts it short."""
        until_s = self._monotonic() + seconds
        while not self._stopping.is_set() and (left_s := until_s - self._monotonic()) > 0:
            self._timekeeper.look(online=False)
            self._pause(min(left_s, self._timekeeper.next_look_s))

    def _say_online(self, link: Link) -> None:
        lasted_s = self._monotonic() - self._since_s
        if self._announced is False:
            log.info("The gateway's broker can be reached again after %.0f s", lasted_s)
        elif self._announced is None:
            log.info("Connected to the gateway's broker")
        self._refused_backoff.reset()
        self._connections += 1
        self._link = link
        self._announced, self._reason, self._since_s = True, None, self._monotonic()
        self._on_event(Online())

    def _say_offline(self, reason: str) -> None:
        self._reason = reason
        if self._announced is False:
            log.debug("Still no broker: %s", reason)
            return
        log.warning("The gateway's broker cannot be reached, records are kept and it is tried again: %s", reason)
        if self._announced:
            self._since_s = self._monotonic()
        self._announced = False
        self._on_event(Offline(reason))
