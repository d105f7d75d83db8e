"""An ext4 file system on a disk whose power can be cut, mounted through a loop device. Needs root."""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.faults.disk import Disk, Image, Remains, image_of
from tests.faults.fuse_file import FuseFile

SIZE_BYTES = 96 * 1024 * 1024
"""Of which almost nothing is ever written; the spool wants to see room on its disk."""

RELEASED_S = 10.0


class Mounted:
    """The file system at `path` from its making until `close`. Mounting replays its journal."""

    def __init__(self, image: Image) -> None:
        # Not in the folder of a test: who clears that up cannot remove what a killed test has left mounted.
        self._folder = Path(tempfile.mkdtemp(prefix="voiseback-disk-"))
        self.path = self._folder / "disk"
        self.path.mkdir()
        self._disk = Disk(SIZE_BYTES, image)
        self._file = FuseFile(self._folder / "disk.img", self._disk)
        try:
            _run("mount", "-o", "loop", self._file.path, self.path)
        except OSError:
            self._file.close()
            shutil.rmtree(self._folder)
            raise

    def cut(self, remains: Remains, chance: random.Random) -> Image:
        """Return what a power cut at this instant would leave."""
        return self._disk.cut(remains, chance)

    def break_disk(self) -> None:
        """From now on the disk takes nothing any more."""
        self._disk.is_broken = True

    def close(self) -> None:
        """Unmount everything, once those have ended who still use it; a loop device is let go a little later."""
        _once_free(lambda: _run("umount", self.path))
        _once_free(self._file.close)
        shutil.rmtree(self._folder)


@cache
def fresh_image() -> Image:
    """Return an empty ext4 file system."""
    with tempfile.NamedTemporaryFile() as file:
        os.truncate(file.name, SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", file.name)
        return image_of(Path(file.name).read_bytes())


def is_clean(image: Image) -> str | None:
    """Return what the file system's own checker finds wrong after the replay of the journal; None if it is clean."""
    with tempfile.NamedTemporaryFile() as file:
        os.truncate(file.name, SIZE_BYTES)
        for number, data in image.items():
            os.pwrite(file.fileno(), data, number * len(data))
        done = _checker(file.name)
        return None if done.returncode == 0 else done.stdout


@cache
def why_not() -> str | None:
    """Return why power cannot be cut on this machine, or None if it can."""
    if os.geteuid() != 0:
        return "cutting the power needs root, to mount a file system"
    for program in ("mkfs.ext4", "e2fsck", "mount", "umount"):
        if shutil.which(program) is None:
            return f"cutting the power needs {program}"
    try:
        Mounted(fresh_image()).close()
    except OSError as error:
        return f"cutting the power needs FUSE and loop devices: {error}"
    return None


def _once_free(unmount: Callable[[], None]) -> None:
    deadline_s = time.monotonic() + RELEASED_S
    while True:
        try:
            return unmount()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def _checker(path: str) -> "subprocess.CompletedProcess[str]":
    subprocess.run(["e2fsck", "-p", "-E", "journal_only", path], capture_output=True, check=False)
    return subprocess.run(["e2fsck", "-f", "-n", path], capture_output=True, text=True, check=False)


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{command[0]} failed: {done.stderr.strip()}")
