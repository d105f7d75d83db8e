"""Parts: the speech and the features on disk, each a file of numbers beside a table of its utterances.

    speech/<part>.i16      samples at 16 kHz, 16 bits, little-endian, back to back
    speech/<part>.tsv      for each utterance: first sample, samples, engine, voice, text
    features/<part>.f16    rows of 40 numbers of 16 bits, little-endian, a row each 10 ms
    features/<part>.tsv    for each segment: first row, rows, text

The table is written last, so that a part with a table is whole.
"""

import hashlib
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from audio.demo_model import synthesis
from audio.demo_model.augmentation import SPEED_CHANGE, augment
from audio.demo_model.mfcc import CEPSTRA, RATE_HZ, mfcc

LOGGER = logging.getLogger(__name__)

SAMPLES_SUFFIX: Final = ".i16"
ROWS_SUFFIX: Final = ".f16"
TABLE_SUFFIX: Final = ".tsv"
ROWS_PER_HOUR: Final = 360_000

WORKERS: Final = 2
JOBS_AT_A_TIME: Final = 200
UTTERANCES_AT_A_TIME: Final = 20
UTTERANCES_PER_LINE: Final = 500
"""A line of progress in the log for so many."""
MOST_FAILURES: Final = 0.02
"""Of a part's jobs may fail; more means that a synthesiser or a voice is missing."""

HEAVY_SHARE: Final = 0.6
"""Of the first copies of utterances; all further copies are heavily augmented."""
FORMANT_SHARE: Final = 0.6
"""Of the heavily augmented copies have their formants moved."""
FORMANTS: Final = (0.86, 1.16)


class PartError(Exception):
    """A part that cannot be read or made. One sentence."""


class Utterance(NamedTuple):
    """One utterance of a `SpeechPart`."""

    offset: int
    """Of its first sample."""
    samples: int
    engine: str
    voice: str
    text: str


class Segment(NamedTuple):
    """One utterance of a `FeaturePart`."""

    row: int
    """Its first."""
    rows: int
    text: str


@dataclass(frozen=True)
class SpeechPart:
    """Utterances at 16 kHz."""

    path: Path
    """Without suffix."""
    utterances: tuple[Utterance, ...]
    samples: NDArray[np.int16]
    """Of all utterances, mapped into memory."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the part at `path`, which has no suffix. Raises `PartError`."""
        utterances = tuple(Utterance(int(a), int(b), *rest) for a, b, *rest in _read_table(path, columns=5))
        end = utterances[-1].offset + utterances[-1].samples
        return cls(path, utterances, _mapped(_with(path, SAMPLES_SUFFIX), "<i2", (end,)))

    def sound(self, number: int) -> NDArray[np.int16]:
        """The samples of utterance `number`."""
        utterance = self.utterances[number]
        return self.samples[utterance.offset : utterance.offset + utterance.samples]

    @property
    def hours(self) -> float:
        """Of speech."""
        return len(self.samples) / RATE_HZ / 3600


@dataclass(frozen=True)
class FeaturePart:
    """Features of utterances, to learn from."""

    path: Path
    """Without suffix."""
    segments: tuple[Segment, ...]
    rows: NDArray[np.float16]
    """Of all segments, shape (rows, 40), mapped into memory."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the part at `path`, which has no suffix. Raises `PartError`."""
        segments = tuple(Segment(int(a), int(b), *rest) for a, b, *rest in _read_table(path, columns=3))
        end = segments[-1].row + segments[-1].rows
        return cls(path, segments, _mapped(_with(path, ROWS_SUFFIX), "<f2", (end, CEPSTRA)))

    def features(self, number: int) -> NDArray[np.float16]:
        """The features of segment `number`, shape (rows, 40)."""
        segment = self.segments[number]
        return self.rows[segment.row : segment.row + segment.rows]

    @property
    def hours(self) -> float:
        """Of speech, each copy counted."""
        return len(self.rows) / ROWS_PER_HOUR


def is_whole(path: Path) -> bool:
    """Whether there is a part at `path`, which has no suffix."""
    return _with(path, TABLE_SUFFIX).exists()


def make_speech(path: Path, jobs: Sequence[synthesis.Job], workers: int = WORKERS) -> SpeechPart:
    """Speaks `jobs` and writes the part at `path`, which has no suffix; replaces one that is there.

    A job that fails is left out. Raises `PartError` if more than 2 % fail, `ValueError` as `synthesis.speak` does.
    """
    failed: list[str] = []
    with _PartWriter(path, SAMPLES_SUFFIX) as writer:
        for start in range(0, len(jobs), JOBS_AT_A_TIME):
            some = jobs[start : start + JOBS_AT_A_TIME]
            for (text, voice), sound in zip(some, synthesis.speak(some, workers), strict=True):
                if sound is None:
                    failed.append(f"{voice.engine} {voice.name}")
                else:
                    writer.add(sound.astype("<i2"), voice.engine, voice.name, text)
            _check_failures(path, failed, len(jobs))
            done, hours = start + len(some), writer.length / RATE_HZ / 3600
            LOGGER.info("%s: %d of %d sentences spoken, %.2f hours", path.name, done, len(jobs), hours)
    if failed:
        LOGGER.warning("%s: %d of %d sentences failed and are left out", path.name, len(failed), len(jobs))
    return SpeechPart.open(path)


