"""What Linux itself says of the sound cards: in which USB socket each is, and which program records from it.

PortAudio leaves a device out that another program holds, so this is the only place where such a device shows. The
files are those of the kernel's ALSA, described in its `sound/designs/procfile`.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

_CARD: Final = re.compile(r"^\s*(?P<number>\d+) \[[^\]]*\]: .*? - (?P<name>.*)\n\s+(?P<long_name>.*)$", re.MULTILINE)
_SOCKET: Final = re.compile(r" at (?P<socket>usb-[^,\s]+)")
_CAPTURE: Final = re.compile(r"^pcm(?P<device>\d+)c$")
_NAME: Final = re.compile(r"^name: (?P<name>.*)$", re.MULTILINE)
_OWNER: Final = re.compile(r"^owner_pid\s*:\s*(?P<pid>\d+)", re.MULTILINE)


class Holder(NamedTuple):
    """A program that has a device open to record."""

    device: int
    device_name: str | None
    pid: int
    program: str | None
    """The first 15 letters of its name; None when it has just ended."""


class SoundCard(NamedTuple):
    """A sound card that can record."""

    number: int
    name: str
    socket: str | None
    """The USB socket, as the kernel names it: it stays when cards are numbered anew. None for other cards."""
    holders: tuple[Holder, ...]


def sound_cards(proc: Path = Path("/proc")) -> list[SoundCard]:
    """The cards that can record, by their numbers; none where there is no ALSA."""
    found = _CARD.finditer(_text(proc / "asound" / "cards"))
    return [card for match in found if (card := _card(proc, match)) is not None]


def _card(proc: Path, match: "re.Match[str]") -> SoundCard | None:
    folder = proc / "asound" / f"card{match['number']}"
    devices = sorted(int(found["device"]) for path in _children(folder) if (found := _CAPTURE.match(path.name)))
    if not devices:
        return None
    holders = [holder for device in devices for holder in _holders(proc, folder / f"pcm{device}c", device)]
    socket = _SOCKET.search(match["long_name"])
    return SoundCard(int(match["number"]), match["name"].strip(), socket["socket"] if socket else None, tuple(holders))


def _holders(proc: Path, folder: Path, device: int) -> list[Holder]:
    holders = []
    name = _NAME.search(_text(folder / "info"))
    for substream in _children(folder):
        owner = _OWNER.search(_text(substream / "status"))
        if owner is not None:
            pid = int(owner["pid"])
            device_name = name["name"].strip() or None if name else None
            holders.append(Holder(device, device_name, pid, _text(proc / str(pid) / "comm").strip() or None))
    return holders


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    """A file that may vanish at any moment: empty then."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
