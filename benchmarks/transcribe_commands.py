"""`kiosk transcribe` and `vosk-transcriber`, each as a user types it, on the same WAV files.

`vosk-transcriber` is the command of Vosk's own package. It reads every file through ffmpeg, also one that needs no
conversion, and cannot do without it. It works on as many files at once as there are cores, `kiosk transcribe` on one.
"""

import json
import resource
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from demo.process import BIN

FFMPEG_MISSING: Final = (
    "vosk-transcriber is left out: it reads every file through ffmpeg; install it with: sudo apt-get install ffmpeg"
)


class Run(NamedTuple):
    """One run of a command, from its start to its end."""

    texts: list[str]
    """Of each file, in their order."""
    wall_s: float
    cpu_s: float
    """User and system time, with that of the processes that it started."""


def can_compare() -> bool:
    """Whether `vosk-transcriber` can run on this machine."""
    return shutil.which("ffmpeg") is not None


def kiosk_transcribe(files: Sequence[Path], model: Path) -> Run:
    """Run `kiosk transcribe`. Raises `subprocess.CalledProcessError`."""
    began_s, began_cpu_s = time.perf_counter(), _children_cpu_s()
    command = [str(part) for part in (BIN / "kiosk", "transcribe", "--json", "--model", model, *files)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    wall_s, cpu_s = time.perf_counter() - began_s, _children_cpu_s() - began_cpu_s
    return Run([json.loads(line)["text"] or "" for line in done.stdout.splitlines()], wall_s, cpu_s)


def vosk_transcriber(files: Sequence[Path], model: Path, folder: Path) -> Run:
    """Run `vosk-transcriber` on a folder with links to the files. Raises `subprocess.CalledProcessError`."""
    given, written = folder / "given", folder / "written"
    for each in (given, written):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    for number, file in enumerate(files):
        (given / f"{number}.wav").symlink_to(file.resolve())
    began_s, began_cpu_s = time.perf_counter(), _children_cpu_s()
    command = [str(BIN / "vosk-transcriber"), "--model", str(model), "--input", str(given), "--output", str(written)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall_s, cpu_s = time.perf_counter() - began_s, _children_cpu_s() - began_cpu_s
    texts = [(written / f"{number}.txt").read_text(encoding="utf-8") for number in range(len(files))]
    return Run([" ".join(text.split()) for text in texts], wall_s, cpu_s)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
