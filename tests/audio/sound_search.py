"""Looks for a certain sound in files and in the memory of processes: samples as they were said, or as Vosk has them."""

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

RUN_SAMPLES: Final = 32
"""So many samples in a row, wherever they lie, are found."""
_WORD_BYTES: Final = 8
_HASH_BITS: Final = 22
_HASH_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_KEY_SAMPLES: Final = 4
"""So many samples are unlike all others; two, as a word has of floats, are not."""
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)")

Bytes = NDArray[np.uint8]


class Run(NamedTuple):
    """Samples in a row, of which no other word of 8 bytes is between."""

    at: int
    """First byte in what was searched."""
    samples: int
    """At least so many; up to seven more at its ends."""
    sample_bytes: int
    """2: 16-bit integers; 4: floats, into which Kaldi converts them."""
    first: int
    """Of the sound's samples."""

    @property
    def end(self) -> int:
        return self.at + self.samples * self.sample_bytes


class SaidSound:
    """16-bit samples that are nowhere alike, as `runs` needs them."""

    def __init__(self, samples: bytes) -> None:
        self._finders = (_Finder(samples, 2), _Finder(samples, 4))

    def runs(self, data: bytes) -> list[Run]:
        """All places in `data` with `RUN_SAMPLES` or more of the sound's samples in a row."""
        found = [
            run._replace(at=run.at + skipped)
            for skipped in (0, 1)  # a file's header may have an odd length
            for finder in self._finders
            for run in finder.runs(np.frombuffer(data, np.uint8)[skipped:])
        ]
        return sorted(found)

    def in_files(self, *folders: Path, but: Path) -> dict[str, list[Run]]:
        """What is found in each file of folders, without those in the folder `but`."""
        files = (file for folder in folders for file in folder.rglob("*"))
        wanted = [file for file in files if file.is_file() and not file.is_relative_to(but)]
        return _found({str(file): self.runs(_contents(file)) for file in wanted})

    def in_descriptors(self, pid: int, *, but: Path) -> dict[str, list[Run]]:
        """What is found in what a process has open: deleted files and files in memory too, and no pipes."""
        found = {}
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(link.readlink())
                if link.is_file() and not Path(target).is_relative_to(but):
                    found[target] = self.runs(_contents(link))
            except FileNotFoundError:  # closed meanwhile
                continue
        return _found(found)

    def in_memory(self, memory: "Memory") -> list[Run]:
        """What is found in the memory of a process, at its addresses."""
        return [run._replace(at=run.at + start) for start, data in memory for run in self.runs(data)]


Memory = list[tuple[int, bytes]]
"""Stretches of a process's memory and their addresses."""


def memory_of(pid: int, *, but: Path) -> Memory:
    """All memory that a process can write, as it is now; without files mapped from the folder `but`."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        return [(start, _read(memory.fileno(), start, end - start)) for start, end in _writable(pid, but)]


class _Finder:
    """Finds the sound in one form. A run of samples covers whole words of 8 bytes.

    Each word, of floats each two words one after the other, make a key of four samples, which is looked up.
    """

    def __init__(self, samples: bytes, sample_bytes: int) -> None:
        values = np.frombuffer(samples, np.int16)
        form = values if sample_bytes == 2 else values.astype(np.float32)
        self._sample_bytes = sample_bytes
        self._step = _WORD_BYTES // sample_bytes
        self._words_of_key = _KEY_SAMPLES // self._step
        self._least_keys = RUN_SAMPLES // self._step - self._words_of_key
        windows = np.lib.stride_tricks.sliding_window_view(form, _KEY_SAMPLES)
        words = np.ascontiguousarray(windows).view(np.uint64)
        keys = _key(*(words[:, number] for number in range(self._words_of_key)))
        order = np.argsort(keys, kind="stable")
        self._keys, self._positions = keys[order], order
        self._is_candidate = np.zeros(1 << _HASH_BITS, dtype=bool)
        self._is_candidate[_hashed(keys)] = True

    def runs(self, data: Bytes) -> list[Run]:
        words = data[: len(data) - len(data) % _WORD_BYTES].view(np.uint64)
        size = max(0, len(words) - self._words_of_key + 1)
        keys = _key(*(words[number : number + size] for number in range(self._words_of_key)))
        candidates = np.flatnonzero(self._is_candidate[_hashed(keys)])
        places = np.minimum(np.searchsorted(self._keys, keys[candidates]), len(self._keys) - 1)
        is_hit = self._keys[places] == keys[candidates]
        at, position = candidates[is_hit], self._positions[places[is_hit]]
        breaks = np.flatnonzero((np.diff(at) != 1) | (np.diff(position) != self._step)) + 1
        edges = [0, *breaks.tolist(), len(at)]
        return [
            Run(int(at[a]) * _WORD_BYTES, self._samples(b - a), self._sample_bytes, int(position[a]))
            for a, b in pairwise(edges)
            if b - a >= self._least_keys
        ]

    def _samples(self, keys: int) -> int:
        return (keys + self._words_of_key - 1) * self._step


def _key(*words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number for the words at each place; for a single word the word itself."""
    key = words[0]
    for word in words[1:]:
        key = key * _HASH_FACTOR + word
    return key


def _hashed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (words * _HASH_FACTOR) >> np.uint64(64 - _HASH_BITS)


def _found(runs: dict[str, list[Run]]) -> dict[str, list[Run]]:
    return {name: found for name, found in runs.items() if found}


def _contents(path: Path) -> bytes:
    """What is in a file, without its holes."""
    parts: list[bytes] = []
    with path.open("rb", buffering=0) as file:
        descriptor, at = file.fileno(), 0
        while True:
            try:
                start = os.lseek(descriptor, at, os.SEEK_DATA)
            except OSError:  # nothing but a hole from here on
                return b"".join(parts)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            parts.append(os.pread(descriptor, at - start, start))


def _writable(pid: int, but: Path) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        match = _MAPPING.fullmatch(line)
        assert match is not None, line
        start, end, rights, name = match.groups()
        if "w" in rights and not name.startswith(str(but)):
            yield int(start, 16), int(end, 16)


def _read(descriptor: int, at: int, size: int) -> bytes:
    try:
        return os.pread(descriptor, size, at)
    except OSError:  # unmapped meanwhile
        return b""
