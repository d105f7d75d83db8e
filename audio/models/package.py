"""Gets a model onto this machine, as an archive or a folder, its checksums computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from audio.models import files
from audio.models.archive import ArchiveError
from audio.models.catalogue import Entry
from audio.models.checksum import Checksum, Hasher, hash_file
from audio.models.download import Download, Timing, Wanted, check_space
from audio.models.folder import find_source
from audio.models.manifest import ArchiveRecord
from audio.models.report import Reporter
from audio.models.shelf import Shelf
from audio.models.web import Web

UNPACKED_RATIO: Final = 2
"""Models unpack to less than twice their archive's size; how much it is exactly, the archive says once it is there."""


class Package(Struct, frozen=True, kw_only=True):
    """A model that is on a disk of this machine, and what is known of it so far."""

    path: Path
    source: str
    """The address or path that it came from."""
    archive: ArchiveRecord | None
    """None: it is a folder."""
    name: str | None = None
    language: str | None = None
    kind: str = ""
    version: str = ""


class Fetcher:
    """Gets packages; what it downloads lies below the shelf, which must be locked."""

    def __init__(
        self,
        shelf: Shelf,
        web: Web,
        report: Reporter,
        *,
        timing: Timing | None = None,
        free_bytes: Callable[[Path], int] = files.free_bytes,
    ) -> None:
        self._shelf = shelf
        self._web = web
        self._report = report
        self._timing = timing
        self._free_bytes = free_bytes

    def fetch_entry(self, entry: Entry, name: str, checksum: Checksum | None) -> Package:
        """Download a model of the catalogue; `checksum` is promised besides the catalogue's. Raises `ModelError`."""
        promised = Checksum("md5", entry.md5.lower())
        package = self.fetch(Wanted(name, entry.url, promised, entry.size))
        if checksum is not None:
            _compare(package, checksum)
        return Package(
            path=package.path,
            source=package.source,
            archive=package.archive,
            name=name,
            language=entry.language,
            kind=entry.type,
            version=entry.version,
        )

    def fetch(self, wanted: Wanted) -> Package:
        """Download an archive. Raises `ModelError`."""
        folder = self._shelf.partial_folder
        expected_bytes = wanted.size_bytes or 0
        kept_bytes = next((one.size_bytes for one in self._shelf.unfinished() if one.name == wanted.name), 0)
        missing_bytes = max(0, expected_bytes - kept_bytes)
        check_space(folder, missing_bytes + UNPACKED_RATIO * expected_bytes, self._free_bytes)
        size = f" ({files.readable(expected_bytes)})" if expected_bytes else ""
        self._report.step(f"Downloading {wanted.url}{size}")
        download = Download(wanted, folder, self._web, self._report, timing=self._timing, free_bytes=self._free_bytes)
        path, hasher = download.run()
        return Package(path=path, source=wanted.url, archive=_record(hasher), name=wanted.name)

    def take(self, path: Path, checksum: Checksum | None) -> Package:
        """Take what lies at a path: an archive, a model's folder, or a folder with just one of them.

        Raises `ModelError`.
        """
        found = find_source(path)
        if found.is_dir():
            if checksum is not None:
                raise ArchiveError(f"{found} is a folder; a checksum is that of an archive")
            return Package(path=found, source=str(found.resolve()), archive=None)
        self._report.step(f"Reading {found}")
        try:
            total_bytes = found.stat().st_size
            hasher = hash_file(found, lambda done_bytes: self._report.progress(done_bytes, total_bytes))
        except OSError as error:
            raise ArchiveError(f"{found} cannot be read: {error.strerror or error}") from error
        package = Package(path=found, source=str(found.resolve()), archive=_record(hasher))
        if checksum is not None:
            _compare(package, checksum)
        return package


def _record(hasher: Hasher) -> ArchiveRecord:
    return ArchiveRecord(sha256=hasher.sha256, md5=hasher.md5, size_bytes=hasher.size_bytes)


def _compare(package: Package, checksum: Checksum) -> None:
    found = package.archive and Checksum(checksum.algorithm, getattr(package.archive, checksum.algorithm))
    if found != checksum:
        raise ArchiveError(f"{package.source} is not what was promised: it has {found}")
