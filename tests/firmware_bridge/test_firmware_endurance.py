"""Every kind of panel, again and again: unplugged under presses, and pressed without end.

`VOISEBACK_REPLUGS` says how often each is unplugged and `VOISEBACK_SOAK_S` how long each is pressed;
`make panel-endurance` sets them to 100 and 600.
"""

import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelBridge, PanelOffline, Scene
from tests.firmware_bridge.firmware_bench import Inbox, Panel

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


def press_for(panel: Panel, seconds: float) -> tuple[int, int]:
    """Press the buttons in turn; return how many presses there were, and the memory's growth after the first tenth."""
    count = round(seconds * PRESSES_A_SECOND)
    tick, half_s, start_s = threading.Event(), 0.5 / PRESSES_A_SECOND, time.monotonic()
    early_kib = memory_kib(panel.process.pid)
    for number, button in zip(range(count), itertools.cycle(Button), strict=False):
        for half, verb in enumerate(("press", "release")):
            tick.wait(max(0.0, start_s + (2 * number + half) * half_s - time.monotonic()))
            panel.say(f"{verb} {button.name.lower()}")
        if number == count // 10:
            early_kib = memory_kib(panel.process.pid)
    return count, memory_kib(panel.process.pid) - early_kib


def test_presses_without_end_on_every_kind_of_panel_are_neither_lost_nor_doubled(tmp_path: Path) -> None:
    found: dict[str, tuple[int, int]] = {}
    panels = {kind: Panel(kind, tmp_path / kind) for kind in KINDS}
    inboxes = {kind: Inbox() for kind in KINDS}
    bridges = {kind: PanelBridge(str(panel.link), inboxes[kind]) for kind, panel in panels.items()}

    def soak(kind: str) -> None:
        found[kind] = press_for(panels[kind], SOAK_S)

    try:
        for kind, panel in panels.items():
            panel.wait_for(event="plugged")
            bridges[kind].start()
            bridges[kind].show(Scene.IDLE)
            panel.wait_for(scene="idle")
        threads = [threading.Thread(target=soak, args=(kind,)) for kind in KINDS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for kind, (count, grown_kib) in found.items():
            inboxes[kind].wait_for(ButtonReleased, count)
            expected = [
                event
                for button in itertools.islice(itertools.cycle(Button), count)
                for event in (ButtonPressed(button), ButtonReleased(button))
            ]
            assert inboxes[kind].buttons() == expected, kind
            assert grown_kib < GROWTH_KIB, kind
        assert sorted(found) == sorted(KINDS)
    finally:
        for kind in KINDS:
            bridges[kind].stop()
            panels[kind].end()
