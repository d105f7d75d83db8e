"""From a press to the first sound of its visit: `python -m benchmarks.first_sound`.

The real ear hears the simulated microphone. The time is what passes until the parent knows that the visit is being
recorded; the sound itself begins `preroll_ms` before the press, and none is lost. The presses come at moments that
have nothing to do with the blocks.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from queue import SimpleQueue

from audio.ear_process import EarProcess
from audio.protocol import EarEvent, Failed, FirstSound, Ready
from audio.settings import AudioSettings
from demo.microphone import DEVICE_NAME, SimulatedMicrophone

LIMIT_S = 30.0


def first_sounds_ms(microphone: SimulatedMicrophone, settings: AudioSettings, presses: int) -> list[float]:
    """The milliseconds from each press to its first sound."""
    events: SimpleQueue[tuple[EarEvent, float]] = SimpleQueue()

    def receive(event: EarEvent) -> None:
        events.put((event, time.perf_counter()))

    def wait(*kinds: type[EarEvent]) -> tuple[EarEvent, float]:
        deadline_s = time.perf_counter() + LIMIT_S
        while True:
            event, at_s = events.get(timeout=max(0.0, deadline_s - time.perf_counter()))
            if isinstance(event, kinds):
                return event, at_s

    chance = random.Random(1)
    measured = []
    with EarProcess(settings, receive, environment=microphone.environment()) as ear:
        wait(Ready)
        for number in range(presses):
            time.sleep(chance.uniform(0.05, 0.15))
            pressed_s = time.perf_counter()
            ear.begin(str(number))
            event, at_s = wait(FirstSound, Failed)
            match event:
                case Failed(reason=reason):
                    raise RuntimeError(f"the ear was lost: {reason}")
            measured.append((at_s - pressed_s) * 1000)
            ear.discard(str(number))
    return measured


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_sound", description=__doc__)
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--block-ms", type=int, default=AudioSettings().block_ms, help="default %(default)s")
    parser.add_argument("--rate", type=int, default=48000, help="of the microphone, in Hz (default %(default)s)")
    arguments = parser.parse_args(argv)
    settings = AudioSettings(device=DEVICE_NAME, block_ms=arguments.block_ms)
    with (
        tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder,
        SimulatedMicrophone(Path(folder), rate_hz=arguments.rate) as microphone,
    ):
        measured = first_sounds_ms(microphone, settings, arguments.presses)
    p95 = statistics.quantiles(measured, n=20, method="inclusive")[-1]
    print(f"{len(measured)} presses, blocks of {arguments.block_ms} ms at {arguments.rate} Hz\n")
    print("milliseconds from the press to the first sound:")
    print(f"p50 {statistics.median(measured):.1f}, p95 {p95:.1f}, max {max(measured):.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
