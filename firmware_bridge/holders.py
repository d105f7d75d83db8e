"""Holders: which other processes have a port open, as far as this process may know."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TERMINAL_MASTERS = frozenset({"/dev/ptmx", "/dev/pts/ptmx"})


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open."""

    name: str
    pid: int

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def holders(path: str, *, proc: Path = PROC) -> tuple[Holder, ...]:
    """Return the processes, other than this one, that have the device behind `path` open.

    A process of another user is seen by root alone, so none is no proof. A program that is the far end of a
    pseudo-terminal, as a virtual panel is, does not hold it.
    """
    device = os.path.realpath(path)
    numbers = [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
    others = sorted(number for number in numbers if number != os.getpid())
    return tuple(
        Holder(_name(proc / str(number)), number) for number in others if _has_open(proc / str(number), device)
    )


def _has_open(process: Path, device: str) -> bool:
    files = dict(_open_files(process))
    return device in files.values() and not _is_far_end(process, files, device)


def _open_files(process: Path) -> Iterator[tuple[str, str]]:
    # It may end, or belong to another user, at any of these steps.
    with contextlib.suppress(OSError):
        for file in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield file.name, str(file.readlink())


def _is_far_end(process: Path, files: dict[str, str], device: str) -> bool:
    index = device.removeprefix("/dev/pts/")
    for number, target in files.items():
        if target in TERMINAL_MASTERS:
            with contextlib.suppress(OSError):
                if ["tty-index:", index] in map(str.split, (process / "fdinfo" / number).read_text().splitlines()):
                    return True
    return False


def _name(process: Path) -> str:
    try:
        name = (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a program"
    # A program chooses its own name, and this one goes into logs.
    return "".join(char if char.isprintable() else "?" for char in name)
