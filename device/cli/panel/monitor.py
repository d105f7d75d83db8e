"""`kiosk panel monitor`: every frame between this machine and the panel, as it goes by."""

import argparse
import dataclasses
import enum
import logging
import os
import queue
import sys
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from device.cli.panel import place
from firmware_bridge import AUTO, PanelBridge, PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.frame import DELIMITER, MAX_ENCODED, Frame, FrameDecoder
from firmware_bridge.messages import FROM_HOST, FROM_PANEL, ButtonEdge, HostAck, PanelAck, SceneCommand, from_frame
from firmware_bridge.port import PortError, SerialPort
from firmware_bridge.session import find_panel
from firmware_bridge.wire import Message, MessageError

NUMBERED = (SceneCommand, ButtonEdge, PanelAck, HostAck)
"""The messages whose frame has a sequence number that means something."""
WIDTH = 80
INDENT = " " * 15
"""As wide as the time and the direction in front of a frame."""

Item = tuple[bool, bytes] | PanelEvent


class Cutter:
    """Cuts one direction's bytes at their zeros: what stood between two, and the frame that it was, if it was one."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, Frame | None]]:
        """Take the next bytes and return what they complete."""
        *pieces, self._rest = (self._rest + data).split(DELIMITER)
        if len(self._rest) > MAX_ENCODED:
            pieces.append(self._rest)
            self._rest = b""
        for piece in filter(None, pieces):
            yield piece, next(iter(FrameDecoder().feed(piece + DELIMITER)), None)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "monitor",
        help="show every frame to and from the panel",
        description="Be the panel's host and show every frame: > to the panel, < from it. The port must be free: "
        "stop the kiosk first.",
    )
    place.add_options(parser)
    parser.add_argument("--hex", action="store_true", help="show the bytes on the line, too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        port = _free_port(place.port(arguments))
    except PortError as error:
        return place.complain(error)
    # What it would warn about is shown among the frames.
    logging.getLogger("firmware_bridge").setLevel(logging.ERROR)
    items: queue.SimpleQueue[Item] = queue.SimpleQueue()
    bridge = PanelBridge(port, items.put, trace=lambda sent, data: items.put((sent, data)))
    print(f"{port}: > to the panel, < from the panel; Ctrl-C ends", flush=True)
    bridge.start()
    try:
        _show_all(items, with_bytes=arguments.hex)
    except KeyboardInterrupt:
        print()
    except BrokenPipeError:
        # Whoever read this has gone; leave the interpreter nothing to flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        bridge.stop()
    return 0


def _free_port(port: str) -> str:
    """Return the path to use; raises PortError where it cannot be opened, or, for AUTO, where no panel answers."""
    if port == AUTO:
        with find_panel(port) as panel:
            return panel.path
    SerialPort(port).close()
    return port


def _show_all(items: "queue.SimpleQueue[Item]", *, with_bytes: bool) -> None:
    cutters = {True: Cutter(), False: Cutter()}
    while True:
        item = items.get()
        now = datetime.now(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        match item:
            case (bool(sent), bytes(data)):
                for piece, frame in cutters[sent].feed(data):
                    known = FROM_HOST if sent else FROM_PANEL
                    print(_wrapped(f"{now} {'>' if sent else '<'} {_readable(frame, known)}"))
                    if with_bytes:
                        print(_wrapped(f"00 {piece.hex(' ')} 00", INDENT))
            case PanelOffline(reason=reason):
                print(_wrapped(f"{now} - no panel: {reason}"))
            case PanelOnline(identity=identity):
                print(f"{now} - {place.describe(identity)}")
        sys.stdout.flush()


def _readable(frame: Frame | None, known: Mapping[int, type[Message]]) -> str:
    if frame is None:
        return "damaged: no frame"
    try:
        message = from_frame(frame, known)
    except MessageError as error:
        return f"not understood: {error}"
    number = [f"#{frame.sequence}"] if isinstance(message, NUMBERED) else []
    fields = [f"{field.name}={_value(field.name, message)}" for field in dataclasses.fields(message)]
    return " ".join([type(message).__name__, *number, *fields])


def _value(field: str, message: Message) -> str:
    value = getattr(message, field)
    if field == "session":
        return f"{value:08x}"
    if isinstance(value, frozenset):
        return "+".join(sorted(item.name.lower() for item in value)) or "none"
    if isinstance(value, tuple):
        return ".".join(map(str, value))
    if isinstance(value, enum.Enum | bool):
        return str(getattr(value, "name", value)).lower()
    return str(value)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=INDENT)