def make_features(
    speech: SpeechPart, path: Path, copies: int, seed: int, warp: float = SPEED_CHANGE, workers: int = WORKERS
) -> FeaturePart:
    """Augments each utterance `copies` times and writes the features to the part at `path`, which has no suffix.

    `warp` is the largest relative change of the speed of playing. The result depends on the speech, the name of the
    part and the arguments, and not on `workers`. Replaces a part that is there. Raises `PartError`.
    """
    worker = partial(_augmented, copies=copies, warp=warp)
    tasks = [
        [(speech.sound(number), _seed(seed, path.name, number)) for number in range(start, stop)]
        for start, stop in _spans(len(speech.utterances), UTTERANCES_AT_A_TIME)
    ]
    texts = (utterance.text for utterance in speech.utterances)
    with _PartWriter(path, ROWS_SUFFIX) as writer:
        for number, (text, variants) in enumerate(zip(texts, _in_parallel(worker, tasks, workers), strict=True), 1):
            for rows in variants:
                writer.add(rows.astype("<f2"), text)
            if number % UTTERANCES_PER_LINE == 0 or number == len(speech.utterances):
                hours = writer.length / ROWS_PER_HOUR
                LOGGER.info("%s: %d of %d utterances, %.2f hours", path.name, number, len(speech.utterances), hours)
    return FeaturePart.open(path)


_Task = list[tuple[NDArray[np.int16], int]]
"""Sounds, and the seed of each."""


def _augmented(task: _Task, copies: int, warp: float) -> list[list[NDArray[np.float16]]]:
    return [_variants(sound, np.random.default_rng(seed), copies, warp) for sound, seed in task]


def _variants(
    sound: NDArray[np.int16], rng: np.random.Generator, copies: int, warp: float
) -> list[NDArray[np.float16]]:
    variants = []
    for copy in range(copies):
        heavy = copy > 0 or rng.random() < HEAVY_SHARE
        formants = rng.uniform(*FORMANTS) if heavy and rng.random() < FORMANT_SHARE else 1.0
        signal = augment(sound, rng, heavy=heavy, speed_change=warp)
        variants.append(mfcc(signal, formants).astype(np.float16))
    return variants


def _in_parallel(
    worker: "partial[list[list[NDArray[np.float16]]]]", tasks: Sequence[_Task], workers: int
) -> Iterator[list[NDArray[np.float16]]]:
    """The results of all tasks in order, one utterance after the other."""
    if workers < 2 or len(tasks) < 2:  # starting processes would take longer
        for task in tasks:
            yield from worker(task)
        return
    # Not by fork: a copy of a process with threads (PyTorch starts some) may hang.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for results in pool.map(worker, tasks):
            yield from results


def _seed(seed: int, part: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}|{part}|{number}".encode()).digest()[:16])


def _spans(count: int, step: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + step, count)) for start in range(0, count, step))


def _check_failures(path: Path, failed: Sequence[str], jobs: int) -> None:
    if len(failed) > MOST_FAILURES * jobs:
        voices = ", ".join(sorted(set(failed)))
        raise PartError(f"{path.name}: {len(failed)} of {jobs} sentences failed, spoken by these voices: {voices}.")


class _PartWriter:
    """Writes a part under temporary names, and gives it its names when all is written."""

    def __init__(self, path: Path, suffix: str) -> None:
        self._data_path = _with(path, suffix)
        self._table_path = _with(path, TABLE_SUFFIX)
        self._lines: list[str] = []
        self.length = 0
        """Rows or samples so far."""

    def __enter__(self) -> Self:
        self._data_path.parent.mkdir(parents=True, exist_ok=True)
        self._data = _with(self._data_path, ".new").open("wb")
        return self

    def add(self, values: NDArray[np.generic], *fields: str) -> None:
        """One utterance: its samples or rows, and the fields of its line after its place."""
        self._data.write(values.tobytes())
        self._lines.append("\t".join((str(self.length), str(len(values)), *fields)))
        self.length += len(values)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()
        data_path, table_path = _with(self._data_path, ".new"), _with(self._table_path, ".new")
        if kind is not None:
            data_path.unlink()
            return
        table_path.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")
        self._table_path.unlink(missing_ok=True)  # first, so that no table ever stands beside another part's numbers
        data_path.replace(self._data_path)
        table_path.replace(self._table_path)


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _read_table(path: Path, columns: int) -> list[list[str]]:
    """The lines of a part's table, each checked to follow on the one before. Raises `PartError`."""
    table = _with(path, TABLE_SUFFIX)
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PartError(f"{table} cannot be read ({error}): make the part first.") from error
    if not lines:
        raise PartError(f"{table} is empty: make the part again.")
    rows = [line.split("\t") for line in lines]
    end = 0
    for number, row in enumerate(rows, 1):
        if len(row) != columns or row[0] != str(end) or not row[1].isdecimal():
            raise PartError(f"{table}, line {number} is damaged: make the part again.")
        end += int(row[1])
    return rows


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        if path.stat().st_size != size:
            raise PartError(f"{path} has {path.stat().st_size} bytes, and its table says {size}: make the part again.")
        return np.memmap(path, dtype=dtype, mode="r", shape=shape)
    except (OSError, ValueError) as error:
        raise PartError(f"{path} cannot be read ({error}): make the part again.") from error
