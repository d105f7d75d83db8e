"""Downloads an archive and goes on where it was interrupted, until its checksum is the promised one."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import requests

from audio.model import ModelError
from audio.models import files
from audio.models.answer import Again, Complete, Never, Take, judge
from audio.models.catalogue import MAX_ARCHIVE_BYTES
from audio.models.checksum import Checksum, Hasher
from audio.models.report import Reporter
from audio.models.web import FAULTS, Web, pieces, why

RESERVE_BYTES: Final = 200 * 1000**2
"""Left free on the disk, for the spool lies on it, too."""
PATIENCE_S: Final = 600.0
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
FRESH_TRIES: Final = 2
"""So often the whole file may come with a wrong checksum."""
RESTARTS: Final = 5
"""So often parts that came may turn out not to belong together."""
_PIECE_BYTES: Final = 32 * 1024
_SPACE_EVERY_BYTES: Final = 8 * 1024**2


class DownloadError(ModelError):
    """A download that did not succeed. One sentence."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be downloaded."""

    name: str
    url: str
    checksum: Checksum
    size_bytes: int | None = None
    """As the catalogue promises it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When to try again, and when to give up."""

    patience_s: float = PATIENCE_S
    """So long it goes on without a single new byte, in seconds."""
    first_s: float = RETRY_FIRST_S
    longest_s: float = RETRY_MAX_S
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random
    """For the jitter: from 0 to 1."""


class _Origin(msgspec.Struct, frozen=True):
    """Where the bytes of a partial download come from."""

    url: str
    checksum: str
    validator: str | None = None
    """The server's mark of the version: a strong ETag, or its Last-Modified."""


class Partial:
    """The part of an archive that is on the disk: `<name>.zip`, and beside it `<name>.origin`."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self.path = folder / f"{wanted.name}.zip"
        self._origin_path = folder / f"{wanted.name}.origin"
        self._origin = _Origin(wanted.url, str(wanted.checksum))
        self.hasher = Hasher()
        kept = self._read_origin()
        if kept is not None and (kept.url, kept.checksum) == (wanted.url, str(wanted.checksum)):
            self._origin = kept
        else:
            self.discard()

    @property
    def validator(self) -> str | None:
        """The mark to send as If-Range."""
        return self._origin.validator

    def open(self) -> BinaryIO:
        """Open it for more bytes, having hashed those that are there."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        self.hasher = Hasher()
        while piece := file.read(_PIECE_BYTES * 32):
            self.hasher.update(piece)
        return file

    def begin(self, file: BinaryIO, validator: str | None) -> None:
        """Begin anew with a version of the server's."""
        file.seek(0)
        file.truncate()
        self.hasher = Hasher()
        self._origin = msgspec.structs.replace(self._origin, validator=validator)
        files.write_atomically(self._origin_path, msgspec.json.encode(self._origin))

    def discard(self) -> None:
        """Forget the bytes."""
        self.path.unlink(missing_ok=True)
        self._origin_path.unlink(missing_ok=True)
        self.hasher = Hasher()
        self._origin = msgspec.structs.replace(self._origin, validator=None)

    def _read_origin(self) -> _Origin | None:
        try:
            return msgspec.json.decode(self._origin_path.read_bytes(), type=_Origin)
        except (OSError, msgspec.DecodeError):
            return None


