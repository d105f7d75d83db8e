"""Virtual panel: a panel's firmware and buttons, on a thread of its own."""

import logging
import math
import os
import random
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_bridge.messages import NO_SESSION, Button, Scene
from firmware_bridge.panel_link import LevelShown, PanelDescription, PanelHappening, PanelLink, SceneShown
from firmware_bridge.virtual_panel.agenda import Agenda
from firmware_bridge.virtual_panel.faults import BadLine, Faults
from firmware_bridge.virtual_panel.history import SceneHistory, ShownScene
from firmware_bridge.virtual_panel.terminal import Terminal

CALL_S = 5.0
"""Longest time for the panel's thread to answer; it works in microseconds."""
WAKE_BYTES = 4096
BOUNCE_S = 0.012
"""Time between two edges of a worn switch: longer than a panel's debouncing."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plugged:
    """The panel has (or has no longer) a serial port; `port` is the terminal behind the link."""

    port: str | None


Happening = PanelHappening | Plugged


class VirtualPanel:
    """A panel at a symlink to a pseudo-terminal; as a context manager it is plugged in within the `with`.

    `press`, `release`, `plug`, `unplug`, `reboot` and `send_raw` are done when they return; call them from any thread.
    `faults` are what goes wrong, from the start or later by `fail`; the same `seed` makes the same faults. An unplugged
    panel has no power: plugged in again it starts anew. `on_happening` is called on the panel's thread with each
    happening and its `time.monotonic` time. Raises FileExistsError at the start where `link_path` is something else
    than a symlink, and FileNotFoundError where its folder is missing.
    """

    def __init__(
        self,
        link_path: Path | str,
        description: PanelDescription | None = None,
        *,
        on_happening: Callable[[Happening, float], None] | None = None,
        faults: Faults | None = None,
        seed: int | None = None,
    ) -> None:
        self._link_path = Path(link_path)
        self._description = description or PanelDescription()
        self._on_happening = on_happening
        self._faults = faults or Faults()
        # Damage to be repeated at will, nothing that has to be hard to guess.
        rng = random.Random(seed)  # noqa: S311
        self._to_panel, self._to_host = BadLine(rng), BadLine(rng)
        self._agenda = Agenda()
        self._terminal: Terminal | None = None
        self._held: set[Button] = set()
        self._panel: PanelLink | None = None
        self._history = SceneHistory()
        self._level = 0
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._wake_reader = self._wake_writer = -1
        self._thread: threading.Thread | None = None
        self._ending = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the panel and plug it in."""
        if self._thread is not None:
            raise RuntimeError("this virtual panel is running already")
        self._ending = False
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread = threading.Thread(target=self._run, name="virtual-panel", daemon=True)
        self._thread.start()
        try:
            self.plug()
        except BaseException:
            # Also an interrupt from the keyboard must not leave the symlink behind.
            self.stop()
            raise

    def stop(self) -> None:
        """Unplug the panel, remove its symlink and end its thread; does nothing when it is not running."""
        if self._thread is None:
            return
        self.unplug()
        self._ending = True
        os.write(self._wake_writer, b"\0")
        self._thread.join(CALL_S)
        self._thread = None
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def press(self, button: Button) -> None:
        """Push the button down; it stays down until `release`, also while the panel has no power."""
        self._call(lambda: self._push(button))

    def release(self, button: Button) -> None:
        """Let go of the button."""
        self._call(lambda: self._let_go(button))

    def plug(self) -> None:
        """Plug the panel in and start it; does nothing where it is plugged in."""
        self._call(self._plug)

    def unplug(self) -> None:
        """Pull the panel's cable; its port vanishes at once."""
        self._call(self._unplug)

    def reboot(self) -> None:
        """Restart the firmware; the port stays, as with a separate USB chip."""
        self._call(self._boot)

    def send_raw(self, data: bytes) -> None:
        """Put these bytes on the line, between two frames of the panel."""
        self._call(lambda: self._write(data))

    def fail(self, **changes: float) -> None:
        """Change some of the `faults`, by their names; raises ValueError for what they cannot be."""
        self._call(lambda: self._set_faults(replace(self._faults, **changes)))  # type: ignore[arg-type]

    def vanish(self, duration_s: float) -> None:
        """Pull the panel's cable, and plug it in again after this time."""
        self._call(lambda: self._vanish(duration_s))

    @property
    def faults(self) -> Faults:
        """What goes wrong now."""
        return self._faults

    @property
    def scenes(self) -> list[ShownScene]:
        """All that was shown since `start`, oldest first."""
        return self._history.all()

    @property
    def scene(self) -> Scene | None:
        """What is shown now; None without power."""
        panel = self._panel
        return None if panel is None else panel.scene

    @property
    def level(self) -> int:
        """The last level received, 0..255."""
        return self._level

    @property
    def online(self) -> bool:
        """Whether the panel has a host."""
        panel = self._panel
        return panel is not None and panel.session != NO_SESSION

    def wait_for_scene(self, scene: Scene, timeout_s: float, *, since: int | None = None) -> ShownScene:
        """Wait until `scene` is shown, and return when it was.

        Counts what is shown now and later, or all from entry `since` of `scenes` on. Raises TimeoutError, with what
        was shown instead.
        """
        return self._history.wait_for(scene, timeout_s, since)

    def _call(self, action: Callable[[], None]) -> None:
        if self._thread is None:
            raise RuntimeError("this virtual panel is not running")
        future: Future[None] = Future()
        self._calls.append((action, future))
        os.write(self._wake_writer, b"\0")
        future.result(CALL_S)

    def _run(self) -> None:
        while not self._ending:
            watched: list[Terminal | int] = [self._wake_reader]
            deadline_s = self._agenda.deadline_s
            if self._terminal is not None and self._panel is not None:
                watched.append(self._terminal)
                lines_s = min(self._to_panel.deadline_s, self._to_host.deadline_s)
                deadline_s = min(deadline_s, lines_s, self._panel.next_deadline_s)
            timeout_s = None if deadline_s == math.inf else max(0.0, deadline_s - time.monotonic())
            ready, _, _ = select.select(watched, [], [], timeout_s)
            for action in self._agenda.due(time.monotonic()):
                action()
            self._advance()
            if self._wake_reader in ready:
                os.read(self._wake_reader, WAKE_BYTES)
                self._answer_calls()

    def _answer_calls(self) -> None:
        while self._calls:
            action, future = self._calls.popleft()
            try:
                action()
            except (OSError, ValueError) as error:
                future.set_exception(error)
            else:
                self._advance()
                future.set_result(None)

    def _advance(self) -> None:
        """Take what the host has sent, do what is due, and send the panel's answers."""
        if self._terminal is None or self._panel is None:
            return
        now_s = time.monotonic()
        self._to_panel.put(self._terminal.read(), self._faults, now_s)
        for happening in self._panel.feed(self._to_panel.take(now_s), now_s):
            self._report(happening)
        said = self._panel.take_output()
        if not self._faults.silent:
            self._to_host.put(said, self._faults, now_s)
        self._write(self._to_host.take(now_s))

    def _write(self, data: bytes) -> None:
        if self._terminal is not None:
            self._terminal.write(data)

    def _set_faults(self, faults: Faults) -> None:
        self._faults = faults

    def _vanish(self, duration_s: float) -> None:
        self._unplug()
        self._agenda.add(time.monotonic() + duration_s, self._return)

    def _return(self) -> None:
        try:
            self._plug()
        except OSError:
            logger.exception("the virtual panel cannot be plugged in again")

    def _report(self, happening: Happening) -> None:
        now_s = time.monotonic()
        if isinstance(happening, SceneShown):
            self._history.add(ShownScene(happening.scene, now_s))
        elif isinstance(happening, LevelShown):
            self._level = happening.level
        if self._on_happening is not None:
            try:
                self._on_happening(happening, now_s)
            except Exception:
                logger.exception("the consumer of the virtual panel's happenings failed at %s", happening)

    def _push(self, button: Button) -> None:
        self._held.add(button)
        self._switch(button, True)

    def _let_go(self, button: Button) -> None:
        self._held.discard(button)
        self._switch(button, False)

    def _switch(self, button: Button, pressed: bool) -> None:
        """Close or open the contact, and have it bounce where it is worn."""
        self._edge(button, pressed)
        now_s = time.monotonic()
        for number in range(1, 2 * self._faults.chatter + 1):
            closed = pressed if number % 2 == 0 else not pressed
            self._agenda.add(now_s + number * BOUNCE_S, partial(self._edge, button, closed))

    def _edge(self, button: Button, closed: bool) -> None:
        if self._panel is None:
            return
        if closed:
            self._panel.press(button, time.monotonic())
        else:
            self._panel.release(button, time.monotonic())

    def _plug(self) -> None:
        if self._terminal is None:
            self._terminal = Terminal(self._link_path)
            self._report(Plugged(self._terminal.name))
            self._boot()

    def _unplug(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
            self._panel = None
            self._to_panel.reset()
            self._to_host.reset()
            self._report(Plugged(None))

    def _boot(self) -> None:
        if self._terminal is not None:
            self._panel = PanelLink(self._description, time.monotonic(), frozenset(self._held))
            self._report(SceneShown(self._panel.scene))
