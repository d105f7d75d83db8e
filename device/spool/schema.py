"""The spool's database: its tables, how it is opened, looked over, and brought up from an earlier version."""

import logging
import sqlite3
from pathlib import Path

from device.spool.errors import DamagedError, may_be_damage

log = logging.getLogger(__name__)

VERSION = 1
"""In SQLite's ``user_version``. Version 0 had neither boots nor the index by state, and never gave room back."""
PAGE_BYTES = 4096
BUSY_S = 10.0
LOG_PAGES = 256
"""The write-ahead log is copied into the database when it has so many pages: it stays at about a megabyte."""

RECORDS = """CREATE TABLE records (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('held', 'waiting', 'refused')),
    sequence INTEGER UNIQUE CHECK ((sequence IS NULL) = (state = 'held')),
    record BLOB NOT NULL,
    message BLOB,
    reason TEXT
)"""
COUNTERS = "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
BOOTS = "CREATE TABLE boots (boot_id TEXT PRIMARY KEY, wall_at_boot_s REAL NOT NULL)"
BY_STATE = "CREATE INDEX records_by_state ON records (state, sequence)"

_VERSIONS = {0: {"records": RECORDS, "counters": COUNTERS}}
_VERSIONS[1] = {**_VERSIONS[0], "boots": BOOTS, "records_by_state": BY_STATE}


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, or make an empty one, such that what is committed survives a power cut.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    db = _connection(str(path), uri=False)
    try:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        # With NORMAL a power cut loses rows that were already acknowledged.
        db.execute("PRAGMA synchronous = FULL")
        # What a visitor takes back shall not lie on in the file.
        db.execute("PRAGMA secure_delete = ON")
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {LOG_PAGES * PAGE_BYTES}")
    except BaseException:
        db.close()
        raise
    return db


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a database that is there, and change nothing: neither it nor its write-ahead log, not even on closing."""
    return _connection(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def connect_to_change(path: Path) -> sqlite3.Connection:
    """Open a database that is there for a second process, which changes rows and nothing else."""
    db = _connection(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    return db


def look_over(db: sqlite3.Connection) -> None:
    """Read the whole database and check that it is one that this version can use.

    Raises:
        DamagedError: it is not.
    """
    try:
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        tables = _tables(db)
        version = version_of(db)
    except sqlite3.Error as error:
        if may_be_damage(error):
            raise DamagedError(str(error)) from error
        raise
    if verdict != "ok":
        raise DamagedError(str(verdict).replace("\n", " "))
    if tables and _VERSIONS.get(version) != tables:
        raise DamagedError(f"its tables are not those that this program makes (version {version})")


def version_of(db: sqlite3.Connection) -> int:
    """Return the version of the tables."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def bring_up(db: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an earlier version up to this one; all of it or nothing."""
    if version_of(db) != VERSION:
        db.execute("BEGIN IMMEDIATE")
        try:
            create(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    if db.execute("PRAGMA auto_vacuum").fetchone() == (0,):
        _make_shrinkable(db)


def create(db: sqlite3.Connection) -> None:
    """Make the tables that are not there yet, within the caller's transaction."""
    there = _tables(db)
    for name, statement in _VERSIONS[VERSION].items():
        if name not in there:
            db.execute(statement)
    db.execute("INSERT OR IGNORE INTO counters VALUES ('starts', 0), ('sequence', 0)")
    db.execute(f"PRAGMA user_version = {VERSION}")


def give_back(db: sqlite3.Connection) -> None:
    """Give pages back to the disk, a few at a time, if more than half of the database is empty."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if free > LOG_PAGES and free > pages // 2:
        # Only a script runs this pragma to its end; `execute` stops after the first page.
        db.executescript(f"PRAGMA incremental_vacuum({LOG_PAGES})")


def _make_shrinkable(db: sqlite3.Connection) -> None:
    """Rewrite a database of version 0 so that it can give pages back; needs room, and can wait for another start."""
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("VACUUM")
    except sqlite3.Error as error:
        log.info("The spool keeps the room that it has on the disk until the next start: %s", error)


def _connection(name: str, *, uri: bool) -> sqlite3.Connection:
    db = sqlite3.connect(name, timeout=BUSY_S, check_same_thread=False, isolation_level=None, uri=uri)
    db.text_factory = lambda text: text.decode("utf-8", errors="replace")
    return db


def _tables(db: sqlite3.Connection) -> dict[str, str]:
    rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'")
    return dict(rows.fetchall())
