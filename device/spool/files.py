"""The rights of the spool's files, for the agent's user alone, and how they are flushed to the disk."""

import os
from pathlib import Path

from audio.models.files import sync_folder, write_atomically

__all__ = ["FILE_MODE", "FOLDER_MODE", "sync_file", "sync_folder", "write_atomically"]

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def sync_file(path: Path) -> None:
    """Flush what was written to a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
