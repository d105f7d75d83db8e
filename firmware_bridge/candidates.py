"""Candidates: the serial ports of this machine at which a panel may be."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

BY_ID = Path("/dev/serial/by-id")
CONSOLES = Path("/sys/class/tty/console/active")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A serial port: the path to open, as stable as there is one, and what the system knows about it."""

    path: str
    description: str = ""


ListCandidates = Callable[[], Sequence[Candidate]]


def list_candidates(*, by_id: Path = BY_ID, consoles: Path = CONSOLES) -> list[Candidate]:
    """Return the ports that name their device first, then the others, each device once.

    The ports that the kernel uses as its console are left out: what a panel is asked would be typed into a login there.
    """
    descriptions: dict[str, str] = {}
    named: list[Path] = []
    # A device may leave while it is looked at.
    with contextlib.suppress(OSError):
        descriptions = {port.device: port.description for port in list_ports.comports()}
    with contextlib.suppress(OSError):
        named = sorted(by_id.iterdir())
    taken = _consoles(consoles)
    found = []
    for path in [*map(str, named), *sorted(descriptions)]:
        device = str(Path(path).resolve())
        if device not in taken:
            taken.add(device)
            found.append(Candidate(path, _known(descriptions.get(device, ""))))
    return found


def _consoles(active: Path) -> set[str]:
    with contextlib.suppress(OSError):
        return {f"/dev/{name}" for name in active.read_text().split()}
    return set()


def _known(description: str) -> str:
    # "n/a" is pyserial's; the rest comes from the device and goes to a terminal or a log.
    text = "".join(char if char.isprintable() else "?" for char in description)
    return "" if text == "n/a" else text
