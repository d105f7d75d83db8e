"""Command line of the virtual panel: commands on standard input, a JSON line for each happening on standard output."""

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from firmware_bridge.messages import Button, Scene
from firmware_bridge.panel_link import HostChanged, LevelShown, PanelDescription, PressAnswered, SceneShown
from firmware_bridge.virtual_panel.faults import MAX_CHATTER, MAX_DELAY_MS, Faults
from firmware_bridge.virtual_panel.panel import Happening, Plugged, VirtualPanel

TAP_MS = 120
"""How long `tap` holds a button unless told otherwise: a short, usual press."""
MAX_TAP_MS = 600_000
MAX_RUBBISH_BYTES = 65_536

MAX_VANISH_S = 3600.0

COMMANDS_HELP = f"""\
commands on standard input, one in a line:
  press BUTTON | release BUTTON | tap BUTTON [MS]    BUTTON: {", ".join(button.name.lower() for button in Button)}
  unplug | plug | reboot
  vanish SECONDS   unplug, and plug in again after that time
  rubbish N        put N random bytes on the line
  drop P | repeat P | corrupt P | delay MS | chatter N | silent on|off
                   change a fault, as the options of the same names
  quit             (the end of the input does the same)
"""


class CommandError(Exception):
    """A command that the virtual panel does not understand; the text says what it expects."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the virtual panel's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = COMMANDS_HELP
    parser.add_argument(
        "--link", required=True, type=Path, help="symlink to make: the path that the kiosk opens as its panel"
    )
    parser.add_argument("--serial-number", default="VIRTUAL-1", help="what the panel says it is (default %(default)s)")
    _add_faults(parser)
    parser.add_argument("--levels", action="store_true", help="print received levels as well")


def _add_faults(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("faults", "What goes wrong on the line, in each direction, and at the buttons.")
    group.add_argument("--drop", type=float, default=0.0, metavar="P", help="lose this share of the frames, 0 to 1")
    group.add_argument("--repeat", type=float, default=0.0, metavar="P", help="let this share of the frames come twice")
    group.add_argument(
        "--corrupt", type=float, default=0.0, metavar="P", help="change one byte in this share of frames"
    )
    group.add_argument("--delay", type=int, default=0, metavar="MS", help="let everything arrive so much later")
    group.add_argument("--silent", action="store_true", help="say nothing, as a panel whose sending wire is broken")
    group.add_argument("--chatter", type=int, default=0, metavar="N", help="bounce N times at each press and release")
    group.add_argument("--seed", type=int, metavar="N", help="make the same faults again with the same number")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the virtual panel with these arguments, or the process's own; return the exit status."""
    parser = argparse.ArgumentParser(prog="virtual_panel", description="A kiosk's button panel without hardware.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Run the virtual panel until `quit`, the end of the input or a signal; return the exit status."""
    printer = _Printer(levels=args.levels)
    try:
        description = PanelDescription(serial_number=args.serial_number)
        faults = Faults(
            drop=args.drop,
            repeat=args.repeat,
            corrupt=args.corrupt,
            delay_ms=args.delay,
            silent=args.silent,
            chatter=args.chatter,
        )
        panel = VirtualPanel(args.link, description, on_happening=printer, faults=faults, seed=args.seed)
        previous = signal.signal(signal.SIGTERM, _quit)
        try:
            panel.start()
            _obey(panel)
        finally:
            panel.stop()
            signal.signal(signal.SIGTERM, previous)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _quit(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _obey(panel: VirtualPanel) -> None:
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        if not words:
            continue
        try:
            _do(panel, words)
        except CommandError as error:
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()


def _do(panel: VirtualPanel, words: Sequence[str]) -> None:
    simple: dict[str, Callable[[], None]] = {"plug": panel.plug, "unplug": panel.unplug, "reboot": panel.reboot}
    match words:
        case [name] if name in simple:
            simple[name]()
        case ["press", button]:
            panel.press(_button(button))
        case ["release", button]:
            panel.release(_button(button))
        case ["tap", button, *held] if len(held) <= 1:
            _tap(panel, _button(button), _number(held[0], MAX_TAP_MS) if held else TAP_MS)
        case ["rubbish", count]:
            # Rubbish for a test of the line, nothing that has to be hard to guess.
            panel.send_raw(random.randbytes(_number(count, MAX_RUBBISH_BYTES)))  # noqa: S311
        case ["vanish", seconds]:
            panel.vanish(_decimal(seconds, MAX_VANISH_S))
        case [fault, value] if fault in FAULTS:
            name, read = FAULTS[fault]
            panel.fail(**{name: read(value)})
        case _:
            raise CommandError(f"unknown command {' '.join(words)!r}; {COMMANDS_HELP.rstrip()}")


def _tap(panel: VirtualPanel, button: Button, held_ms: int) -> None:
    panel.press(button)
    time.sleep(held_ms / 1000)
    panel.release(button)


def _button(name: str) -> Button:
    try:
        return Button[name.upper()]
    except KeyError:
        known = ", ".join(button.name.lower() for button in Button)
        raise CommandError(f"there is no button {name!r}; the panel has {known}") from None


def _number(word: str, maximum: int) -> int:
    if not (word.isascii() and word.isdigit()) or int(word[:12]) > maximum:
        raise CommandError(f"expected a whole number from 0 to {maximum}, not {word!r}")
    return int(word)


def _decimal(word: str, maximum: float) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= maximum:
        raise CommandError(f"expected a number from 0 to {maximum:g}, not {word!r}")
    return value


def _switched(word: str) -> bool:
    if word not in {"on", "off"}:
        raise CommandError(f"expected on or off, not {word!r}")
    return word == "on"


FAULTS: dict[str, tuple[str, Callable[[str], float]]] = {
    "drop": ("drop", partial(_decimal, maximum=1.0)),
    "repeat": ("repeat", partial(_decimal, maximum=1.0)),
    "corrupt": ("corrupt", partial(_decimal, maximum=1.0)),
    "delay": ("delay_ms", partial(_number, maximum=MAX_DELAY_MS)),
    "chatter": ("chatter", partial(_number, maximum=MAX_CHATTER)),
    "silent": ("silent", _switched),
}
"""The commands that change a fault: the fault's name, and how its value is read."""


class _Printer:
    """Writes happenings as JSON lines; called by the panel's thread."""

    def __init__(self, *, levels: bool) -> None:
        self._levels = levels
        self._lock = threading.Lock()

    def __call__(self, happening: Happening, at_s: float) -> None:
        match happening:
            case SceneShown(scene):
                self._write("scene", at_s, scene=_name(scene))
            case PressAnswered(scene):
                self._write("answer", at_s, scene=_name(scene))
            case LevelShown(level):
                if self._levels:
                    self._write("level", at_s, level=level)
            case HostChanged(online):
                self._write("host", at_s, online=online)
            case Plugged(None):
                self._write("unplugged", at_s)
            case Plugged(port):
                self._write("plugged", at_s, port=port)

    def _write(self, event: str, at_s: float, **details: object) -> None:
        line = json.dumps({"event": event, **details, "at_s": at_s}, separators=(",", ":"))
        with self._lock:
            try:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
            except BrokenPipeError:
                # Nobody reads any more; the panel goes on, and the interpreter has nothing left to flush at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _name(scene: Scene) -> str:
    return scene.name.lower()
