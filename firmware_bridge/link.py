"""The host's side of the link to a panel: bytes and times in, bytes and events out; no port, no thread, no clock."""

import enum
import math
from collections.abc import Callable

from firmware_bridge.events import ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.frame import Frame, FrameDecoder, encode
from firmware_bridge.messages import (
    FROM_PANEL,
    PROTOCOL_VERSION,
    Button,
    ButtonEdge,
    Hello,
    HostAck,
    HostHeartbeat,
    Identity,
    Level,
    PanelAck,
    PanelHeartbeat,
    Scene,
    SceneCommand,
    UnknownTypeError,
    from_frame,
    to_frame,
)
from firmware_bridge.repeater import Repeater
from firmware_bridge.stats import LinkCounters, RoundTrip
from firmware_bridge.timing import HEARTBEAT_S, HELLO_GAP_S, HELLO_REPEAT_S, LEVEL_GAP_S, LOST_S
from firmware_bridge.wire import Message, MessageError

SEQUENCE_WINDOW = 128
"""An event whose number is up to so much behind the newest one is a repetition."""

UPTIME_RANGE_MS = 2**32
"""A panel's uptime begins anew after so much, some 50 days."""


class LinkState(enum.Enum):
    """Where the host stands: no port, a port on which it asks for a panel, or a panel."""

    CLOSED = enum.auto()
    GREETING = enum.auto()
    ONLINE = enum.auto()


