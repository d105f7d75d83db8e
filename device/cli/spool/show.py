"""`kiosk spool show`: all that the spool knows of one record."""

import argparse
import json

from device.cli import configuration
from device.cli.spool import place
from device.record import Record
from device.spool.rows import Row


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "show",
        help="show one record",
        description="Show all that the spool knows of one record; what its visitor said only with --words.",
    )
    parser.add_argument("id", metavar="ID", help="the record's id, or so much of its beginning as no other has")
    parser.add_argument("--words", action="store_true", help="also what the visitor said")
    parser.add_argument("--json", action="store_true", help="as one JSON object, for machines")
    configuration.add_option(parser)
    parser.set_defaults(run=place.piped(_run))


def _run(arguments: argparse.Namespace) -> int:
    with place.desk(arguments) as desk:
        fields = _fields(desk.find(arguments.id), place.Times.of(desk), with_words=arguments.words)
    if arguments.json:
        print(json.dumps(fields, ensure_ascii=False))
        return 0
    for name, value in fields.items():
        if name == "age_s":
            name, value = "age", place.age(value)  # noqa: PLW2901
        if value is not None:
            print(f"{name.replace('_', ' '):<16}  {_readable(value)}")
    return 0


def _fields(row: Row, times: place.Times, *, with_words: bool) -> place.Fields:
    fields = place.summary(row, times)
    fields["sent_before"] = row.message is not None
    try:
        record = row.record()
    except ValueError:
        return {**fields, "record_bytes": len(row.data)}
    return {**fields, **_of_record(record), **({"transcript": record.transcript} if with_words else {})}


def _of_record(record: Record) -> place.Fields:
    """Everything but the words."""
    return {
        "boot_id": record.pressed.boot_id,
        "since_boot_s": round(record.pressed.since_boot_s, 3),
        "language": record.language,
        "confidence": record.confidence,
        "words": len(record.words),
        "characters": len(record.transcript),
        "speech_s": record.speech_s,
        "audio_s": record.audio_s,
        "model": record.model,
        "agent_version": record.agent_version,
        "consent_version": record.consent_version,
    }


def _readable(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
