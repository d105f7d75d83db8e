"""`kiosk watch`: what happens at this kiosk, live."""

import argparse
import json
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device.cli import configuration
from device.event_feed import SOCKET_NAME


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("watch", help="show live what the kiosk does, with the words as they are recognised")
    configuration.add_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    parser.add_argument("--levels", action="store_true", help="show the sound level too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    path = Path(configuration.load(arguments).runtime_dir) / SOCKET_NAME
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as feed:
        try:
            feed.connect(str(path))
        except OSError as error:
            print(f"kiosk: no running kiosk at {path} ({error.strerror}); start one with `kiosk run`", file=sys.stderr)
            return 1
        for line, event in _events(feed):
            if event["event"] == "level" and not arguments.levels:
                continue
            print(line if arguments.json else _readable(event), flush=True)
    print("kiosk: the kiosk has stopped", file=sys.stderr)
    return 0


def _events(feed: socket.socket) -> Iterator[tuple[str, dict[str, Any]]]:
    with feed.makefile("r", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield line.rstrip("\n"), json.loads(line)


def _readable(event: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(event["at"], UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    fields = {key: value for key, value in event.items() if key not in {"event", "at", "at_s"} and value is not None}
    text = "  ".join(f"{key}={value}" for key, value in fields.items())
    printable = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return f"{at}  {event['event']:<13} {printable}".rstrip()
