"""Session: a panel that has answered, for tools that work with it step by step and then leave it."""

import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from firmware_bridge.candidates import ListCandidates, list_candidates
from firmware_bridge.conversation import Conversation
from firmware_bridge.events import PanelEvent
from firmware_bridge.link import HostLink
from firmware_bridge.messages import Identity, Scene
from firmware_bridge.port import PortError, SerialPort
from firmware_bridge.search import AUTO, NO_PORT, PROBE_S
from firmware_bridge.timing import EVENT_LIFETIME_S


class PanelSession:
    """The panel at `path`, from its answer on; leave the `with`, or call `close`, to free the port.

    Raises PortError, here and in every method, with a sentence: when the port cannot be opened, when no panel answers
    within `timeout_s`, and when the panel has gone.
    """

    def __init__(
        self, path: str, *, timeout_s: float = PROBE_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._unseen: list[PanelEvent] = []
        self._link = HostLink(lambda: 1 + secrets.randbelow(2**32 - 1))
        self._port = SerialPort(path)
        try:
            self._talk = Conversation(self._port, self._link, monotonic=monotonic)
            self.identity = self._ask(timeout_s)
        except BaseException:
            self._port.close()
            raise
        self._monotonic = monotonic

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the port; without a host the panel shows *out of service* some seconds later."""
        self._port.close()

    def show(self, scene: Scene) -> float | None:
        """Show `scene`, and return its round trip in seconds once it is acknowledged; None where it was sent twice."""
        acknowledged, repeats = self._link.counters.scenes_acknowledged, self._link.repeats
        self._link.show(scene, self._monotonic())
        self._run(lambda: self._link.counters.scenes_acknowledged > acknowledged, EVENT_LIFETIME_S)
        if self._link.counters.scenes_acknowledged == acknowledged:
            raise PortError(f"{self.path}: the panel did not acknowledge the scene {scene.name.lower()}")
        return self._link.round_trip.last_s if self._link.repeats == repeats else None

    def wait(self, duration_s: float, wanted: Callable[[PanelEvent], bool] = lambda _event: False) -> list[PanelEvent]:
        """Keep the panel for this long, or until an event is `wanted`; return what happened since the last call."""
        events, self._unseen = self._unseen, []
        end_s = self._monotonic() + duration_s
        while not any(map(wanted, events)) and (left_s := end_s - self._monotonic()) > 0:
            events += self._talk.receive(left_s)
            events += self._talk.send()
            self._check()
        return events

    def _ask(self, timeout_s: float) -> Identity:
        self._unseen += self._talk.exchange(lambda: self._link.online, timeout_s)
        if self._link.identity is None:
            raise PortError(f"{self.path}: {self._link.why_no_answer()}")
        return self._link.identity

    def _run(self, until: Callable[[], bool], timeout_s: float) -> None:
        self._unseen += self._talk.exchange(lambda: until() or not self._link.online, timeout_s)
        self._check()

    def _check(self) -> None:
        if not self._link.online:
            raise PortError(f"{self.path}: {self._link.problem}")


def find_panel(port: str, *, candidates: ListCandidates = list_candidates) -> PanelSession:
    """Open the panel at `port`, or, for AUTO, the first that answers; raises PortError that tells what was tried."""
    if port != AUTO:
        return PanelSession(port)
    reasons = []
    for candidate in candidates():
        try:
            return PanelSession(candidate.path)
        except PortError as error:
            reasons.append(str(error))
    if not reasons:
        raise PortError(NO_PORT)
    raise PortError(f"no panel answers: {'; '.join(reasons)}")
