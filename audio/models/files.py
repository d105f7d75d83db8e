"""Files and folders that a power cut leaves either old or new: written aside, flushed to the disk, then renamed."""

import os
import shutil
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755
"""Models are no secrets, and whoever installs them is often not the user that the kiosk runs as."""


def make_folder(path: Path) -> None:
    """Make a folder that everybody may read, whatever the process's mask is; its parents must exist."""
    path.mkdir(exist_ok=True)
    path.chmod(FOLDER_MODE)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Flush the names in a folder and in all folders below it to the disk; the files' contents are flushed already."""
    for folder, _, _ in os.walk(path):
        sync_folder(Path(folder))


def write_atomically(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Write a file so that there is, at every moment, the old one or the new one under its name."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """Space that is left on the disk of a path for this user, in bytes; the path, or a folder above it, must exist."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def readable(size_bytes: float) -> str:
    """A size for people, in decimal units as disks are sold: `41.2 MB`."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