class Download:
    """One download into `folder`. `free_bytes` says how much space its disk has."""

    def __init__(
        self,
        wanted: Wanted,
        folder: Path,
        web: Web,
        report: Reporter,
        *,
        timing: Timing | None = None,
        free_bytes: Callable[[Path], int] = files.free_bytes,
    ) -> None:
        self._wanted = wanted
        self._web = web
        self._report = report
        self._timing = timing or Timing()
        self._free_bytes = free_bytes
        self._folder = folder
        self._partial = Partial(folder, wanted)
        self._most_bytes = 0
        self._progress_s = self._timing.monotonic()
        self._wrong = 0
        self._restarts = 0
        self._tries = 0

    def run(self) -> tuple[Path, Hasher]:
        """The archive on the disk, complete, and its checksums. Raises `DownloadError`; the part that came stays."""
        try:
            with self._partial.open() as file:
                while True:
                    again = self._try(file)
                    if again is None:
                        return self._partial.path, self._partial.hasher
                    self._wait(again)
        except OSError as error:
            raise DownloadError(f"{self._partial.path} cannot be written: {error.strerror or error}") from error
        finally:
            if not self._partial.hasher.size_bytes:
                self._partial.discard()

    def _try(self, file: BinaryIO) -> Again | None:
        """One request; None when the archive is there."""
        have_bytes = self._partial.hasher.size_bytes
        if have_bytes and self._is_right():
            return None
        limit_bytes = self._wanted.size_bytes or MAX_ARCHIVE_BYTES
        if have_bytes >= limit_bytes:
            return self._judge_whole(file, was_fresh=False)
        try:
            with self._web.get(self._wanted.url, self._range(have_bytes)) as response:
                verdict = judge(response.status_code, response.headers, have_bytes, datetime.now(UTC))
                match verdict:
                    case Never(reason=reason):
                        raise DownloadError(f"{self._wanted.url} cannot be downloaded: {reason}")
                    case Again(fresh=True):
                        self._partial.begin(file, None)
                        return verdict
                    case Again():
                        return verdict
                    case Complete():
                        return self._judge_whole(file, was_fresh=False)
                    case Take():
                        return self._take(file, response, verdict)
        except FAULTS as error:
            # A server that promised more bytes than the archive has is forgiven.
            return None if self._is_right() else Again(why(error))

    def _range(self, have_bytes: int) -> dict[str, str]:
        if not have_bytes:
            return {}
        condition = {"If-Range": self._partial.validator} if self._partial.validator else {}
        return {"Range": f"bytes={have_bytes}-", **condition}

    def _take(self, file: BinaryIO, response: requests.Response, take: Take) -> Again | None:
        if take.start == 0:
            self._partial.begin(file, _validator(response))
        total_bytes = self._wanted.size_bytes or take.total_bytes
        self._check_space((total_bytes or 0) - take.start)
        limit_bytes = self._wanted.size_bytes or MAX_ARCHIVE_BYTES
        unchecked_bytes = 0
        for piece in pieces(response, _PIECE_BYTES):
            if self._partial.hasher.size_bytes + len(piece) > limit_bytes:
                self._partial.begin(file, None)
                return self._count_wrong(f"it sends more than {limit_bytes} bytes")
            self._write(file, piece)
            unchecked_bytes += len(piece)
            if unchecked_bytes >= _SPACE_EVERY_BYTES:
                unchecked_bytes = 0
                self._check_space(0)
            self._report.progress(self._partial.hasher.size_bytes, total_bytes)
        if self._partial.hasher.size_bytes < (self._wanted.size_bytes or 0):
            return Again("the server ended the file before all had come")
        return self._judge_whole(file, was_fresh=take.start == 0)

    def _write(self, file: BinaryIO, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]
        self._partial.hasher.update(piece)
        if self._partial.hasher.size_bytes > self._most_bytes:
            self._most_bytes = self._partial.hasher.size_bytes
            self._progress_s = self._timing.monotonic()
            self._tries = 0

    def _is_right(self) -> bool:
        return self._partial.hasher.of(self._wanted.checksum.algorithm) == self._wanted.checksum

    def _judge_whole(self, file: BinaryIO, *, was_fresh: bool) -> Again | None:
        if self._is_right():
            return None
        found = self._partial.hasher.of(self._wanted.checksum.algorithm)
        self._partial.begin(file, None)
        if was_fresh:
            return self._count_wrong(f"its {found} is not the promised {self._wanted.checksum.value}")
        # Parts of two versions, or bytes that the disk has lost.
        return Again("what came in parts has a wrong checksum", fresh=True)

    def _count_wrong(self, reason: str) -> Again:
        self._wrong += 1
        if self._wrong >= FRESH_TRIES:
            self._partial.discard()
            raise DownloadError(
                f"{self._wanted.url} is not what was promised, {self._wrong} times: {reason}; nothing was installed"
            )
        return Again(reason, fresh=True)

    def _check_space(self, needed_bytes: int) -> None:
        check_space(self._folder, needed_bytes, self._free_bytes)

    def _wait(self, again: Again) -> None:
        timing = self._timing
        if again.fresh:
            self._most_bytes = 0
            self._restarts += 1
        if self._restarts > RESTARTS:
            raise DownloadError(f"{self._wanted.url} cannot be downloaded: {again.reason}, {self._restarts} times")
        if timing.monotonic() - self._progress_s > timing.patience_s:
            kept_bytes = self._partial.hasher.size_bytes
            kept = f" (the {files.readable(kept_bytes)} that came are kept)" if kept_bytes else ""
            raise DownloadError(
                f"{self._wanted.url} cannot be downloaded: {again.reason}; nothing new came for "
                f"{timing.patience_s:g} s; try the same command again later{kept}"
            )
        ceiling_s = min(timing.longest_s, timing.first_s * 2.0 ** min(self._tries, 16))
        self._tries += 1
        jittered_s = ceiling_s * (0.5 + 0.5 * timing.draw())
        wait_s = max(jittered_s, again.after_s * (1 + 0.1 * timing.draw()))
        what = "Beginning anew" if again.fresh else "Going on"
        self._report.step(f"{what} in {wait_s:.0f} s: {again.reason} (Ctrl-C stops, and what came is kept)")
        timing.sleep(wait_s)


def check_space(folder: Path, needed_bytes: int, free_bytes: Callable[[Path], int] = files.free_bytes) -> None:
    """Raises `DownloadError` if the disk has less space than is needed and kept in reserve."""
    free = free_bytes(folder)
    if free < needed_bytes + RESERVE_BYTES:
        raise DownloadError(
            f"the disk of {folder} has {files.readable(free)} left, and {files.readable(needed_bytes + RESERVE_BYTES)} "
            f"are needed ({files.readable(RESERVE_BYTES)} of them stay free for the kiosk); remove a model that is not "
            "used, see: kiosk model list"
        )


def _validator(response: requests.Response) -> str | None:
    tag: str | None = response.headers.get("ETag")
    if tag and not tag.startswith("W/") and len(tag) < 200:
        return tag
    modified: str | None = response.headers.get("Last-Modified")
    return modified if modified and len(modified) < 100 else None
