"""Presses without end, none lost: `python -m benchmarks.panel_soak --seconds 600`.

The virtual panel and the real bridge in one process; prints the presses, what was lost, and how the memory grew after
the first tenth. Exit status 1 when a press was lost, came twice, or came in the wrong order.
"""

import argparse
import itertools
import sys
import tempfile
import threading
import time
from pathlib import Path

from firmware_bridge import Button, ButtonPressed, PanelBridge, PanelEvent, PanelOnline
from firmware_bridge.virtual_panel import VirtualPanel

PRESSES_A_SECOND = 20
PATIENCE_S = 10.0
STATUS = Path("/proc/self/status")


class Reported:
    """The presses that the bridge has reported, in order."""

    def __init__(self) -> None:
        self.buttons = 0
        self.wrong = 0
        self._expected = itertools.cycle(Button)
        self._changed = threading.Condition()
        self.online = threading.Event()

    def __call__(self, event: PanelEvent) -> None:
        if isinstance(event, PanelOnline):
            self.online.set()
        elif isinstance(event, ButtonPressed):
            with self._changed:
                self.wrong += event.button is not next(self._expected)
                self.buttons += 1
                self._changed.notify_all()

    def wait(self, count: int) -> bool:
        """Wait until so many have come; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self.buttons >= count, PATIENCE_S)


def memory_kib() -> int:
    """Return the resident memory of this process."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


def press_for(panel: VirtualPanel, seconds: float) -> tuple[int, int]:
    """Press the buttons in turn; return how many presses there were and the memory's growth after a tenth, in KiB."""
    count = round(seconds * PRESSES_A_SECOND)
    tick = threading.Event()
    start_s = time.monotonic()
    early_kib = memory_kib()
    for number, button in zip(range(count), itertools.cycle(Button), strict=False):
        tick.wait(max(0.0, start_s + number / PRESSES_A_SECOND - time.monotonic()))
        panel.press(button)
        panel.release(button)
        if number == count // 10:
            early_kib = memory_kib()
    return count, memory_kib() - early_kib


def main(argv: list[str] | None = None) -> int:
    """Press, count and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel_soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    seconds: float = parser.parse_args(argv).seconds
    reported = Reported()
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder:
        link = Path(folder) / "panel"
        with VirtualPanel(link) as panel:
            bridge = PanelBridge(str(link), reported)
            bridge.start()
            try:
                if not reported.online.wait(PATIENCE_S):
                    print(f"FAILED: {bridge.problem}")
                    return 1
                pressed, grown_kib = press_for(panel, seconds)
                reported.wait(pressed)
                stats = bridge.stats()
            finally:
                bridge.stop()
    lost = pressed - reported.buttons
    print(f"{pressed} presses in {seconds:.0f} s, {PRESSES_A_SECOND} a second\n")
    print(f"lost                  {max(lost, 0):8d}")
    print(f"counted twice         {max(-lost, 0):8d}")
    print(f"in the wrong order    {reported.wrong:8d}")
    print(f"repeated by the panel {stats.duplicate_events:8d}")
    print(f"sessions              {stats.sessions:8d}")
    print(f"memory grown by       {grown_kib:8d} KiB, after the first tenth")
    return 1 if lost or reported.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
