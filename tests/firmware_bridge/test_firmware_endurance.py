"""Every kind of panel, again and again: unplugged under presses, and pressed without end.

`VOISEBACK_REPLUGS` says how often each is unplugged and `VOISEBACK_SOAK_S` how long each is pressed;
`make panel-endurance` sets them to 100 and 600.
"""

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelBridge, PanelEvent, PanelOffline, Scene
from tests.firmware_bridge.firmware_bench import PATIENCE_S, Inbox, Panel

KINDS = ["virtual", "host", "avr"]
REPLUGS = int(os.environ.get("VOISEBACK_REPLUGS", "10"))
SOAK_S = float(os.environ.get("VOISEBACK_SOAK_S", "60"))
BACK_S = 2.0
PRESSES_A_SECOND = 20
GROWTH_KIB = 2_048

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(20 * REPLUGS + 3 * SOAK_S + 120)]


def presses(inbox: Inbox, button: Button) -> int:
    return sum(event == ButtonPressed(button) for event in inbox.buttons())


@pytest.mark.parametrize("kind", KINDS)
def test_a_panel_that_is_unplugged_under_presses_comes_back_right_and_loses_nothing_it_had_delivered(
    kind: str, tmp_path: Path
) -> None:
    panel, inbox = Panel(kind, tmp_path / "panel"), Inbox()
    bridge = PanelBridge(str(panel.link), inbox)
    try:
        panel.wait_for(event="plugged")
        bridge.start()
        bridge.show(Scene.IDLE)
        panel.wait_for(scene="idle")
        for number in range(REPLUGS):
            cut_before = presses(inbox, Button.CANCEL)
            panel.say("press record")
            inbox.wait_for(ButtonPressed, number + cut_before + 1)
            panel.say("press cancel", "unplug", "release record", "release cancel")
            inbox.wait_for(PanelOffline, number + 1)
            scene = Scene.CLOSED if number % 2 else Scene.OFFLINE
            bridge.show(scene)
            before, plugged_s = panel.mark(), time.monotonic()
            panel.say("plug")
            panel.wait_for(before, scene=scene.name.lower())
            assert time.monotonic() - plugged_s < BACK_S
            assert presses(inbox, Button.RECORD) == number + 1
            # The plug may have cut this one off; it must not come twice, and not later.
            assert presses(inbox, Button.CANCEL) - cut_before <= 1
        stats = bridge.stats()
        assert stats.reconnections >= REPLUGS
    finally:
        bridge.stop()
        panel.end()


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


class Tally:
    """Checks each edge against the one that was made, without keeping them all."""

    def __init__(self) -> None:
        self.edges = 0
        self.wrong: list[PanelEvent] = []
        self.changed = threading.Condition()
        self.expected = (kind(button) for button in itertools.cycle(Button) for kind in (ButtonPressed, ButtonReleased))

    def __call__(self, event: PanelEvent) -> None:
        with self.changed:
            if isinstance(event, ButtonPressed | ButtonReleased):
                self.edges += 1
                if event != next(self.expected):
                    self.wrong.append(event)
            elif isinstance(event, PanelOffline):
                self.wrong.append(event)
            self.changed.notify_all()

    def wait_for(self, edges: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.edges >= edges, PATIENCE_S), f"{edges} made, {self.edges} came"
            assert self.edges == edges
            assert self.wrong == []


def press_for(panel: Panel, tally: Tally, seconds: float) -> int:
    """Press the buttons in turn; return the memory's growth after the first tenth, in KiB.

    A button is held until its press has come: a contact that a busy machine closed for less than the debounce time was
    never pressed.
    """
    count = round(seconds * PRESSES_A_SECOND)
    tick, half_s, start_s = threading.Event(), 0.5 / PRESSES_A_SECOND, time.monotonic()
    early_kib = memory_kib(panel.process.pid)
    for number, button in zip(range(count), itertools.cycle(Button), strict=False):
        for half, verb in enumerate(("press", "release")):
            edge = 2 * number + half
            tick.wait(max(0.0, start_s + edge * half_s - time.monotonic()))
            panel.say(f"{verb} {button.name.lower()}")
            tally.wait_for(edge + 1)
        if number == count // 10:
            early_kib = memory_kib(panel.process.pid)
    return memory_kib(panel.process.pid) - early_kib


def test_presses_without_end_on_every_kind_of_panel_are_neither_lost_nor_doubled(tmp_path: Path) -> None:
    panels = {kind: Panel(kind, tmp_path / kind) for kind in KINDS}
    tallies = {kind: Tally() for kind in KINDS}
    bridges = {kind: PanelBridge(str(panel.link), tallies[kind]) for kind, panel in panels.items()}
    try:
        for kind, panel in panels.items():
            panel.wait_for(event="plugged")
            bridges[kind].show(Scene.IDLE)
            bridges[kind].start()
            panel.wait_for(scene="idle")
        # Before it is online, a bridge may have said once that there was no panel yet.
        for tally in tallies.values():
            tally.wrong.clear()
        with ThreadPoolExecutor(len(KINDS)) as pool:
            grown_kib = dict(
                zip(KINDS, pool.map(lambda kind: press_for(panels[kind], tallies[kind], SOAK_S), KINDS), strict=True)
            )
        assert max(grown_kib.values()) < GROWTH_KIB, grown_kib
    finally:
        for kind in KINDS:
            bridges[kind].stop()
            panels[kind].end()
