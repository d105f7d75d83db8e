"""From a press to its event, and what an idle panel costs: `python -m benchmarks.panel`.

The virtual panel and the real bridge over a pseudo-terminal, which is faster than any line. What a real panel adds is
printed beside it: the time that the frame takes on the wire at 115200 baud, and the debouncing of the button.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelBridge, PanelEvent, PanelOnline
from firmware_bridge.frame import encode
from firmware_bridge.messages import ButtonEdge, to_frame
from firmware_bridge.port import BAUD

DEBOUNCE_MS = 8.0
"""As the protocol's page asks of a panel, about."""
BITS_PER_BYTE = 10
"""8N1: a start bit, eight data bits, a stop bit."""
PATIENCE_S = 30.0
ROOT = Path(__file__).parents[1]


class Clock:
    """Notes when the bridge reports what."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_s: dict[type[PanelEvent], float] = {}

    def __call__(self, event: PanelEvent) -> None:
        with self._changed:
            self._at_s[type(event)] = time.perf_counter()
            self._changed.notify_all()

    def wait(self, kind: type[PanelEvent]) -> float:
        """Wait for an event of this kind, forget it, and return when it came, in seconds of `perf_counter`."""
        with self._changed:
            if not self._changed.wait_for(lambda: kind in self._at_s, PATIENCE_S):
                raise RuntimeError(f"no {kind.__name__} within {PATIENCE_S:.0f} s")
            return self._at_s.pop(kind)


class PanelProcess:
    """The virtual panel as a process of its own, so that its work is not counted as the bridge's."""

    def __init__(self, link: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge.virtual_panel", "--link", str(link)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        end_s = time.monotonic() + PATIENCE_S
        while not link.exists():
            if time.monotonic() > end_s:
                raise RuntimeError(f"no virtual panel within {PATIENCE_S:.0f} s")
            time.sleep(0.01)

    def say(self, command: str) -> None:
        """Give it a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)


def press_to_event_ms(panel: PanelProcess, clock: Clock, presses: int) -> list[float]:
    """Return, for each press, the time from the command to the panel to the bridge's event."""
    taken_ms = []
    for _ in range(presses):
        pressed_s = time.perf_counter()
        panel.say(f"press {Button.RECORD.name}")
        taken_ms.append(1000 * (clock.wait(ButtonPressed) - pressed_s))
        panel.say(f"release {Button.RECORD.name}")
        clock.wait(ButtonReleased)
    return taken_ms


def cpu_share(seconds: float) -> float:
    """Return the share of a core that this process takes while it only waits for so long."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    start_s = time.perf_counter()
    threading.Event().wait(seconds)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used_s / (time.perf_counter() - start_s)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel", description=__doc__)
    parser.add_argument("--presses", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the idle panel is watched")
    arguments = parser.parse_args(argv)
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder:
        link = Path(folder) / "panel"
        panel = PanelProcess(link)
        bridge = PanelBridge(str(link), clock)
        bridge.start()
        try:
            clock.wait(PanelOnline)
            taken_ms = press_to_event_ms(panel, clock, arguments.presses)
            share = cpu_share(arguments.seconds)
        finally:
            bridge.stop()
            panel.close()
    frame = encode(to_frame(ButtonEdge(Button.RECORD, True, 0), 1))
    wire_ms = 1000 * len(frame) * BITS_PER_BYTE / BAUD
    p50_ms, p99_ms = statistics.median(taken_ms), statistics.quantiles(taken_ms, n=100)[98]
    print(f"{arguments.presses} presses, virtual panel in a process of its own\n")
    print(f"press to event, p50          {p50_ms:8.2f} ms")
    print(f"press to event, p99          {p99_ms:8.2f} ms")
    print(f"the frame on the wire        {wire_ms:8.2f} ms   ({len(frame)} bytes at {BAUD} baud)")
    print(f"debouncing                   {DEBOUNCE_MS:8.2f} ms")
    print(f"a real panel then, p99       {p99_ms + wire_ms + DEBOUNCE_MS:8.2f} ms")
    print(f"CPU of the bridge, idle      {100 * share:8.2f} % of a core, over {arguments.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
