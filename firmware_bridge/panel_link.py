"""The panel's side of the link, as the protocol asks it of every firmware: bytes and times in, bytes and events out."""

import math
from collections import deque
from dataclasses import dataclass

from firmware_bridge.frame import Frame, FrameDecoder, encode
from firmware_bridge.messages import (
    FROM_HOST,
    NO_SESSION,
    PROTOCOL_VERSION,
    Button,
    ButtonEdge,
    Display,
    Hello,
    HostAck,
    HostHeartbeat,
    Identity,
    Level,
    PanelAck,
    PanelHeartbeat,
    Scene,
    SceneCommand,
    from_frame,
    to_frame,
)
from firmware_bridge.repeater import Repeater
from firmware_bridge.timing import EVENT_LIFETIME_S, HEARTBEAT_S, LOST_S, OUTBOX_EVENTS
from firmware_bridge.wire import Message, MessageError


@dataclass(frozen=True, slots=True)
class PanelDescription:
    """What a panel says about itself, apart from what changes; raises ValueError for what an identity cannot carry."""

    serial_number: str = "VIRTUAL-1"
    firmware: tuple[int, int, int] = (1, 0, 0)
    buttons: frozenset[Button] = frozenset(Button)
    leds: int = 3
    display: Display = Display.NONE
    protocol: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        self.identity(NO_SESSION, frozenset(), 0).to_payload()

    def identity(self, session: int, held: frozenset[Button], missed_presses: int) -> Identity:
        """Return the answer to a question of that session."""
        return Identity(
            protocol=self.protocol,
            session=session,
            firmware=self.firmware,
            buttons=self.buttons,
            held=held,
            missed_presses=missed_presses,
            leds=self.leds,
            display=self.display,
            serial_number=self.serial_number,
        )


@dataclass(frozen=True, slots=True)
class SceneShown:
    """The panel shows another scene than before."""

    scene: Scene


@dataclass(frozen=True, slots=True)
class PressAnswered:
    """The panel shows that a press was noticed which changes nothing."""

    scene: Scene


@dataclass(frozen=True, slots=True)
class LevelShown:
    """The panel shows this level, 0..255."""

    level: int


@dataclass(frozen=True, slots=True)
class HostChanged:
    """A host opened a session, or the panel has none any more."""

    online: bool


PanelHappening = SceneShown | PressAnswered | LevelShown | HostChanged


