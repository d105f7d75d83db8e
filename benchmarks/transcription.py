"""What our way from a WAV file to words costs beside a bare Vosk loop: `python -m benchmarks.transcription`.

Both decode the same files with the same loaded model, in turns, so that both meet the same machine.
Ours also measures levels, detects speech, and makes the words' list. Prints a table and writes nothing.
"""

import argparse
import json
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from statistics import median

import vosk

from audio.model import DEMONSTRATION
from audio.recogniser import load
from audio.settings import AudioSettings
from audio.transcribe import Transcriber

SPEECH = Path(__file__).parent.parent / "demo" / "speech"
TARGET_RATIO = 1.10
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
    arguments = parser.parse_args(argv)
    files: list[Path] = arguments.files or sorted(SPEECH.glob("*.wav"))
    folder: Path = arguments.model or DEMONSTRATION
    loaded = load(folder)
    ours = Transcriber(AudioSettings(), loaded)

    def run_ours() -> list[str]:
        return [ours.transcribe(path).text or "" for path in files]

    def run_bare() -> list[str]:
        return [bare_text(loaded.handle, path) for path in files]

    same = sum(a == b for a, b in zip(run_ours(), run_bare(), strict=True))  # and both are warm now
    measured = []
    for turn in range(arguments.repetitions):
        if turn % 2:
            bare_first = timed(run_bare)
            measured.append((timed(run_ours), bare_first))
        else:
            measured.append((timed(run_ours), timed(run_bare)))
    audio_s = sum(_length_s(path) for path in files)
    print(f"{len(files)} files, {audio_s:.1f} s of sound, {arguments.repetitions} turns, model {folder.name}")
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
    return 0


def _length_s(path: Path) -> float:
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


if __name__ == "__main__":
    sys.exit(main())
