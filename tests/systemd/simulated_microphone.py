"""Runs in the container, beside the demonstration's microphone: speaks each WAV file that standard input names."""

import sys
from pathlib import Path

from demo.microphone import SimulatedMicrophone


def main(folder: Path, build: Path) -> None:
    """Be plugged in until standard input ends."""
    with SimulatedMicrophone(folder, build_dir=build) as microphone:
        print("plugged", flush=True)
        for line in sys.stdin:
            microphone.say(Path(line.strip()))
            print("speaks", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
