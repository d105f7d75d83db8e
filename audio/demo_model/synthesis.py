"""Text spoken by the speech synthesisers espeak-ng, flite and festival, as sound at 16 kHz."""

import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from audio.demo_model.mfcc import RATE_HZ
from audio.demo_model.voices import ESPEAK, FESTIVAL, FLITE, Voice

Job = tuple[str, Voice]
"""A text of words of a-z and the apostrophe, and the voice that speaks it."""

WORKERS: Final = 2
PEAK: Final = 8000
"""What the largest sample of an utterance is scaled to."""
SHORTEST_S: Final = 0.1
LONGEST_S: Final = 15.0
TIMEOUT_S: Final = 60.0
"""For one sentence; a synthesiser needs less than one second."""
FESTIVAL_BATCH: Final = 25
"""Sentences for one process of festival: most of its time goes into starting and loading voices."""
_WARPED_RATE_STEP_HZ: Final = 50
"""Rates are rounded to it, because resampling costs as much as the ratio has digits."""

_FESTIVAL_VOICES: Final = "/usr/share/festival/voices"
SPEECH_TOOLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "espeak-ng": "espeak-ng",
        "flite": "flite",
        "festival": "festival",
        f"{_FESTIVAL_VOICES}/english/ked_diphone": "festvox-kdlpc16k",
        f"{_FESTIVAL_VOICES}/us/cmu_us_slt_arctic_hts": "festvox-us-slt-hts",
    }
)
"""What must be there, a program or an absolute path, and the Debian package that it comes with."""

_TEXT: Final = re.compile(r"[a-z']+(?: [a-z']+)*")


class MissingToolsError(Exception):
    """Debian packages are missing. One sentence names them."""


def check(tools: Mapping[str, str] = SPEECH_TOOLS) -> None:
    """Raises `MissingToolsError` unless every program or absolute path of `tools` is there."""
    missing = dict.fromkeys(package for tool, package in tools.items() if not _is_there(tool))
    if missing:
        raise MissingToolsError(f"Debian packages are missing: install them with `apt install {' '.join(missing)}`.")


def _is_there(tool: str) -> bool:
    return Path(tool).exists() if tool.startswith("/") else shutil.which(tool) is not None


def speak(jobs: Sequence[Job], workers: int = WORKERS) -> list[NDArray[np.int16] | None]:
    """The sound of each job at 16 kHz, its largest sample at `PEAK`; the same jobs give the same sound.

    None where a synthesiser fails, says nothing, or speaks for longer than `LONGEST_S`. Raises `ValueError` for a text
    that is anything but words of a-z and the apostrophe, and for an engine that is not known.
    """
    for text, voice in jobs:
        if not _TEXT.fullmatch(text):
            raise ValueError(f"cannot be spoken, only words of a to z and ' can: {text!r}")
        if voice.engine not in (ESPEAK, FLITE, FESTIVAL):
            raise ValueError(f"no such speech synthesiser: {voice.engine}")
    with tempfile.TemporaryDirectory(prefix="speech-") as folder, ThreadPoolExecutor(workers) as pool:
        paths = [Path(folder, f"{number}.wav") for number in range(len(jobs))]
        done = [pool.submit(_speak_by_festival, jobs, paths, batch) for batch in _festival_batches(jobs)]
        for (text, voice), path in zip(jobs, paths, strict=True):
            if voice.engine != FESTIVAL:
                done.append(pool.submit(_run, _command(text, voice, path), TIMEOUT_S))
        for one in done:
            one.result()
        return list(pool.map(_sound, jobs, paths))


def _command(text: str, voice: Voice, path: Path) -> list[str]:
    if voice.engine == ESPEAK:
        settings = ["-v", voice.name, "-s", str(voice.speed), "-p", str(voice.pitch)]
        return ["espeak-ng", *settings, "-w", str(path), text]
    stretch = f"duration_stretch={voice.stretch:.3f}"
    return ["flite", "-voice", voice.name, "--setf", stretch, "-t", text, "-o", str(path)]


def _run(command: Sequence[str], timeout_s: float) -> None:
    """Runs a synthesiser. Whether it did its work shows in the sound alone: they report failure in no reliable way."""
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return


def _festival_batches(jobs: Sequence[Job]) -> list[list[int]]:
    """Numbers of the jobs for festival, those of one voice together, because changing the voice takes it time."""
    numbers = [number for number, (_, voice) in enumerate(jobs) if voice.engine == FESTIVAL]
    numbers.sort(key=lambda number: (jobs[number][1].name, number))
    return [numbers[start : start + FESTIVAL_BATCH] for start in range(0, len(numbers), FESTIVAL_BATCH)]


def _speak_by_festival(jobs: Sequence[Job], paths: Sequence[Path], batch: Sequence[int]) -> None:
    script = paths[batch[0]].with_suffix(".scm")
    script.write_text("".join(_festival_command(*jobs[number], paths[number]) for number in batch), encoding="ascii")
    _run(["festival", "-b", str(script)], TIMEOUT_S * len(batch))


def _festival_command(text: str, voice: Voice, path: Path) -> str:
    """Scheme that speaks one text. Without `unwind-protect` one failure would end the whole batch."""
    return f"""(unwind-protect
 (begin
  (voice_{voice.name})
  (Parameter.set 'Duration_Stretch {voice.stretch:.3f})
  (utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" 'riff))
 nil)
"""


def _sound(job: Job, path: Path) -> NDArray[np.int16] | None:
    try:
        with wave.open(str(path)) as file:
            rate_hz = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32)
    except (OSError, EOFError, ValueError, wave.Error):
        return None
    if not SHORTEST_S <= len(samples) / rate_hz <= 2 * LONGEST_S or not samples.any():
        return None
    samples = _resampled(samples, rate_hz, job[1].warp)
    if len(samples) > LONGEST_S * RATE_HZ:
        return None
    scale = float(PEAK / np.abs(samples).max())
    return (samples * scale).astype(np.int16)


def _resampled(samples: NDArray[np.float32], rate_hz: int, warp: float) -> NDArray[np.float32]:
    played_hz = round(rate_hz * warp / _WARPED_RATE_STEP_HZ) * _WARPED_RATE_STEP_HZ
    if played_hz == RATE_HZ:
        return samples
    common = gcd(RATE_HZ, played_hz)
    resampled: NDArray[np.float32] = resample_poly(samples, RATE_HZ // common, played_hz // common)
    return resampled
