"""Zip archives from anywhere, read so that none can harm: names, sizes, ratios and kinds are checked before any use."""

import io
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from audio.model import ModelError
from audio.models.layout import Parts

MAX_FILES: Final = 1000
MAX_UNPACKED_BYTES: Final = 32 * 1024**3
MAX_RATIO: Final = 100
"""The files of a model shrink to a half or a third; a zip bomb to a thousandth."""
RATIO_FROM_BYTES: Final = 1024**2
"""Below this a file of zeros harms nobody."""
MAX_DIRECTORY_BYTES: Final = 1024**2
"""The list of files at the archive's end: a thousand names need a tenth of it."""
MAX_PART_BYTES: Final = 255
MAX_DEPTH: Final = 8

_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
"""Flags of an encrypted file, of strong encryption, and of an encrypted list (APPNOTE.TXT, 4.4.4)."""
_DEVICES: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE | re.DOTALL
)


class ArchiveError(ModelError):
    """An archive or a folder that is not taken. One sentence."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file or folder as an archive's list has it."""

    name: str
    """Folders end in a slash."""
    size_bytes: int
    packed_bytes: int
    flags: int = 0
    method: int = zipfile.ZIP_DEFLATED
    mode: int = 0
    """Type and rights as Unix has them; 0 if the archive does not say."""


def safe_parts(name: str) -> Parts:
    """Split a file's name; raises `ValueError` (a few words) for one that could lead out of a folder, on any system."""
    if not name or "\x00" in name or any(unicodedata.category(char) in {"Cc", "Cs"} for char in name):
        raise ValueError("it is empty or has control characters")
    if "\\" in name or ":" in name:
        raise ValueError("it has a backslash or a drive letter")
    if name.startswith("/"):
        raise ValueError("it is absolute")
    parts = tuple(name.removesuffix("/").split("/"))
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"it is more than {MAX_DEPTH} folders deep")
    for part in parts:
        if part in {"", ".", ".."}:
            raise ValueError("it has an empty part, '.' or '..'")
        if part != part.strip(" ").rstrip("."):
            raise ValueError("a part of it begins or ends with a space, or ends with a dot")
        if len(part.encode("utf-8")) > MAX_PART_BYTES:
            raise ValueError("it is too long")
        if _DEVICES.fullmatch(part):
            raise ValueError("it is the name of a device")
    return parts


def check(listed: Iterable[Listed], archive_bytes: int) -> dict[Parts, Listed]:
    """The files of an archive of `archive_bytes`, by where they lie. Raises `ArchiveError` if only one is amiss."""
    taken: dict[Parts, Listed] = {}
    kinds: dict[Parts, bool] = {}
    unpacked_bytes = packed_bytes = 0
    for number, item in enumerate(listed, 1):
        if number > MAX_FILES:
            raise ArchiveError(f"it has more than {MAX_FILES} files")
        parts = _checked(item)
        is_folder = item.name.endswith("/")
        _place(parts, is_folder, kinds)
        unpacked_bytes += item.size_bytes
        packed_bytes += item.packed_bytes
        if not is_folder:
            taken[parts] = item
    if unpacked_bytes > MAX_UNPACKED_BYTES:
        raise ArchiveError(f"it would unpack to {unpacked_bytes} bytes, more than {MAX_UNPACKED_BYTES}")
    if packed_bytes > archive_bytes:
        raise ArchiveError("its files overlap, as in a zip bomb")
    if unpacked_bytes > max(RATIO_FROM_BYTES, MAX_RATIO * archive_bytes):
        raise ArchiveError(f"it would unpack to more than {MAX_RATIO} times its size, as a zip bomb does")
    return taken


def _checked(item: Listed) -> Parts:
    shown = item.name[:80]
    try:
        parts = safe_parts(item.name)
    except ValueError as error:
        raise ArchiveError(f"the name {shown!r} in it is refused: {error}") from None
    kind = stat.S_IFMT(item.mode)
    if kind not in {0, stat.S_IFDIR if item.name.endswith("/") else stat.S_IFREG}:
        raise ArchiveError(f"{shown!r} in it is a link or another thing that is no file")
    if item.flags & _ENCRYPTED:
        raise ArchiveError(f"{shown!r} in it is encrypted")
    if item.method not in _METHODS:
        raise ArchiveError(f"{shown!r} in it is packed by method {item.method}; only 'stored' and 'deflated' are taken")
    if item.size_bytes > max(RATIO_FROM_BYTES, MAX_RATIO * item.packed_bytes):
        raise ArchiveError(f"{shown!r} in it would unpack to more than {MAX_RATIO} times its size, as in a zip bomb")
    return parts


def _place(parts: Parts, is_folder: bool, kinds: dict[Parts, bool]) -> None:
    """Note a name as every file system would: without regard to case or to how its accents are written."""
    folded = tuple(unicodedata.normalize("NFKC", part).casefold() for part in parts)
    for depth in range(1, len(folded)):
        if not kinds.setdefault(folded[:depth], True):
            raise ArchiveError(f"{'/'.join(parts)[:80]!r} in it lies below a file")
    if folded in kinds and not (is_folder and kinds[folded]):
        raise ArchiveError(f"{'/'.join(parts)[:80]!r} is in it more than once")
    kinds[folded] = is_folder


class _BoundedFile(io.FileIO):
    """Refuses to read more at once than a list of files may have: `zipfile` reads the whole list in one go."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if size > MAX_DIRECTORY_BYTES:
            raise ArchiveError(f"its list of files has more than {MAX_DIRECTORY_BYTES // 1024} kB")
        return super().read(size) or b""


class Archive:
    """An open zip archive whose list was checked. Raises `ArchiveError`. To be used as a context."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            self._file = _BoundedFile(path)
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
        try:
            self._zip = zipfile.ZipFile(self._file)
            self._files = check(map(_listed, self._zip.infolist()), path.stat().st_size)
        except ArchiveError as error:
            self._file.close()
            raise ArchiveError(f"{path} is not unpacked: {error}") from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            self._file.close()
            raise ArchiveError(f"{path} is no zip archive, or it is cut off: {error}") from error
        except OSError as error:
            self._file.close()
            raise ArchiveError(f"{path} cannot be read: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._file.close()

    @property
    def paths(self) -> frozenset[Parts]:
        """Where files lie in it."""
        return frozenset(self._files)

    def size_bytes(self, parts: Parts) -> int:
        """A file's size, unpacked."""
        return self._files[parts].size_bytes

    def open(self, parts: Parts) -> BinaryIO:
        """A file's content. Reading raises `OSError` or `zipfile.BadZipFile` for what is damaged."""
        return self._zip.open(self._files[parts].name)  # type: ignore[return-value]


def _listed(info: zipfile.ZipInfo) -> Listed:
    # `filename` is cut at a NUL; the name as it stands in the archive is not.
    name = info.orig_filename
    return Listed(
        name, info.file_size, info.compress_size, info.flag_bits, info.compress_type, info.external_attr >> 16
    )
