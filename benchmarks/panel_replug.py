"""The panel unplugged and plugged in again and again, under presses: `python -m benchmarks.panel_replug`.

The virtual panel and the real bridge over a pseudo-terminal. A press that the panel had acknowledged must have been
reported exactly once; one that it counts as missed, or that ended with its power, must not be reported as another one.
Prints how long it took from the replug to the right scene; exit status 1 where a press was lost or came twice.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge import Button, ButtonPressed, PanelBridge, PanelEvent, Scene
from firmware_bridge.pauses import RETRY_S
from firmware_bridge.virtual_panel import VirtualPanel

PATIENCE_S = 10.0
LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; `taken` presses were reported before the plug was pulled, `cut` were under way then."""

    cycles: int
    pressed: int
    taken: int
    cut: int
    lost: int
    twice: int
    invented: int
    median_s: float
    slowest_s: float


class Presses:
    """Counts the presses that the bridge reports."""

    def __init__(self) -> None:
        self.reported = 0
        self._changed = threading.Condition()

    def __call__(self, event: PanelEvent) -> None:
        if isinstance(event, ButtonPressed):
            with self._changed:
                self.reported += 1
                self._changed.notify_all()

    def wait(self, count: int) -> bool:
        """Wait until so many were reported; return whether they were."""
        with self._changed:
            return self._changed.wait_for(lambda: self.reported >= count, PATIENCE_S)


def replug(link: Path, *, cycles: int, retry_s: float = RETRY_S) -> Result:
    """Press twice, wait for these; press once more and pull the plug at once; plug in; wait for the scene."""
    presses = Presses()
    returns_s: list[float] = []
    pressed = taken = cut = lost = twice = 0
    with VirtualPanel(link) as panel:
        bridge = PanelBridge(str(link), presses, retry_s=retry_s)
        bridge.show(Scene.IDLE)
        bridge.start()
        try:
            panel.wait_for_scene(Scene.IDLE, PATIENCE_S)
            for number in range(cycles):
                before = presses.reported
                for button in (Button.RECORD, Button.CANCEL):
                    panel.press(button)
                    panel.release(button)
                lost += not presses.wait(before + 2)
                reached = presses.reported
                panel.press(Button.LANGUAGE)
                panel.unplug()
                panel.release(Button.LANGUAGE)
                scene = Scene.IDLE if number % 2 else Scene.CLOSED
                bridge.show(scene)
                panel.plug()
                plugged_s = panel.scenes[-1].at_s
                returns_s.append(panel.wait_for_scene(scene, PATIENCE_S).at_s - plugged_s)
                # Whether the last press got through is the plug's doing; once at most in any case.
                during = presses.reported - reached
                pressed, taken, cut = pressed + 3, taken + reached - before, cut + 1 - min(during, 1)
                twice += max(0, during - 1) + max(0, reached - before - 2)
        finally:
            bridge.stop()
    return Result(
        cycles=cycles,
        pressed=pressed,
        taken=taken,
        cut=cut,
        lost=lost,
        twice=twice,
        invented=max(0, presses.reported - pressed),
        median_s=statistics.median(returns_s),
        slowest_s=max(returns_s),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel_replug", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    # It would warn at every unplugging.
    logging.getLogger("firmware_bridge").setLevel(logging.ERROR)
    cycles: int = parser.parse_args(argv).cycles
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder:
        result = replug(Path(folder) / "panel", cycles=cycles)
    print(f"{result.cycles} times unplugged and plugged in, {result.pressed} presses, default times\n")
    print(f"presses lost           {result.lost:6d}")
    print(f"presses counted twice  {result.twice + result.invented:6d}")
    print(f"presses cut by the plug{result.cut:6d}")
    print(f"right again, median    {result.median_s:9.2f} s")
    print(f"right again, slowest   {result.slowest_s:9.2f} s   (limit {LIMIT_S:.0f} s)")
    failed = result.lost or result.twice or result.invented or result.slowest_s > LIMIT_S
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
