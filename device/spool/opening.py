"""The opening of the agent's spool: finish what a power cut interrupted, look the file over, mend it, bring it up."""

import errno
import logging
import os
import sqlite3
import time
from pathlib import Path

from device.spool import files, log_file, rows, schema, takeover
from device.spool.errors import DamagedError, SpoolError
from device.spool.marks import Marks

log = logging.getLogger(__name__)

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


def open_whole(path: Path, marks: Marks, certain: str | None = None) -> sqlite3.Connection:
    """Open a database that is whole: the one at ``path``, or a new one with all that could be saved of it.

    Args:
        path: the database; there may be none.
        marks: how far it had counted, as far as that is known.
        certain: why it is known to be damaged, if it is.

    Raises:
        SpoolError: it cannot be opened; the cause is a full disk, for example, but never damage.
    """
    try:
        _check_rights(path)
        takeover.finish(path)
        is_new = _is_empty(path)
        cause = certain or _damage(path)
        if cause is not None:
            # Marks that count nothing were never written: then only the spool itself can say how far it was.
            known = marks if marks != Marks() else None
            done = takeover.replace(path, known, time.time())
            log.warning(
                "The spool was damaged (%s): %d records were saved, %d known ones are lost; the damaged file is %s",
                cause,
                done.saved,
                done.lost,
                done.kept_at,
            )
        db = schema.connect(path)
        try:
            schema.bring_up(db)
            if is_new and cause is None and marks != Marks():
                _go_on_counting(db, marks)
            path.chmod(files.FILE_MODE)
        except BaseException:
            db.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise SpoolError(
            f"the spool {path} cannot be used: {error}; check the disk, the folder and its rights"
        ) from error
    return db


def has_log(path: Path) -> bool:
    """Tell whether there is a write-ahead log with anything in it."""
    log_path = path.with_name(f"{path.name}-wal")
    return log_path.exists() and log_path.stat().st_size > 0


def _check_rights(path: Path) -> None:
    """Tell a file that may not be used from one that is damaged. Raises `OSError`."""
    for one in (path.parent, path):
        if one.exists() and not os.access(one, os.R_OK | os.W_OK, effective_ids=True):
            is_read_only = os.statvfs(one).f_flag & os.ST_RDONLY
            number = errno.EROFS if is_read_only else errno.EACCES
            raise OSError(number, os.strerror(number), str(one))


def _damage(path: Path) -> str | None:
    """Return what is damaged, if anything is. Neither the database nor its log is changed."""
    try:
        if not _look_at_log(path):
            return None
        _check_header(path)
        db = schema.connect_to_read(path)
        try:
            schema.look_over(db)
        finally:
            db.close()
    except DamagedError as error:
        return str(error)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return f"the disk cannot read it: {error.strerror}"
    return None


def _look_at_log(path: Path) -> bool:
    """Look for damage beside the database; tell whether that is to be looked over, too. Raises `DamagedError`."""
    found = log_file.read(path.with_name(f"{path.name}-wal"))
    if _is_empty(path):
        if found and found.pages:  # SQLite would throw it away
            raise DamagedError("the database is gone, and its write-ahead log is there")
        return False
    if found is not None and found.problem is not None:
        raise DamagedError(found.problem)
    # With a journal its making was interrupted; SQLite takes that back when it opens it.
    return not path.with_name(f"{path.name}-journal").exists()


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0


def _check_header(path: Path) -> None:
    """Check what SQLite would take for a file of another kind, which it then only reads, or not even that."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    ours = (
        len(header) == _HEADER_BYTES
        and header.startswith(_MAGIC)
        and int.from_bytes(header[16:18], "big") == schema.PAGE_BYTES
        and header[18] in (1, 2)
        and header[19] in (1, 2)
        and header[20:24] == bytes((0, 64, 32, 32))
    )
    if not ours:
        raise DamagedError("it does not begin as a database does")


def _go_on_counting(db: sqlite3.Connection, marks: Marks) -> None:
    """A spool that was removed or emptied: the new one must not give the same numbers again."""
    log.warning("The spool is gone with all that was in it; a new one goes on counting where it was")
    db.execute("BEGIN IMMEDIATE")
    rows.set_counter(db, "starts", marks.starts)
    rows.set_counter(db, "sequence", marks.sequence)
    db.execute("COMMIT")
