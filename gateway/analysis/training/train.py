"""`python -m gateway.analysis.training.train --rows FILE... --out DIR`: trains the linear engine's weights."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway.analysis.embedded import WEIGHTS_DIRECTORY
from gateway.analysis.linear import LEXICON_FILES, MANIFEST_FILE, LinearEngine
from gateway.analysis.polarity import Lexicon
from gateway.analysis.training.model import train
from gateway.analysis.training.rows import LicenceRefusedError, RowError, check_licences, read_rows

OWN_ROWS = Path(__file__).parent / "kiosk_rows.jsonl"


def write(engine: LinearEngine, lexicon: Path, directory: Path) -> None:
    """Write an engine's files into a folder, byte for byte the same for the same engine."""
    directory.mkdir(parents=True, exist_ok=True)
    engine.save(directory)
    for name in LEXICON_FILES:
        if directory.resolve() != lexicon.resolve():
            (directory / name).write_bytes((lexicon / name).read_bytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.analysis.training.train", description=__doc__)
    parser.add_argument("--rows", nargs="+", type=Path, default=[OWN_ROWS], help="JSON-lines files of labelled rows")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument(
        "--accept-other-licences",
        action="store_true",
        help="also take rows that are neither own nor of a permissive licence, for weights that are not given away",
    )
    chosen = parser.parse_args(arguments)
    try:
        rows = read_rows(chosen.rows)
        classes = check_licences(rows, accept_other=chosen.accept_other_licences)
    except (RowError, LicenceRefusedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    lexicon = Lexicon.read(WEIGHTS_DIRECTORY / name for name in LEXICON_FILES)
    engine = train(rows, lexicon, classes)
    write(engine, WEIGHTS_DIRECTORY, chosen.out)
    summary = msgspec.json.encode(engine.manifest.rows_by_origin).decode()
    sys.stdout.write(f"{chosen.out / MANIFEST_FILE}: {engine.name}, rows {summary}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
