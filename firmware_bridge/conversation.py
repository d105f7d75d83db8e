"""Conversation: an open port and the link that speaks over it, driven from one thread."""

import contextlib
import math
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.events import PanelEvent
from firmware_bridge.link import HostLink
from firmware_bridge.port import PortError, SerialPort

MAX_UNSENT_BYTES = 4096
"""A port that has taken nothing of so much output is stuck; a working one takes it in 0.4 s."""

Trace = Callable[[bool, bytes], None]
"""Called with each piece of the traffic: whether this side sent it, and its bytes, cut anywhere."""


@dataclass(slots=True)
class Traffic:
    """Bytes that were received and sent; the numbers only grow."""

    received: int = 0
    sent: int = 0


def no_trace(_sent: bool, _data: bytes) -> None:
    """Let the traffic pass unseen."""


class Conversation:
    """What is said over `port`, from the first question on; whoever made `port` closes it.

    `wake` is a pipe to read from whose bytes end a wait. All methods raise PortError when the port is gone or stuck.
    """

    def __init__(
        self,
        port: SerialPort,
        link: HostLink,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        traffic: Traffic | None = None,
        trace: Trace = no_trace,
        wake: int | None = None,
    ) -> None:
        self._port = port
        self._link = link
        self._monotonic = monotonic
        self._traffic = traffic or Traffic()
        self._trace = trace
        self._wake = wake
        self._unsent = bytearray()
        self._poller = select.poll()
        if wake is not None:
            self._poller.register(wake, select.POLLIN)
        link.open(monotonic())

    def send(self) -> list[PanelEvent]:
        """Do and send what is due, as far as the port takes it at once; return what happened."""
        events = self._link.tick(self._monotonic())
        self._unsent += self._link.take_output()
        if self._unsent:
            sent = self._port.write(self._unsent)
            self._traffic.sent += sent
            if sent:
                self._trace(True, bytes(self._unsent[:sent]))
            del self._unsent[:sent]
        if len(self._unsent) > MAX_UNSENT_BYTES:
            raise PortError(f"{self._port.path} takes no data: unplug the panel and plug it in again")
        return events

    def receive(self, max_wait_s: float = math.inf) -> list[PanelEvent]:
        """Wait for bytes, a deadline of the link or the end of `max_wait_s`, and return what happened."""
        self._poller.register(self._port.fileno(), select.POLLIN | (select.POLLOUT if self._unsent else 0))
        wait_s = min(max(0.0, self._link.next_deadline_s - self._monotonic()), max_wait_s)
        ready = {fd for fd, _ in self._poller.poll(math.ceil(wait_s * 1000))}
        if self._wake in ready and self._wake is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, MAX_UNSENT_BYTES)
        if self._port.fileno() not in ready:
            return []
        data = self._port.read()
        self._traffic.received += len(data)
        if data:
            self._trace(False, data)
        return self._link.feed(data, self._monotonic())

    def exchange(self, until: Callable[[], bool], timeout_s: float) -> list[PanelEvent]:
        """Talk until `until()` holds or the time is over; return what happened."""
        end_s = self._monotonic() + timeout_s
        events = self.send()
        while not until() and (left_s := end_s - self._monotonic()) > 0:
            events += self.receive(left_s)
            events += self.send()
        return events
