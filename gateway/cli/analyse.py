"""`kiosk-gateway analyse`: runs the embedded analysis over JSON lines, without a database or a network."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec

from gateway.analysis.embedded import embedded_engine
from gateway.analysis.engine import Analysis, Engine
from gateway.analysis.linear import WeightsError

STANDARD_INPUT = "-"


class _Question(msgspec.Struct, frozen=True):
    id: str | int
    text: str | None = None


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `analyse [FILE]` to a command line; its `run` takes the parsed arguments and returns the exit status."""
    parser = subparsers.add_parser(
        "analyse",
        help="analyse texts from JSON lines",
        description="Reads JSON lines with id and text, writes JSON lines with the analysis of each.",
    )
    parser.add_argument("file", nargs="?", default=STANDARD_INPUT, metavar="FILE", help="JSON lines (default: stdin)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Analyse the file or standard input; 1 when a line, the file or the installation cannot be used, else 0."""
    name: str = arguments.file
    try:
        engine = embedded_engine()
        with _opened(name) as lines:
            shown = "standard input" if name == STANDARD_INPUT else name
            return analyse_lines(lines, shown, engine, sys.stdout, sys.stderr)
    except WeightsError as error:
        sys.stderr.write(f"{error}\n")
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        sys.stderr.write(f"{name} cannot be read: {error.strerror or error}.\n")
    return 1


def analyse_lines(lines: Iterable[bytes], name: str, engine: Engine, out: TextIO, errors: TextIO) -> int:
    """Write an analysis for each good line and a sentence for each bad one; 1 when there was a bad one, else 0."""
    status = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            question = msgspec.json.decode(line, type=_Question)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            errors.write(f"{name}, line {number}: {error}; give an object with id and text on each line.\n")
            status = 1
            continue
        found = engine.analyse(question.text) if question.text else Analysis()
        answer = {"id": question.id, **msgspec.structs.asdict(found), "engine": engine.name}
        out.write(msgspec.json.encode(answer).decode() + "\n")
    out.flush()
    return status


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
    else:
        with Path(name).open("rb") as stream:
            yield stream
