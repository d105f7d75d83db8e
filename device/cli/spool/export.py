"""`kiosk spool export`: the records with all their words, for whoever must save them by hand."""

import argparse
import base64
import contextlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from device.cli import configuration
from device.cli.spool import place
from device.spool.errors import SpoolError
from device.spool.files import FILE_MODE, sync_folder
from device.spool.rows import Row

_STDOUT = "-"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "export",
        help="write the records, with their words, to a file",
        description="Write the records as JSON lines WITH THE WORDS OF THE VISITORS, which is what it is for; the file"
        " can be read by its owner alone. The records stay in the spool.",
    )
    parser.add_argument("file", metavar="FILE", help="the file to make, or - for the standard output")
    place.add_state_option(parser)
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    configuration.add_option(parser)
    parser.set_defaults(run=place.piped(_run))


def _run(arguments: argparse.Namespace) -> int:
    number = 0
    with place.desk(arguments) as desk, _output(arguments.file, replace=arguments.force) as file:
        for row in desk.rows(arguments.state):
            file.write(json.dumps(_fields(row), ensure_ascii=False) + "\n")
            number += 1
    if arguments.file != _STDOUT:
        print(f"{arguments.file}: {number} record{'' if number == 1 else 's'}")
        warning = "holds the words of visitors: keep it to yourself, and delete it when you are done"
        print(f"kiosk: {arguments.file} {warning}", file=sys.stderr)
    return 0


def _fields(row: Row) -> dict[str, object]:
    fields: dict[str, object] = {"id": row.id, "state": row.state, "sequence": row.sequence, "reason": row.reason}
    try:
        fields["record"] = msgspec.to_builtins(row.record())
    except ValueError as error:
        fields |= {"record": None, "unreadable": str(error), "bytes": base64.b64encode(row.data).decode("ascii")}
    return fields


@contextlib.contextmanager
def _output(name: str, *, replace: bool) -> Iterator[IO[str]]:
    """Give the file to write to; one that cannot be written to its end is not left behind.

    Raises:
        SpoolError: it cannot be made, or it exists and is not to be replaced.
    """
    if name == _STDOUT:
        yield sys.stdout
        return
    path = Path(name)
    try:
        _check(path, replace=replace)
        aside = path.with_name(f".{path.name}.{os.getpid()}") if replace else path
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            if replace:
                aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except FileExistsError:
        raise SpoolError(f"{path}: it exists already; name another file, or replace it with --force") from None
    except OSError as error:
        raise SpoolError(f"{path}: {error.strerror}; nothing was written") from error


def _check(path: Path, *, replace: bool) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise SpoolError(f"{path}: there is no folder {path.parent}; make it first") from None
        return
    if not stat.S_ISREG(found.st_mode):
        raise SpoolError(f"{path}: it is no file; name another")
    if not replace:
        raise FileExistsError(path)