class HostLink:
    """Finds the panel, keeps it, shows it the newest scene, and reports its buttons once each.

    Feed it with `open`, `feed`, `tick` (not later than `next_deadline_s`) and `close`; send what `take_output`
    returns. Times are seconds of any one monotonic clock. `new_session` draws a session number, 1..2**32 - 1, that
    no earlier host used: the panel needs no randomness of its own.
    """

    def __init__(self, new_session: Callable[[], int]) -> None:
        self.decoder = FrameDecoder()
        self.counters = LinkCounters()
        self.round_trip = RoundTrip()
        self.state = LinkState.CLOSED
        self.identity: Identity | None = None
        self.problem: str | None = "not connected yet"
        self._new_session = new_session
        self._session = 0
        self._scene: Scene | None = None
        self._answers = 0
        self._command: SceneCommand | None = None
        self._scenes = Repeater()
        self._output = bytearray()
        self._reported_offline = False
        self._refused: str | None = None
        self._heard_s = 0.0
        self._greeting_since_s = 0.0
        self._hello_s = -math.inf
        self._heartbeat_s = 0.0
        self._level: int | None = None
        self._level_free_s = -math.inf
        self._last_event: int | None = None
        self._panel_uptime_ms = 0
        self._held: set[Button] = set()
        self._found_down: set[Button] = set()
        self._errors_before = 0
        self._events: list[PanelEvent] = []

    @property
    def online(self) -> bool:
        """Whether a panel is there."""
        return self.state is LinkState.ONLINE

    @property
    def repeats(self) -> int:
        """How often a scene had to be sent again."""
        return self._scenes.repeats

    def unanswered_s(self, now_s: float) -> float:
        """Return for how long the open port has been asked in vain; 0 where there is a panel or no port."""
        return now_s - self._greeting_since_s if self.state is LinkState.GREETING else 0.0

    def why_no_answer(self) -> str:
        """Return, as a sentence, what is known about an open port at which no panel answers."""
        if self._refused is not None:
            return self._refused
        if self._heard_s > self._greeting_since_s:
            return "the panel can be heard, but does not answer: its receiving line may be broken"
        if self._bad_frames() > self._errors_before:
            return "what comes from the port is not the panel's protocol: is it the right port?"
        return "nothing answers at the port"

    @property
    def next_deadline_s(self) -> float:
        """When `tick` is due at the latest; infinite while there is no port."""
        if self.state is LinkState.CLOSED:
            return math.inf
        if self.state is LinkState.GREETING:
            report_s = math.inf if self._reported_offline else self._greeting_since_s + LOST_S
            return min(self._hello_s + HELLO_REPEAT_S, report_s)
        level_s = math.inf if self._level is None else self._level_free_s
        return min(self._heartbeat_s, self._heard_s + LOST_S, self._scenes.deadline_s, level_s)

    def open(self, now_s: float) -> None:
        """A port was opened: ask who is there."""
        self.decoder.reset()
        self._output.clear()
        self._greet(now_s)

    def close(self, reason: str) -> list[PanelEvent]:
        """The port is gone, or could not be opened, for that reason."""
        self._output.clear()
        self._leave(reason)
        self.state = LinkState.CLOSED
        return self._take_events()

    def feed(self, data: bytes, now_s: float) -> list[PanelEvent]:
        """Take received bytes, cut anywhere, and return what happened."""
        for frame in self.decoder.feed(data):
            if self.state is not LinkState.CLOSED:
                self._on_frame(frame, now_s)
        self._send_due(now_s)
        return self._take_events()

    def tick(self, now_s: float) -> list[PanelEvent]:
        """Do what has become due, and return what happened."""
        if self.online and now_s >= self._heard_s + LOST_S:
            self._leave(f"nothing was heard from the panel for {LOST_S:.0f} s")
            self._greet(now_s)
        if self.state is LinkState.GREETING and now_s >= self._greeting_since_s + LOST_S:
            self._leave(self.why_no_answer())
        self._send_due(now_s)
        return self._take_events()

    def show(self, scene: Scene, now_s: float, answers: int = 0) -> None:
        """Have the panel show `scene`, now and after every reconnection, until another is wanted.

        Another number of `answers`, 1..255, in the same scene has the panel answer a press, if it is there.
        """
        if (scene, answers) == (self._scene, self._answers):
            return
        if scene is not self._scene:
            self._level = None
        self._scene, self._answers = scene, answers
        if self.online:
            self._command_scene(answers, now_s)
            self._send_due(now_s)

    def level(self, value: int, now_s: float) -> None:
        """Show how loud it is, cut to 0..255; the latest wins, one in `LEVEL_GAP_S` at most, none without a panel."""
        if self.online:
            self._level = min(max(value, 0), 255)
            self._send_due(now_s)

    def take_output(self) -> bytes:
        """Return the bytes to send now, and forget them."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def _command_scene(self, answers: int, now_s: float) -> None:
        if self._scene is not None:
            self._command = SceneCommand(self._scene, answers)
            self._scenes.send(self._command, now_s)

    def _greet(self, now_s: float) -> None:
        self.state = LinkState.GREETING
        self._session = self._new_session()
        self._greeting_since_s = now_s
        self._refused = None
        self._errors_before = self._bad_frames()
        self._hello_s = -math.inf
        self._send_due(now_s)

    def _leave(self, reason: str) -> None:
        """Start an episode without a panel, or go on with it for a newer reason; it is reported once."""
        self.problem = reason
        self.identity = None
        self._scenes.cancel()
        self._level = None
        if not self._reported_offline:
            self._events.append(PanelOffline(reason, frozenset(self._held | self._found_down)))
            self._reported_offline = True
        self._held.clear()
        self._found_down.clear()

    def _bad_frames(self) -> int:
        decoder = self.decoder
        return decoder.crc_errors + decoder.malformed + decoder.overlong

    def _on_frame(self, frame: Frame, now_s: float) -> None:
        if frame.type == ButtonEdge.TYPE and self.online and not self._is_new_event(frame.sequence):
            self._heard_s = now_s
            return
        if frame.type == Identity.TYPE and frame.payload[:1] != bytes((PROTOCOL_VERSION,)):
            # Only the first byte means the same in every version.
            self._refuse(frame.payload)
            return
        try:
            message = from_frame(frame, FROM_PANEL)
        except UnknownTypeError:
            self.counters.unknown_types += 1
            return
        except MessageError:
            self.counters.bad_payloads += 1
            return
        self._heard_s = now_s
        match message:
            case Identity():
                self._on_identity(message, now_s)
            case PanelHeartbeat():
                self._on_heartbeat(message, now_s)
            case ButtonEdge():
                self._on_edge(message)
            case PanelAck():
                self._on_ack(frame.sequence, now_s)

    def _on_ack(self, sequence: int, now_s: float) -> None:
        measured_s = self._scenes.round_trip_s(now_s)
        if not self._scenes.acknowledge(sequence):
            self.counters.stray += 1
            if self._command is not None and self._scenes.outdated(sequence):
                # An older command was overtaken by the newest and shown after it.
                self._scenes.send(self._command, now_s)
            return
        self.counters.scenes_acknowledged += 1
        if measured_s is not None:
            self.round_trip.add(measured_s)

    def _is_new_event(self, sequence: int) -> bool:
        """Acknowledge a button event and return whether it is no repetition."""
        # Before it is understood: a panel repeats what is not acknowledged, and this host will not learn more.
        self._send(HostAck(), sequence)
        if self._last_event is not None and (self._last_event - sequence) % 256 < SEQUENCE_WINDOW:
            self.counters.duplicate_events += 1
            return False
        self._last_event = sequence
        return True

    def _refuse(self, payload: bytes) -> None:
        version = str(payload[0]) if payload else "nothing known"
        self._refused = (
            f"the panel speaks protocol {version} and this program {PROTOCOL_VERSION}: "
            "install the firmware that belongs to this program"
        )

    def _on_identity(self, identity: Identity, now_s: float) -> None:
        if identity.session != self._session or self.state is not LinkState.GREETING:
            self.counters.stray += 1
            return
        self.state = LinkState.ONLINE
        self.identity = identity
        self.problem = None
        self.counters.sessions += 1
        self._reported_offline = False
        self._last_event = None
        self._panel_uptime_ms = 0
        self._heartbeat_s = now_s
        self._found_down = set(identity.held)
        self._events.append(PanelOnline(identity))
        # An answer to a press of an earlier session would come too late.
        self._command_scene(0, now_s)

    def _on_heartbeat(self, heartbeat: PanelHeartbeat, now_s: float) -> None:
        if self.state is LinkState.GREETING:
            if now_s >= self._hello_s + HELLO_GAP_S:
                self._say_hello(now_s)
            return
        if heartbeat.session != self._session:
            restarted = heartbeat.uptime_ms < self._panel_uptime_ms
            self._leave("the panel has restarted" if restarted else "the panel had lost the kiosk")
            self._greet(now_s)
            return
        if (heartbeat.uptime_ms - self._panel_uptime_ms) % UPTIME_RANGE_MS >= UPTIME_RANGE_MS // 2:
            # Older than the newest event, which overtook it: it knows nothing of that button.
            return
        self._panel_uptime_ms = heartbeat.uptime_ms
        # A release that the panel had to drop shows here; a press never does, for it might be long past.
        for button in sorted((self._held | self._found_down) - heartbeat.held):
            self._release(button, heartbeat.uptime_ms)

    def _on_edge(self, edge: ButtonEdge) -> None:
        self._panel_uptime_ms = max(self._panel_uptime_ms, edge.uptime_ms)
        is_down = edge.button in self._held
        # One that was found down is up again, or it could not have been pressed: its release was dropped.
        if not self.online or (is_down if edge.pressed else not is_down and edge.button not in self._found_down):
            self.counters.stray += 1
        elif edge.pressed:
            self._found_down.discard(edge.button)
            self._held.add(edge.button)
            self._events.append(ButtonPressed(edge.button, edge.uptime_ms))
        else:
            self._release(edge.button, edge.uptime_ms)

    def _release(self, button: Button, uptime_ms: int) -> None:
        self._held.discard(button)
        self._found_down.discard(button)
        self._events.append(ButtonReleased(button, uptime_ms))

    def _say_hello(self, now_s: float) -> None:
        self._hello_s = now_s
        self._send(Hello(PROTOCOL_VERSION, self._session))

    def _send_due(self, now_s: float) -> None:
        if self.state is LinkState.GREETING and now_s >= self._hello_s + HELLO_REPEAT_S:
            self._say_hello(now_s)
        if not self.online:
            return
        self._output += self._scenes.due(now_s)
        if now_s >= self._heartbeat_s:
            self._heartbeat_s = now_s + HEARTBEAT_S
            self._send(HostHeartbeat(self._session))
        if self._level is not None and now_s >= self._level_free_s:
            self._level_free_s = now_s + LEVEL_GAP_S
            self._send(Level(self._level))
            self._level = None

    def _send(self, message: Message, sequence: int = 0) -> None:
        self._output += encode(to_frame(message, sequence))

    def _take_events(self) -> list[PanelEvent]:
        events, self._events = self._events, []
        return events
