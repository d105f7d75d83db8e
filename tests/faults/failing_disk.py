"""A disk that fails on demand, for one process: a library that is preloaded into it (`failing_disk.c`)."""

import subprocess
from enum import Enum
from pathlib import Path

SOURCE = Path(__file__).with_name("failing_disk.c")


class Fault(Enum):
    """What fails; the value is what `failing_disk.c` reads."""

    FULL = "F"
    FULL_MIDWAY = "P"
    """The disk is full when half of a write is done."""
    READ_ONLY = "R"
    WRITING = "W"
    FLUSHING = "S"
    """Bytes are taken, and the flush that should make them safe fails."""


def build(folder: Path) -> Path:
    """Compile the library into ``folder`` and return it."""
    library = folder / "failing_disk.so"
    command = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


class FailingDisk:
    """The disk below ``below`` as a process sees it that runs in `environment`."""

    def __init__(self, folder: Path, library: Path, below: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._switch = folder / "switch"
        self._switch.write_bytes(b"-")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAILING_DISK_BELOW": str(below),
            "FAILING_DISK_SWITCH": str(self._switch),
        }

    def fail(self, fault: Fault) -> None:
        """From now on it fails."""
        self._set(fault.value)

    def heal(self) -> None:
        """From now on it works."""
        self._set("-")

    def _set(self, kind: str) -> None:
        # The same file all the time: the process has it mapped.
        with self._switch.open("r+b") as file:
            file.write(kind.encode())
