"""What the whole ear costs beside Vosk alone, and how soon it answers: `python -m benchmarks.ear`.

The ear hears a simulated microphone in real time. Vosk alone is a process with nothing but Vosk and the same model; it
gets the same sound in the same pieces at the same pace. Both take turns, sentence by sentence, and so meet the same
machine. The pace matters: between two pieces of sound a processor forgets, and each costs more than in a loop.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import cycle, islice, pairwise
from pathlib import Path
from statistics import median, quantiles
from time import monotonic
from typing import Final

from audio.model import DEMONSTRATION
from audio.settings import AudioSettings
from benchmarks.bare_vosk import BareVosk
from benchmarks.ear_start import PIECES
from benchmarks.ear_visits import LiveEar, Rounds, measure
from benchmarks.first_sound import first_sounds_ms
from demo.microphone import DEVICE_NAME, SimulatedMicrophone, build
from demo.sentences import SENTENCES

TARGET_RATIO: Final = 1.05
TARGET_EXTRA_MS: Final = 30.0


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ear", description=__doc__)
    parser.add_argument("--sentences", type=int, default=24, help="of 2 to 4 s (default %(default)s)")
    parser.add_argument("--presses", type=int, default=100, help="for the first sound (default %(default)s)")
    parser.add_argument("--starts", type=int, default=7, help="default %(default)s")
    parser.add_argument("--rate", type=int, default=16000, help="of the microphone, in Hz (default %(default)s)")
    parser.add_argument("--block-ms", type=int, default=AudioSettings().block_ms, help="default %(default)s")
    parser.add_argument("--model", type=Path, default=DEMONSTRATION, help="a Vosk model (default: the demonstration)")
    arguments = parser.parse_args(argv)
    model: Path = arguments.model
    settings = AudioSettings(device=DEVICE_NAME, block_ms=arguments.block_ms, model=str(model))
    wavs = list(islice(cycle(SENTENCES), arguments.sentences))
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as name:
        folder = Path(name)
        build(folder)
        rounds = measure(folder, folder, arguments.rate, settings, model, wavs)
        audio_s = sum(visit.audio_s for visit in rounds.ear)
        print(
            f"{len(wavs)} sentences, {audio_s:.0f} s of sound, microphone at {arguments.rate} Hz, blocks of "
            f"{settings.block_ms} ms, model {model.name}"
        )
        same = sum(visit.text == alone.text for visit, alone in zip(rounds.ear, rounds.vosk, strict=True))
        print(f"the same words in {same} of {len(wavs)}")
        _print_processor(rounds)
        _print_answers(rounds, settings.tail_ms)
        _print_first_sounds(folder, arguments.rate, settings, arguments.presses)
        _print_memory(rounds)
        _print_starts(folder, arguments.rate, settings, model, arguments.starts)
    return 0


def _print_processor(rounds: Rounds) -> None:
    wall_s = sum(visit.wall_s for visit in rounds.ear)
    audio_s = sum(visit.audio_s for visit in rounds.ear)
    ear_s, vosk_s = sum(visit.cpu_s for visit in rounds.ear), sum(visit.cpu_s for visit in rounds.vosk)
    ratio = median(ours.cpu_s / alone.cpu_s for ours, alone in zip(rounds.ear, rounds.vosk, strict=True))
    print("\nprocessor time, user and system, while a visitor speaks\n")
    print(f"{'':30}{'s':>8}{'of real time':>15}{'ratio, median of sentences':>30}")
    print(f"{'the whole ear':30}{ear_s:8.3f}{ear_s / audio_s:15.4f}{ratio:30.2f}")
    print(f"{'Vosk alone':30}{vosk_s:8.3f}{vosk_s / audio_s:15.4f}{1:30.2f}")
    print(f"target: a ratio of at most {TARGET_RATIO:.2f}, {_verdict(ratio <= TARGET_RATIO)}")
    print("\nshare of a core by the ear's threads, in %\n")
    print(f"{'':42}{'visit':>8}{'idle':>8}")
    speaking: dict[int, float] = {}
    for visit in rounds.ear:
        for number, cpu_s in visit.threads_cpu_s.items():
            speaking[number] = speaking.get(number, 0.0) + cpu_s / wall_s
    for title, number in _threads(rounds, speaking).items():
        print(f"{title:42}{100 * speaking[number]:8.2f}{100 * rounds.idle_cpu[number]:8.2f}")
    print(f"{'the whole ear':42}{100 * sum(speaking.values()):8.2f}{100 * sum(rounds.idle_cpu.values()):8.2f}")
    print(f"{'Vosk alone':42}{100 * vosk_s / wall_s:8.2f}{0:8.2f}")


def _threads(rounds: Rounds, speaking: Mapping[int, float]) -> dict[str, int]:
    """Which thread is which: the recogniser alone has nothing to do while nobody speaks."""
    others = [number for number in speaking if number != rounds.main_thread]
    recogniser = max(others, key=lambda number: speaking[number] - rounds.idle_cpu.get(number, 0.0))
    capture = max(
        (number for number in others if number != recogniser), key=lambda number: rounds.idle_cpu.get(number, 0.0)
    )
    return {
        "main: level, speech activity, events": rounds.main_thread,
        "capture: PortAudio, simulated microphone": capture,
        "recogniser: Vosk": recogniser,
    }


def _print_answers(rounds: Rounds, tail_ms: int) -> None:
    print("\nmilliseconds from the end of speech (Finish) to the transcript\n")
    print(f"{'':42}{'p50':>8}{'p95':>8}{'max':>8}")
    answers = {
        f"the ear, {tail_ms} ms of recorded tail included": [visit.answer_ms for visit in rounds.ear],
        "the ear without a tail": [visit.answer_ms for visit in rounds.without_tail],
        "Vosk's FinalResult alone": [visit.final_ms for visit in rounds.vosk],
    }
    for title, values in answers.items():
        print(f"{title:42}{_figures(values)}")
    extra_ms = _p95([visit.answer_ms for visit in rounds.without_tail]) - _p95([one.final_ms for one in rounds.vosk])
    print(
        f"target without the tail: at p95 at most {TARGET_EXTRA_MS:g} ms more than FinalResult; {extra_ms:.1f} ms, "
        f"{_verdict(extra_ms <= TARGET_EXTRA_MS)}"
    )


def _print_first_sounds(folder: Path, rate_hz: int, settings: AudioSettings, presses: int) -> None:
    with SimulatedMicrophone(folder / "presses", rate_hz=rate_hz, build_dir=folder) as microphone:
        measured = first_sounds_ms(microphone, settings, presses)
    print(f"\nmilliseconds from a press to the first sound after it, {presses} presses\n")
    print(f"{'':42}{'p50':>8}{'p95':>8}{'max':>8}")
    print(f"{'FirstSound at the parent':42}{_figures(measured)}")


def _print_memory(rounds: Rounds) -> None:
    print("\nresident memory after these sentences, in MB\n")
    print(f"{'':42}{'all':>8}{'of its own':>12}")
    for title, memory in (("the ear", rounds.ear_memory), ("Vosk alone", rounds.vosk_memory)):
        print(f"{title:42}{memory['VmRSS']:8.1f}{memory['RssAnon']:12.1f}")
    more = {kind: rounds.ear_memory[kind] - rounds.vosk_memory[kind] for kind in rounds.ear_memory}
    print(f"{'the ear above that':42}{more['VmRSS']:8.1f}{more['RssAnon']:12.1f}")


def _print_starts(folder: Path, rate_hz: int, settings: AudioSettings, model: Path, starts: int) -> None:
    ears, alone = [], []
    pieces: dict[str, list[float]] = {piece: [] for piece in PIECES}
    for _ in range(starts):
        with LiveEar(folder / "start", folder, rate_hz, settings) as ear:
            ears.append(ear.start_s * 1000)
        with BareVosk(model) as vosk:
            alone.append(vosk.start_s * 1000)
        with SimulatedMicrophone(folder / "start", rate_hz=rate_hz, build_dir=folder) as microphone:
            for piece, taken_ms in _pieces_ms(microphone.environment(), model).items():
                pieces[piece].append(taken_ms)
    print(f"\nmilliseconds of a start, median of {starts}, the files in the system's cache\n")
    print(f"{'the ear, until Ready':42}{median(ears):8.1f}")
    print(f"{'Vosk alone, until its model is loaded':42}{median(alone):8.1f}")
    print(f"{'ratio':42}{median(ours / its for ours, its in zip(ears, alone, strict=True)):8.2f}")
    print("\none after the other, of which the ear does the last two beside the three before\n")
    for piece, taken in pieces.items():
        print(f"{piece:42}{median(taken):8.1f}")


def _pieces_ms(environment: Mapping[str, str], model: Path) -> dict[str, float]:
    """What each piece of one start took."""
    command = [sys.executable, "-m", "benchmarks.ear_start", DEVICE_NAME, str(model)]
    began_s = monotonic()
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    moments_s = pairwise([began_s, *map(float, done.stdout.split())])
    return {piece: (after - before) * 1000 for piece, (before, after) in zip(PIECES, moments_s, strict=True)}


def _figures(values: Sequence[float]) -> str:
    return f"{median(values):8.1f}{_p95(values):8.1f}{max(values):8.1f}"


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1]


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


if __name__ == "__main__":
    sys.exit(main())
