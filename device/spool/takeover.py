"""A new spool in the place of a damaged one, such that a power cut at any moment leaves one of the two.

    1. The damaged file and its log get second names in a folder of their own, where they are kept.
    2. What can be read of them is written into a new file; when that is whole on the disk, it is named ``.new``.
    3. The damaged file's log goes, for it must never be applied to the new one; then the new one takes the name.

A cut before the end of step 2 makes the next start begin again; one after it makes the next start finish step 3.
"""

import logging
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from device.spool import files, salvage
from device.spool.marks import Marks
from device.spool.pages import Image

log = logging.getLogger(__name__)

KEPT = 3
"""Damaged spools that are kept, the newest."""
SIDES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """What was made of a damaged spool."""

    saved: int
    lost: int
    """Records that are known to have been there."""
    kept_at: Path
    """The damaged file."""


def damaged_folder(spool: Path) -> Path:
    """Return the folder of the damaged spools that are kept."""
    return spool.with_name(f"{spool.name}.damaged")


def replace(spool: Path, marks: Marks | None, wall_s: float) -> Salvage:
    """Set a damaged spool aside and put a new one with all that can be read in its place; nobody may have it open.

    Raises:
        OSError, sqlite3.Error: there is no room, or the disk does not work; the damaged spool is where it was.
    """
    kept_at = _set_aside(spool, wall_s)
    building = _beside(spool, "building")
    _clear(building)
    with Image(kept_at, _side(kept_at, "-wal")) as image:
        findings = salvage.search(image)
        try:
            salvage.write(building, image, findings, salvage.counters_after(findings, marks))
        except BaseException:
            _clear(building)
            raise
    building.chmod(files.FILE_MODE)
    files.sync_file(building)
    building.rename(_beside(spool, "new"))
    files.sync_folder(spool.parent)
    finish(spool)
    _forget_oldest(damaged_folder(spool))
    return Salvage(len(findings.records), findings.lost, kept_at)


def finish(spool: Path) -> None:
    """Let a new spool that is whole take the name; clear away one that is not."""
    new = _beside(spool, "new")
    if new.exists():
        for side in SIDES:
            _side(spool, side).unlink(missing_ok=True)
        files.sync_folder(spool.parent)
        new.rename(spool)
        files.sync_folder(spool.parent)
    _clear(_beside(spool, "building"))


def _set_aside(spool: Path, wall_s: float) -> Path:
    """Give the damaged files their second names; return that of the database."""
    folder = damaged_folder(spool)
    folder.mkdir(mode=files.FOLDER_MODE, exist_ok=True)
    numbers = _numbers(folder)
    if numbers:
        # A cut in the midst of an earlier attempt has left the very same file there.
        latest = folder / numbers[max(numbers)] / spool.name
        if latest.exists() and spool.exists() and latest.samefile(spool):
            return latest
    moment = datetime.fromtimestamp(max(wall_s, 0.0), UTC).strftime("%Y%m%dT%H%M%SZ")
    own = folder / f"{max(numbers, default=0) + 1}-{moment}"
    own.mkdir(mode=files.FOLDER_MODE)
    for side in (*SIDES, ""):
        if _side(spool, side).exists():
            _name_again(_side(spool, side), _side(own / spool.name, side))
    files.sync_folder(own)
    files.sync_folder(folder)
    files.sync_folder(spool.parent)
    return own / spool.name


def _name_again(path: Path, name: Path) -> None:
    try:
        os.link(path, name)
    except OSError as error:
        log.debug("A second name is not possible here, so it is copied: %s", error)
        shutil.copyfile(path, name)
        name.chmod(files.FILE_MODE)
        files.sync_file(name)


def _forget_oldest(folder: Path) -> None:
    numbers = _numbers(folder)
    for number in sorted(numbers)[:-KEPT]:
        try:
            shutil.rmtree(folder / numbers[number])
        except OSError as error:
            log.debug("An old damaged spool is not removed: %s", error)


def _numbers(folder: Path) -> dict[int, str]:
    names = [path.name for path in folder.iterdir()]
    return {int(name.split("-")[0]): name for name in names if name.split("-")[0].isdecimal()}


def _clear(path: Path) -> None:
    for side in ("", *SIDES):
        _side(path, side).unlink(missing_ok=True)


def _beside(spool: Path, what: str) -> Path:
    return spool.with_name(f"{spool.name}.{what}")


def _side(path: Path, side: str) -> Path:
    return path.with_name(path.name + side)
