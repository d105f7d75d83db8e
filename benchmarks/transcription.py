"""What our way from a WAV file to words costs beside a bare Vosk loop: `python -m benchmarks.transcription`.

Both decode the same files with the same loaded model, in turns, so that both meet the same machine.
Ours also measures levels, detects speech, and makes the words' list. Then the whole of `kiosk transcribe` stands beside
`vosk-transcriber`, the command of Vosk's own package, where ffmpeg is installed. Prints tables and writes nothing.
"""

import argparse
import json
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import vosk

from audio.model import DEMONSTRATION
from audio.recogniser import load
from audio.settings import AudioSettings
from audio.transcribe import Transcriber
from benchmarks.transcribe_commands import FFMPEG_MISSING, can_compare, kiosk_transcribe, vosk_transcriber

SPEECH = Path(__file__).parent.parent / "demo" / "speech"
TARGET_RATIO = 1.05
COMMAND_TIMES = (1, 20)
"""How often the commands get the files: with a few of them the start is most of the work."""
BARE_CHUNK_FRAMES = 4000  # as Vosk's own examples read


def bare_text(model: vosk.Model, path: Path) -> str:
    """The loop of Vosk's examples, with word times as ours."""
    with wave.open(str(path), "rb") as file:
        recogniser = vosk.KaldiRecognizer(model, file.getframerate())
        recogniser.SetWords(True)
        texts = []
        while data := file.readframes(BARE_CHUNK_FRAMES):
            if recogniser.AcceptWaveform(data):
                texts.append(json.loads(recogniser.Result())["text"])
        texts.append(json.loads(recogniser.FinalResult())["text"])
    return " ".join(text for text in texts if text)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall clock and CPU seconds of one call."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcription", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="16-bit mono WAV files (default: those of demo/speech)")
    parser.add_argument("--model", type=Path, help="a Vosk model (default: the demonstration model)")
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--command-repetitions", type=int, default=7)
    arguments = parser.parse_args(argv)
    files: list[Path] = arguments.files or sorted(SPEECH.glob("*.wav"))
    folder: Path = arguments.model or DEMONSTRATION
    _compare_loops(files, folder, arguments.repetitions)
    _compare_commands(files, folder, arguments.command_repetitions)
    return 0


def _compare_loops(files: Sequence[Path], folder: Path, repetitions: int) -> None:
    loaded = load(folder)
    ours = Transcriber(AudioSettings(), loaded)

    def run_ours() -> list[str]:
        return [ours.transcribe(path).text or "" for path in files]

    def run_bare() -> list[str]:
        return [bare_text(loaded.handle, path) for path in files]

    same = sum(a == b for a, b in zip(run_ours(), run_bare(), strict=True))  # and both are warm now
    measured = []
    for turn in range(repetitions):
        if turn % 2:
            bare_first = timed(run_bare)
            measured.append((timed(run_ours), bare_first))
        else:
            measured.append((timed(run_ours), timed(run_bare)))
    audio_s = sum(_length_s(path) for path in files)
    print(f"{len(files)} files, {audio_s:.1f} s of sound, {repetitions} turns, model {folder.name}")
    print(f"the same words in {same} of {len(files)} files\n")
    print(f"{'median':8}{'ours ms':>10}{'bare ms':>10}{'ratio':>8}{'ours, of real time':>22}")
    ratios = []
    for column, name in enumerate(("wall", "CPU")):
        ours_s = median(pair[0][column] for pair in measured)
        bare_s = median(pair[1][column] for pair in measured)
        ratios.append(median(pair[0][column] / pair[1][column] for pair in measured))
        print(f"{name:8}{ours_s * 1000:10.1f}{bare_s * 1000:10.1f}{ratios[-1]:8.3f}{ours_s / audio_s:22.4f}")
    verdict = "met" if max(ratios) <= TARGET_RATIO else "missed"
    print(f"\ntarget: a ratio of at most {TARGET_RATIO:.2f}, {verdict}")


def _compare_commands(files: Sequence[Path], folder: Path, repetitions: int) -> None:
    if not can_compare():
        print(f"\n{FFMPEG_MISSING}")
        return
    print(f"\nwhole commands, from start to end, median of {repetitions}\n")
    print(f"{'':28}{'kiosk transcribe':>20}{'vosk-transcriber':>20}{'ratio':>10}")
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as scratch:
        for times in COMMAND_TIMES:
            many = [*files] * times
            turns = range(repetitions)
            runs = [(kiosk_transcribe(many, folder), vosk_transcriber(many, folder, Path(scratch))) for _ in turns]
            same = sum(a == b for a, b in zip(runs[0][0].texts, runs[0][1].texts, strict=True))
            print(f"{len(many)} files, {sum(map(_length_s, many)):.0f} s of sound; the same words in {same}")
            _print_row("wall, s", [(ours.wall_s, its.wall_s) for ours, its in runs])
            _print_row("CPU, s", [(ours.cpu_s, its.cpu_s) for ours, its in runs])


def _print_row(name: str, pairs: Sequence[tuple[float, float]]) -> None:
    ours, its = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(ours / its for ours, its in pairs)
    print(f"{name:28}{ours:20.2f}{its:20.2f}{ratio:10.2f}")


def _length_s(path: Path) -> float:
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


if __name__ == "__main__":
    sys.exit(main())
