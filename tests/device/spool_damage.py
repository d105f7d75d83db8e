"""A spool with records of every kind, the damage that is done to it, and which records that damage spares."""

import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from contract.messages import Word
from device.record import Record
from device.spool import Outcome, Spool
from tests.device.records import a_record

PAGE = 4096


def a_long_record(name: str, words: int) -> Record:
    """A record that goes over several pages where it has many words."""
    spoken = tuple(
        Word(word=f"word{number}", start_s=number, end_s=number + 1, confidence=0.5) for number in range(words)
    )
    return msgspec.structs.replace(a_record(name), words=spoken)


def fill(spool: Spool, records: int, seed: int) -> None:
    """Put records in every state into a spool, small ones and large ones, some with their bytes frozen."""
    chance = random.Random(seed)
    for number in range(records):
        name = f"{chance.getrandbits(128):032x}-{number:03}"
        spool.add(a_long_record(name, chance.choice([0, 0, 3, 20, 80, 400])))
        kind = chance.randrange(6)
        if kind == 0:
            continue
        if kind == 1:
            spool.take_back(name)
            continue
        spool.release(name)
        if kind >= 3:
            spool.freeze_all([(name, chance.randbytes(chance.choice([200, 3_000, 9_000])))])
        if kind == 4:
            spool.settle([Outcome(name, stored=False, reason="because of this and that")])
        if kind == 5 and chance.random() < 0.5:
            spool.settle([Outcome(name, stored=True)])


class Original:
    """A whole spool in files that nobody has open. No dataclass: Hypothesis would print all that is in it."""

    def __init__(
        self,
        folder: Path,
        states: dict[str, str],
        messages: dict[str, bytes | None],
        highest: int,
        pages_of: dict[str, set[int]],
    ) -> None:
        self.folder = folder
        self.states = states
        self.messages = messages
        self.highest = highest
        self.pages_of = pages_of
        """On which pages, from 1, a record may lie; by SQLite's own account."""


def make_original(folder: Path, *, records: int, seed: int) -> Original:
    """Make a spool, and close it so that all of it is in one file."""
    folder.mkdir()
    path = folder / "spool.sqlite3"
    spool = Spool(path)
    spool.begin()
    fill(spool, records, seed)
    spool.close()
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT id, state, message FROM records").fetchall()
        highest = db.execute("SELECT value FROM counters WHERE name = 'sequence'").fetchone()[0]
        pages = db.execute("SELECT path, pageno, pagetype FROM dbstat WHERE name = 'records'").fetchall()
    return Original(
        folder,
        {id_: state for id_, state, _ in rows},
        {id_: message for id_, _, message in rows},
        highest,
        _pages_of([id_ for id_, _, _ in rows], path.read_bytes(), pages),
    )


def _pages_of(names: list[str], data: bytes, pages: list[tuple[str, int, str]]) -> dict[str, set[int]]:
    chains: dict[str, set[int]] = {}
    leaves: dict[int, str] = {}
    for path, number, kind in pages:
        if kind == "overflow":
            chains.setdefault(re.sub(r"[0-9a-f]*\+[0-9a-f]*$", "", path), set()).add(number)
        elif kind == "leaf":
            leaves[number] = path
    of: dict[str, set[int]] = {}
    for number, path in leaves.items():
        page = data[(number - 1) * PAGE : number * PAGE]
        around = {number} | chains.get(path, set()) | chains.get(path.rstrip("/") + "/", set())
        for name in names:
            if name.encode() in page:
                of[name] = around
    assert set(of) == set(names)
    return of


def copied(original: Original, folder: Path) -> Path:
    """Return the spool in a folder of its own, marks and all."""
    shutil.copytree(original.folder, folder)
    return folder / "spool.sqlite3"


def spared(original: Original, damaged: bytes) -> set[str]:
    """Return the records of which no page was touched."""
    whole = (original.folder / "spool.sqlite3").read_bytes()
    touched = {
        number + 1
        for number in range(len(whole) // PAGE)
        if whole[number * PAGE : (number + 1) * PAGE] != damaged[number * PAGE : (number + 1) * PAGE]
    }
    return {name for name, pages in original.pages_of.items() if not pages & touched}
