"""Unpacked models in folders from anywhere, a USB stick for example; links in them are not followed."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from audio.models.archive import MAX_UNPACKED_BYTES, ArchiveError
from audio.models.layout import NAMES, Parts


class Folder:
    """A folder that is a model. Raises `ArchiveError`."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            self._root = path.resolve()
            found = {name: self._size(tuple(name.split("/"))) for name in NAMES}
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
        self._sizes = {(self._root.name, *name.split("/")): size for name, size in found.items() if size is not None}
        if sum(self._sizes.values()) > MAX_UNPACKED_BYTES:
            raise ArchiveError(f"{path} has more than {MAX_UNPACKED_BYTES} bytes")

    @property
    def paths(self) -> frozenset[Parts]:
        """Where files lie in it, from the name of the model's own folder on."""
        return frozenset(self._sizes)

    def size_bytes(self, parts: Parts) -> int:
        """A file's size."""
        return self._sizes[parts]

    def open(self, parts: Parts) -> BinaryIO:
        """A file's content. Raises `OSError`."""
        descriptor = os.open(self._root.joinpath(*parts[1:]), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return os.fdopen(descriptor, "rb")

    def _size(self, parts: Parts) -> int | None:
        path = self._root
        for part in parts:
            path /= part
            try:
                status = path.lstat()
            except FileNotFoundError:
                return None
            is_right = stat.S_ISREG if part == parts[-1] else stat.S_ISDIR
            if not is_right(status.st_mode):
                raise ArchiveError(f"{path} is a link or another thing that is no file; copy the model itself")
        return status.st_size


def find_source(path: Path) -> Path:
    """What is meant by a path: the archive or the model that it is, or the only one in this folder.

    Raises `ArchiveError` if there is none, or more than one.
    """
    try:
        if path.is_file() or _is_model(path):
            return path
        if not path.is_dir():
            raise ArchiveError(f"there is no file and no folder {path}")
        found = [entry for entry in sorted(path.iterdir()) if _is_model(entry) or _is_archive(entry)]
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(entry.name for entry in found[:8])
        raise ArchiveError(f"{path} has {len(found)} models in it, name one of them: {names}")
    raise ArchiveError(f"{path} has no model in it, neither unpacked (a folder with am/final.mdl) nor as a zip archive")


def _is_model(path: Path) -> bool:
    return (path / "am" / "final.mdl").is_file() or (path / "final.mdl").is_file()


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()
