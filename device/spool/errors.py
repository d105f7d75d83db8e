"""What goes wrong with a spool, told apart: damage, a full disk, and the rest."""

import errno
import sqlite3

_CERTAIN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
# The statements are fixed, so an error in one of them means that the tables are not what they were.
_LIKELY = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})
_LIKELY_EXTENDED = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
        sqlite3.SQLITE_READONLY_DBMOVED,
    }
)
_DISK = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)


class SpoolError(RuntimeError):
    """The spool cannot be opened, read or written; the text says why."""


class DamagedError(Exception):
    """The spool's file is no whole database; the text says what is wrong with it."""


def code(error: sqlite3.Error) -> int:
    """Return SQLite's extended result code; 0 where Python itself complains."""
    found: int = getattr(error, "sqlite_errorcode", 0)
    return found


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file is certainly no whole database."""
    return code(error) & 0xFF in _CERTAIN


def may_be_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file should be looked over."""
    number = code(error)
    return number & 0xFF in _CERTAIN or number in _LIKELY or number in _LIKELY_EXTENDED


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Tell whether the disk did not take a write: it is full, read-only or broken."""
    return code(error) & 0xFF in _DISK


def is_full(error: BaseException) -> bool:
    """Tell whether there was no room on the disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # The file of the log's index is not grown by a plain write, and says so in its own way.
    full = (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_CANTOPEN)
    return isinstance(error, sqlite3.Error) and (code(error) & 0xFF == sqlite3.SQLITE_FULL or code(error) in full)
