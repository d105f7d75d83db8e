"""Copies what Vosk reads of a model out of an archive or a folder, each file flushed to the disk and hashed."""

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from audio.models import files
from audio.models.archive import ArchiveError
from audio.models.checksum import Hasher
from audio.models.layout import CONFIGURATION_NAME, FLAT_CONFIGURATION, Arrangement, Parts
from audio.models.manifest import FileRecord

_PIECE_BYTES: Final = 256 * 1024


class Contents(Protocol):
    """An open archive or a folder."""

    @property
    def where(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def paths(self) -> frozenset[Parts]:
        """Where files lie in it."""
        ...

    def size_bytes(self, parts: Parts) -> int:
        """A file's size, unpacked."""
        ...

    def open(self, parts: Parts) -> BinaryIO:
        """A file's content."""
        ...


def unpacked_bytes(contents: Contents, arrangement: Arrangement) -> int:
    """What the model will take on the disk."""
    return sum(map(contents.size_bytes, arrangement.files))


def unpack(
    contents: Contents, arrangement: Arrangement, target: Path, report: Callable[[int], None] = lambda _: None
) -> dict[str, FileRecord]:
    """Copy the model into `target`, a new folder; the records of its files by their names.

    Every name that is written is one of `layout.FILES`, whatever the names in the archive are. `report` gets the bytes
    so far. Raises `ArchiveError`.
    """
    records: dict[str, FileRecord] = {}
    done_bytes = 0
    try:
        files.make_folder(target)
        for parts, name in sorted(arrangement.files.items()):
            _make_parents(target, name)
            size_bytes = contents.size_bytes(parts)
            before_bytes = done_bytes

            def told(copied_bytes: int, before_bytes: int = before_bytes) -> None:
                report(before_bytes + copied_bytes)

            records[name] = _copy(contents, parts, size_bytes, target / name, told)
            done_bytes += size_bytes
        if arrangement.is_flat:
            records[CONFIGURATION_NAME] = _write_configuration(target)
        files.sync_tree(target)
    except OSError as error:
        raise ArchiveError(f"{contents.where} could not be unpacked: {error.strerror or error}") from error
    return records


def _make_parents(target: Path, name: str) -> None:
    folder = target
    for part in name.split("/")[:-1]:
        folder /= part
        files.make_folder(folder)


def _copy(contents: Contents, parts: Parts, size_bytes: int, target: Path, report: Callable[[int], None]) -> FileRecord:
    shown = "/".join(parts)
    hasher = Hasher()
    try:
        with contents.open(parts) as source, _create(target) as file:
            while piece := source.read(_PIECE_BYTES):
                hasher.update(piece)
                file.write(piece)
                report(hasher.size_bytes)
            file.flush()
            os.fsync(file.fileno())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{shown} in {contents.where} is damaged: {error}") from error
    if hasher.size_bytes != size_bytes:
        raise ArchiveError(f"{shown} in {contents.where} has {hasher.size_bytes} bytes instead of {size_bytes}")
    return FileRecord(sha256=hasher.sha256, size_bytes=hasher.size_bytes)


def _write_configuration(target: Path) -> FileRecord:
    _make_parents(target, CONFIGURATION_NAME)
    files.write_atomically(target / CONFIGURATION_NAME, FLAT_CONFIGURATION)
    hasher = Hasher()
    hasher.update(FLAT_CONFIGURATION)
    return FileRecord(sha256=hasher.sha256, size_bytes=hasher.size_bytes)


def _create(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    os.fchmod(descriptor, files.FILE_MODE)
    return os.fdopen(descriptor, "wb")
