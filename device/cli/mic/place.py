"""Which microphone is meant: the kiosk's settings, and options that overrule them."""

import argparse
import errno
import math
import socket
import sys
from pathlib import Path

import msgspec

from audio.microphone import MicrophoneBusyError, MicrophoneError
from audio.settings import AudioSettings, Channel
from audio.sound_cards import sound_cards
from audio.wav import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from device.cli import configuration
from device.event_feed import SOCKET_NAME
from device.settings import KioskSettings

STOP_COMMAND = "sudo systemctl stop voiseback-kiosk"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a command name its microphone."""
    parser.add_argument(
        "--device", metavar="NAME", help="part of its name, or its USB socket (default: as the settings say)"
    )
    parser.add_argument(
        "--channel", type=_channel, metavar="N", help="its channel, from 1, or mix (default: as the settings say)"
    )
    parser.add_argument(
        "--rate", type=_rate_hz, metavar="HZ", help="samples a second (default: the rate that the kiosk takes)"
    )
    configuration.add_option(parser)


def seconds(text: str) -> float:
    """A time on the command line, in seconds. Raises `argparse.ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds, more than 0 and at most 86400")
    return value


def audio_settings(arguments: argparse.Namespace) -> AudioSettings:
    """The settings of the ear, with the options of `add_options`.

    Raises:
        contract.settings_file.SettingsError: they cannot be used.
    """
    given = {"device": arguments.device, "channel": arguments.channel}
    changes = {key: value for key, value in given.items() if value is not None}
    return msgspec.structs.replace(configuration.load_if_there(arguments).audio, **changes)


def heard(settings: AudioSettings) -> str:
    """What of the microphone the kiosk listens to."""
    return "all channels mixed" if settings.channel == "mix" else f"channel {settings.channel}"


def complain(error: MicrophoneError, arguments: argparse.Namespace) -> None:
    """Say in a sentence why there is no sound, and who may hold the microphone."""
    print(f"kiosk: {error}{_holder(error, configuration.load_if_there(arguments))}", file=sys.stderr)


def _holder(error: MicrophoneError, settings: KioskSettings) -> str:
    """Who holds the microphone, and what to do.

    Also for a microphone that is not found: PortAudio leaves one out that another program holds.
    """
    if is_running(settings):
        return f"; the running kiosk holds its microphone: stop it with `{STOP_COMMAND}`, and start it again afterwards"
    held = [
        f"{holder.program or 'a program'} (process {holder.pid}) records from {card.name!r}"
        for card in sound_cards()
        for holder in card.holders
    ]
    if held:
        return f"; {', '.join(held)}: end it, and if it is the kiosk, with `{STOP_COMMAND}`"
    if isinstance(error, MicrophoneBusyError):
        return f": end that program, and if it is the kiosk, with `{STOP_COMMAND}`"
    return ""


def is_running(settings: KioskSettings) -> bool:
    """Whether a kiosk runs on this machine with these settings."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as feed:
        try:
            feed.connect(str(Path(settings.runtime_dir) / SOCKET_NAME))
        except OSError as error:
            # Whoever may not connect is kept out by a kiosk that is there.
            return error.errno == errno.EACCES
    return True


def _channel(text: str) -> Channel:
    return "mix" if text == "mix" else _bounded(text, 1, 32, "a channel")


def _rate_hz(text: str) -> int:
    return _bounded(text, LOWEST_RATE_HZ, HIGHEST_RATE_HZ, "a sample rate")


def _bounded(text: str, lowest: int, highest: int, what: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}, {lowest} to {highest}")
    return value
