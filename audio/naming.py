"""Names of microphones: which one a setting means, and which part of a name stays when sound cards are numbered anew.

PortAudio calls an ALSA device "CARD: DEVICE (hw:1,0)". The numbers are those of this start of the machine.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_ADDRESS: Final = re.compile(r"\s*\((?:plug)?hw:(?P<card>\d+),(?P<device>\d+)\)$")
_NO_DEVICE_NAME: Final = re.compile(r":?\s*-?$")
_OPENING: Final = " (hw:"
"""What follows the stable part, without the numbers: it tells "Audio" from "Audio Pro"."""


class Address(NamedTuple):
    """ALSA's numbers of a device, valid until the machine starts again or something is plugged in."""

    card: int
    device: int


def address(name: str) -> Address | None:
    """The numbers in a device's name, None where it has none ("default")."""
    found = _ADDRESS.search(name)
    return Address(int(found["card"]), int(found["device"])) if found else None


def stable_part(name: str) -> str:
    """A device's name without the numbers, and without the "-" of a device that has no name of its own."""
    found = _ADDRESS.search(name)
    if found is None:
        return name
    return _NO_DEVICE_NAME.sub("", name[: found.start()]) or name[: found.start()]


def selected(names: Sequence[str], wanted: str) -> int | None:
    """The position of the device that `wanted` means, None for none.

    The first whose name it is, else the first whose name starts with it, else the first in whose name it is; in any
    case of letters.
    """
    for matches in (str.__eq__, str.startswith, str.__contains__):
        for position, name in enumerate(names):
            if matches(name.casefold(), wanted.casefold()):
                return position
    return None


def setting(names: Sequence[str], position: int) -> str | None:
    """What to write for the setting `device` so that it means this device after any new numbering.

    None where no such text exists: another device has the same name, and comes first or may do so.
    """
    name = names[position]
    if twins(names, position):
        return None
    for candidate in (stable_part(name), stable_part(name) + _OPENING):
        # Whichever order the devices come in, only this one may be meant.
        if selected(names, candidate) == position == _last_selected(names, candidate):
            return candidate
    return None


def twins(names: Sequence[str], position: int) -> list[int]:
    """The positions of the other devices that have the same name, but for the numbers."""
    own = stable_part(names[position]).casefold()
    return [other for other, name in enumerate(names) if other != position and stable_part(name).casefold() == own]


def _last_selected(names: Sequence[str], wanted: str) -> int | None:
    """As `selected`, were the devices numbered the other way round."""
    position = selected(names[::-1], wanted)
    return None if position is None else len(names) - 1 - position
