"""`kiosk panel list`: every serial port at which a panel may be, and who answers there."""

import argparse
import json
from dataclasses import dataclass

from device.cli.panel import place
from firmware_bridge import AUTO, Candidate, Identity, list_candidates
from firmware_bridge.port import PortError
from firmware_bridge.search import NO_PORT
from firmware_bridge.session import PanelSession


@dataclass(frozen=True, slots=True)
class Found:
    """A port, and the panel there or why there is none."""

    candidate: Candidate
    identity: Identity | None
    reason: str | None


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "list",
        help="list the serial ports and who answers there",
        description="Ask at every serial port that no other program uses whether a panel is there.",
    )
    place.add_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    candidates = list_candidates()
    named = place.port(arguments)
    if named != AUTO and named not in {candidate.path for candidate in candidates}:
        candidates.insert(0, Candidate(named))
    for candidate in candidates:
        found = _ask(candidate)
        print(json.dumps(_fields(found)) if arguments.json else _readable(found), flush=True)
    if not (candidates or arguments.json):
        print(NO_PORT)
    return 0


def _ask(candidate: Candidate) -> Found:
    try:
        with PanelSession(candidate.path) as panel:
            return Found(candidate, panel.identity, None)
    except PortError as error:
        return Found(candidate, None, str(error).removeprefix(candidate.path).lstrip(": "))


def _fields(found: Found) -> dict[str, object]:
    identity = found.identity
    return {
        "path": found.candidate.path,
        "description": found.candidate.description,
        "serial_number": identity and identity.serial_number,
        "firmware": identity and ".".join(map(str, identity.firmware)),
        "protocol": identity and identity.protocol,
        "buttons": identity and [place.name(button) for button in sorted(identity.buttons)],
        "reason": found.reason,
    }


def _readable(found: Found) -> str:
    lines = [found.candidate.path]
    if found.candidate.description:
        lines.append(found.candidate.description)
    if found.identity is not None:
        lines.append(place.describe(found.identity))
        lines.append(f"buttons: {', '.join(map(place.name, sorted(found.identity.buttons))) or 'none'}")
    else:
        lines.append(found.reason or "")
    return "\n  ".join(lines)