class PanelLink:
    """One power-on of a panel: made when it starts, at `boot_s`, with the buttons that are down then.

    `tick` is due not later than `next_deadline_s`; send what `take_output` returns. A panel without a host shows
    *out of service*, keeps no button event and counts the presses that nobody saw.
    """

    def __init__(self, description: PanelDescription, boot_s: float, held: frozenset[Button] = frozenset()) -> None:
        self.decoder = FrameDecoder()
        self.scene = Scene.OUT_OF_SERVICE
        self._answers = 0
        self.session = NO_SESSION
        self.missed_presses = 0
        self.ignored = 0
        self.held = set(held)
        self._description = description
        self._boot_s = boot_s
        self._heard_s = boot_s
        self._heartbeat_s = boot_s
        self._events = Repeater()
        self._outbox: deque[tuple[ButtonEdge, float]] = deque()
        self._output = bytearray()
        self._happenings: list[PanelHappening] = []

    @property
    def next_deadline_s(self) -> float:
        """When `tick` is due at the latest."""
        lost_s = math.inf if self.session == NO_SESSION else self._heard_s + LOST_S
        expiry_s = self._outbox[0][1] + EVENT_LIFETIME_S if self._outbox else math.inf
        return min(self._heartbeat_s, lost_s, self._events.deadline_s, expiry_s)

    def feed(self, data: bytes, now_s: float) -> list[PanelHappening]:
        """Take received bytes, cut anywhere, and return what changed for whoever looks at the panel."""
        for frame in self.decoder.feed(data):
            self._on_frame(frame, now_s)
        return self.tick(now_s)

    def tick(self, now_s: float) -> list[PanelHappening]:
        """Do what has become due, and return what changed."""
        if self.session != NO_SESSION and now_s >= self._heard_s + LOST_S:
            self._drop_session()
            self._happenings.append(HostChanged(online=False))
        while self._outbox and now_s >= self._outbox[0][1] + EVENT_LIFETIME_S:
            self._drop_event()
        if self._outbox and not self._events.busy:
            self._events.send(self._outbox[0][0], now_s)
        self._output += self._events.due(now_s)
        if now_s >= self._heartbeat_s:
            self._heartbeat_s = now_s + HEARTBEAT_S
            self._send(PanelHeartbeat(self.session, self._uptime_ms(now_s), frozenset(self.held)))
        happenings, self._happenings = self._happenings, []
        return happenings

    def press(self, button: Button, now_s: float) -> None:
        """The (debounced) button goes down; nothing happens where it is down already."""
        if button not in self.held:
            self.held.add(button)
            self._on_edge(button, True, now_s)

    def release(self, button: Button, now_s: float) -> None:
        """The (debounced) button goes up; nothing happens where it is up already."""
        if button in self.held:
            self.held.remove(button)
            self._on_edge(button, False, now_s)

    def take_output(self) -> bytes:
        """Return the bytes to send now, and forget them."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def _on_edge(self, button: Button, pressed: bool, now_s: float) -> None:
        if self.session != NO_SESSION and len(self._outbox) < OUTBOX_EVENTS:
            self._outbox.append((ButtonEdge(button, pressed, self._uptime_ms(now_s)), now_s))
        elif pressed:
            self._count_missed()

    def _on_frame(self, frame: Frame, now_s: float) -> None:
        if self.session == NO_SESSION and frame.type != Hello.TYPE:
            self.ignored += 1
            return
        try:
            message = from_frame(frame, FROM_HOST)
        except MessageError:
            self.ignored += 1
            if frame.type == SceneCommand.TYPE:
                # A scene of a later host: neither inviting nor recording is the one thing that is surely not wrong.
                self._send(PanelAck(), frame.sequence)
                self._show(Scene.OUT_OF_SERVICE)
            return
        if isinstance(message, Hello):
            self._on_hello(message, now_s)
        elif not (isinstance(message, HostHeartbeat) and message.session != self.session):
            self._heard_s = now_s
            self._on_host(message, frame.sequence)

    def _on_hello(self, hello: Hello, now_s: float) -> None:
        if hello.session != self.session and hello.protocol == self._description.protocol:
            self._drop_session()
            self.session = hello.session
            self._happenings.append(HostChanged(online=True))
        if hello.session == self.session:
            self._heard_s = now_s
        self._send(self._description.identity(hello.session, frozenset(self.held), self.missed_presses))

    def _on_host(self, message: Message, sequence: int) -> None:
        match message:
            case SceneCommand(scene, answers):
                self._send(PanelAck(), sequence)
                self._show(scene, answers)
            case Level(level):
                self._happenings.append(LevelShown(level))
            case HostAck() if self._events.acknowledge(sequence):
                self._outbox.popleft()

    def _drop_session(self) -> None:
        self.session = NO_SESSION
        while self._outbox:
            self._drop_event()
        self._show(Scene.OUT_OF_SERVICE)

    def _drop_event(self) -> None:
        edge, _ = self._outbox.popleft()
        self._events.cancel()
        if edge.pressed:
            self._count_missed()

    def _count_missed(self) -> None:
        self.missed_presses = min(self.missed_presses + 1, 0xFFFF)

    def _show(self, scene: Scene, answers: int = 0) -> None:
        if scene is not self.scene:
            self.scene = scene
            self._happenings.append(SceneShown(scene))
        elif answers not in (0, self._answers):
            self._happenings.append(PressAnswered(scene))
        self._answers = answers

    def _uptime_ms(self, now_s: float) -> int:
        return int((now_s - self._boot_s) * 1000) & 0xFFFFFFFF

    def _send(self, message: Message, sequence: int = 0) -> None:
        self._output += encode(to_frame(message, sequence))
