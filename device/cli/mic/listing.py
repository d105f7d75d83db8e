"""`kiosk mic list`: every input that there is, and which of them the kiosk takes."""

import argparse
import sys
from collections.abc import Mapping, Sequence

import msgspec

from audio import naming
from audio.capture import survey
from audio.capture_protocol import Inputs
from audio.microphone import MicrophoneError
from audio.settings import AudioSettings
from audio.sound_cards import Holder, SoundCard, sound_cards
from device.cli import configuration
from device.cli.mic import place

HELP_PAGE = "docs/microphone.md"


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An input as it is shown."""

    name: str
    setting: str | None
    """What to write for `device` in [audio]: the name or the USB socket; None where neither means this input alone."""
    same_name: int
    """How many other inputs have the same name, but for the numbers."""
    own_hz: int | None
    """None for one that another program holds, as for the next two."""
    channels: int | None
    rates_hz: tuple[int, ...] | None
    card: int | None
    socket: str | None
    """The USB socket."""
    is_default: bool
    taken_hz: int | None
    """The rate at which the kiosk takes this input; None: it does not take it."""
    holder: Holder | None
    """The program that records from it."""
    is_busy: bool


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "list",
        help="list the microphones, and which the kiosk takes",
        description="Open every input for a moment at each usual rate, and say which one the kiosk takes.",
    )
    configuration.add_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = configuration.load_if_there(arguments).audio
    try:
        inputs = survey(settings)
    except MicrophoneError as error:
        place.complain(error, arguments)
        return 1
    listed = combine(inputs, sound_cards())
    for one in listed:
        print(msgspec.json.encode(one).decode() if arguments.json else _readable(one, settings), flush=True)
    if inputs.reason is not None:
        place.complain(MicrophoneError(inputs.reason), arguments)
        return 1
    if not arguments.json and any(one.setting is None and not one.is_busy for one in listed):
        print(f"kiosk: inputs of the same name are told apart as {HELP_PAGE} says", file=sys.stderr)
    return 0


def combine(inputs: Inputs, cards: Sequence[SoundCard]) -> list[Listed]:
    """What PortAudio and the kernel know, as one list: PortAudio's inputs, then those that it leaves out."""
    known = {card.number: card for card in cards}
    addresses = [naming.address(found.name) for found in inputs.found]
    names = [found.name for found in inputs.found]
    left_out = [
        (card, holder)
        for card in cards
        for holder in card.holders
        if naming.Address(card.number, holder.device) not in addresses
    ]
    names += [_unlisted_name(card, holder) for card, holder in left_out]
    by_socket = _first_of_cards([*addresses, *[naming.address(name) for name in names[len(addresses) :]]], known)
    listed = []
    for position, (found, address) in enumerate(zip(inputs.found, addresses, strict=True)):
        card = known.get(address.card) if address else None
        holders = card.holders if card and address else ()
        listed.append(
            Listed(
                name=found.name,
                setting=naming.setting(names, position) or by_socket.get(position),
                same_name=len(naming.twins(names, position)),
                own_hz=found.own_hz,
                channels=found.channels,
                rates_hz=found.rates_hz,
                card=address.card if address else None,
                socket=card.socket if card else None,
                is_default=found.is_default,
                taken_hz=inputs.taken.rate_hz if inputs.taken and inputs.taken.position == position else None,
                holder=next((one for one in holders if address and one.device == address.device), None),
                is_busy=found.is_busy,
            )
        )
    return listed + [_held(names, len(listed) + i, by_socket, *one) for i, one in enumerate(left_out)]


def _first_of_cards(addresses: Sequence[naming.Address | None], cards: Mapping[int, SoundCard]) -> dict[int, str]:
    """The USB sockets that mean an input, by the input's position: of a card with several, the first is meant."""
    sockets: dict[str, int] = {}
    for position, address in enumerate(addresses):
        card = cards.get(address.card) if address else None
        if card and card.socket:
            sockets.setdefault(card.socket, position)
    return {position: socket for socket, position in sockets.items()}


def _held(names: Sequence[str], position: int, by_socket: Mapping[int, str], card: SoundCard, holder: Holder) -> Listed:
    return Listed(
        name=names[position],
        setting=naming.setting(names, position) or by_socket.get(position),
        same_name=len(naming.twins(names, position)),
        own_hz=None,
        channels=None,
        rates_hz=None,
        card=card.number,
        socket=card.socket,
        is_default=False,
        taken_hz=None,
        holder=holder,
        is_busy=True,
    )


def _unlisted_name(card: SoundCard, holder: Holder) -> str:
    """As PortAudio would call it."""
    return f"{card.name}: {holder.device_name or '-'} (hw:{card.number},{holder.device})"


def _readable(one: Listed, settings: AudioSettings) -> str:
    mark = "*" if one.taken_hz else " "
    lines = [f"{mark} {one.name}"]
    if one.taken_hz:
        lines.append(f"the kiosk takes this one, at {one.taken_hz} Hz, {place.heard(settings)}")
    if one.setting:
        reason = "   (its USB socket, for another input has the same name)" if one.setting == one.socket else ""
        lines.append(f'device = "{one.setting}"{reason}')
    else:
        lines.append("another input has the same name, and the kiosk takes whichever is numbered first")
    if one.is_busy:
        holder = one.holder
        by = f"{holder.program or 'a program'} (process {holder.pid})" if holder else "another program"
        lines.append(f"in use by {by}; for the kiosk, that is ended with `{place.STOP_COMMAND}`")
    if one.own_hz is not None:
        rates = ", ".join(map(str, one.rates_hz or ())) or "no usual rate"
        lines.append(f"own rate {one.own_hz} Hz, {_count(one.channels or 0, 'channel')}; opens at {rates}")
    where = [
        *([f"card {one.card}"] if one.card is not None else []),
        *([f"USB socket {one.socket}"] if one.socket else []),
        *(["the system's default"] if one.is_default else []),
    ]
    if where:
        lines.append(", ".join(where))
    return "\n    ".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
