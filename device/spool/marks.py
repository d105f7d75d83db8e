"""The marks: a small file beside the spool that says how far it has counted, for the day on which it cannot say so.

A start or a sequence number that is given twice would make the gateway take something new for something old. The marks
are written before a number is given, in blocks, so that they cost one write in a thousand records.
"""

import logging
import zlib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from device.spool import files

log = logging.getLogger(__name__)

BLOCK = 1_000
"""Sequence numbers that are set apart by one write."""
JUMP = 1_000_000
"""Added to the sequence when neither the spool nor its marks say how far it was: more than a kiosk gives in years."""
JUMP_STARTS = 1_000
"""The same for the starts."""

_Count = Annotated[int, Meta(ge=0, le=2**52)]


class Marks(msgspec.Struct, frozen=True):
    """How far a spool has counted."""

    starts: _Count = 0
    sequence: _Count = 0
    """No number above it was given."""
    in_use: bool = False
    """An agent has begun on this spool and has not closed it."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    marks: Marks
    check: int


def path_of(spool: Path) -> Path:
    """Return where the marks of a spool lie."""
    return spool.with_name(f"{spool.name}.marks")


def read(path: Path) -> Marks | None:
    """Return the marks; None if there are none, or none that can be trusted."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return file.marks if file.check == _check(file.marks) else None


def write(path: Path, marks: Marks) -> bool:
    """Write the marks durably; tell whether that was possible. Without them the spool works all the same."""
    try:
        files.write_atomically(path, msgspec.json.encode(_File(marks, _check(marks))), files.FILE_MODE)
    except OSError as error:
        log.debug("The marks of the spool could not be written: %s", error)
        return False
    return True


def _check(marks: Marks) -> int:
    return zlib.crc32(msgspec.json.encode(marks))
