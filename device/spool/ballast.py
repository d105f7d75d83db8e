"""The ballast: room on the disk that the spool holds for the day on which the disk is full.

SQLite writes before it deletes. On a disk without a free byte it can delete nothing, so no receipt would free any room.
The ballast is a file that is given up then.
"""

import logging
import os
from pathlib import Path

from device.spool import files

log = logging.getLogger(__name__)

BALLAST_BYTES = 4 * 1024 * 1024
"""Room for a full write-ahead log, for the bytes of a window of records, and as much again."""


class Ballast:
    """The file that is given up in need."""

    def __init__(self, spool: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self.size_bytes = size_bytes
        self._path = spool.with_name(f"{spool.name}.ballast")

    def is_there(self) -> bool:
        """Tell whether it can be given up."""
        return self._path.exists()

    def drop(self) -> bool:
        """Give it up; tell whether that freed any room."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def take(self) -> None:
        """Set the room apart if it is not; a disk that does not give it is no failure."""
        if self.is_there():
            return
        aside = self._path.with_name(f".{self._path.name}.new")
        try:
            aside.unlink(missing_ok=True)
            descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.FILE_MODE)
            try:
                os.posix_fallocate(descriptor, 0, self.size_bytes)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            aside.rename(self._path)
        except OSError as error:
            log.debug("No room could be set apart for the spool: %s", error)
            try:
                aside.unlink(missing_ok=True)
            except OSError as left:
                log.debug("What came of it is left behind: %s", left)
