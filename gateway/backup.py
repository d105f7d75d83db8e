"""A backup of everything that a gateway on SQLite needs to go on elsewhere, made while it runs; and its restoration."""

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from gateway import state
from gateway.errors import GatewayError

FORMAT = 1
MANIFEST = "manifest.json"
KEYS = (state.SECRET_KEY, state.ENDPOINT_KEYS, "tls/ca.pem", "tls/ca.key", "broker/port")
"""Beside the database. The rest of the state directory is made anew from these."""

UNFINISHED = "restore.unfinished"
MAX_KEY_BYTES = 1_000_000


def make(folder: Path, file: Path, *, now: datetime) -> int:
    """Write a backup of the state directory ``folder`` into a new file; return its size in bytes.

    Raises:
        GatewayError: the file is there already, or something cannot be read or written.
    """
    if file.exists():
        raise GatewayError(f"{file} is there already; name a new file")
    try:
        with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".voiseback-backup-") as scratch:
            copy = Path(scratch) / state.DATABASE
            _copy_database(folder / state.DATABASE, copy)
            _check(copy)
            draft = Path(scratch) / "backup"
            _pack(folder, copy, draft, now)
            size = draft.stat().st_size
            os.link(draft, file)
            state.sync_folder(file.absolute().parent)
    except FileExistsError:
        raise GatewayError(f"{file} is there already; name a new file") from None
    except (OSError, sqlite3.Error) as error:
        raise GatewayError(f"the backup {file} cannot be written: {error}") from None
    return size


def restore(folder: Path, file: Path, *, now: datetime) -> Path | None:
    """Put a backup into the state directory ``folder``, on which no gateway may run; return where the old state went.

    Cut off in the middle, it has to be done again; until then no gateway starts on the folder.

    Raises:
        GatewayError: the file is no backup, is damaged, or something cannot be read or written.
    """
    try:
        with _unpacked(folder, file) as found:
            (folder / UNFINISHED).touch(mode=state.FILE_MODE)
            state.sync_folder(folder)
            kept = _put_aside(folder, folder / f"before-restore-{now:%Y%m%dT%H%M%SZ}")
            for name in (state.DATABASE, *KEYS):
                if (found / name).exists():
                    state.make_folder((folder / name).parent)
                    _move(found / name, folder / name)
        (folder / UNFINISHED).unlink()
        state.sync_folder(folder)
    except (OSError, sqlite3.Error) as error:
        raise GatewayError(f"the backup {file} cannot be restored to {folder}: {error}") from None
    return kept


def check_finished(folder: Path) -> None:
    """Refuse a state directory in which a restoration was cut off.

    Raises:
        GatewayError: it was.
    """
    if (folder / UNFINISHED).exists():
        raise GatewayError(f"a restoration of {folder} was cut off; run `kiosk-gateway restore` again")


def _copy_database(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as running,
        closing(sqlite3.connect(target)) as copy,
    ):
        # In one step: with several, every commit of the running gateway would start it over again.
        running.backup(copy, pages=-1)


def _check(database: Path) -> None:
    with closing(sqlite3.connect(database)) as copy:
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise GatewayError(f"the database is damaged: {said}; restore an older backup")


def _pack(folder: Path, database: Path, draft: Path, now: datetime) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, state.FILE_MODE)
    with os.fdopen(descriptor, "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=6) as archive:
            manifest = json.dumps({"format": FORMAT, "made_at": now.isoformat()}).encode("ascii")
            head = tarfile.TarInfo(MANIFEST)
            head.size = len(manifest)
            archive.addfile(head, io.BytesIO(manifest))
            archive.add(database, state.DATABASE, recursive=False)
            for name in KEYS:
                if (folder / name).exists():
                    archive.add(folder / name, name, recursive=False)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _unpacked(folder: Path, file: Path) -> Iterator[Path]:
    """Give a folder with the files of a backup, which were checked."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as name:
        scratch = Path(name)
        try:
            with tarfile.open(file, "r:gz") as archive:
                _check_manifest(archive, file)
                for entry in (state.DATABASE, *KEYS):
                    _extract(archive, entry, scratch)
        except (tarfile.TarError, EOFError, ValueError, KeyError, OSError) as error:
            raise GatewayError(f"{file} is no backup of a gateway, or is damaged: {error}") from None
        _check(scratch / state.DATABASE)
        yield scratch


def _check_manifest(archive: tarfile.TarFile, file: Path) -> None:
    stream = archive.extractfile(MANIFEST)
    found = json.loads(stream.read(MAX_KEY_BYTES)) if stream is not None else {}
    if found["format"] != FORMAT:
        raise GatewayError(f"{file} was made by a later version of the gateway; install that one first")


def _extract(archive: tarfile.TarFile, name: str, scratch: Path) -> None:
    """Write one file of the archive under its name, whatever the archive says about owner, mode and kind."""
    try:
        entry = archive.getmember(name)
    except KeyError:
        if name == state.DATABASE:
            raise
        return
    stream = archive.extractfile(entry) if entry.isreg() else None
    if stream is None:
        raise ValueError(f"{name} is no file")
    target = scratch / name
    target.parent.mkdir(mode=state.FOLDER_MODE, exist_ok=True)
    with target.open("wb") as written:
        shutil.copyfileobj(stream, written)
        written.flush()
        os.fsync(written.fileno())
    target.chmod(state.FILE_MODE)


def _put_aside(folder: Path, kept: Path) -> Path | None:
    names = (state.DATABASE, f"{state.DATABASE}-wal", f"{state.DATABASE}-shm", *KEYS)
    present = [name for name in names if (folder / name).exists()]
    if not present:
        return None
    for name in present:
        state.make_folder(kept)
        state.make_folder((kept / name).parent)
        (folder / name).replace(kept / name)
    state.sync_folder(kept)
    return kept


def _move(source: Path, target: Path) -> None:
    state.hand_to_owner_of(target.parent, source)
    source.replace(target)
    state.sync_folder(target.parent)
