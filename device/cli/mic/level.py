"""`kiosk mic level`: how loud it is, so large that a technician reads it while speaking at the kiosk's front."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator

from audio import meter_screen
from audio.capture import Capture
from audio.capture_protocol import Opened
from audio.measure import dbfs
from audio.meter import LevelMeter, Reading
from audio.microphone import MicrophoneError, pick_channel
from audio.settings import AudioSettings
from device.cli.mic import place, terminal
from device.cli.mic.stopping import stop_asked

DRAW_EVERY_S = 0.1
PRINT_EVERY_S = 1.0
LATE_S = 0.3
"""Sound that waited longer is not drawn, so that a slow terminal catches up."""

Readings = Iterator[tuple[float, Reading]]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "level",
        help="show live how loud it is",
        description="Show the level in figures to be read from afar, until Ctrl-C; one line a second where the output "
        "is no terminal.",
    )
    parser.add_argument("--seconds", type=place.seconds, metavar="N", help="end after so long")
    place.add_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = place.audio_settings(arguments)
    meter = LevelMeter(settings)
    try:
        with Capture(settings, rate_hz=arguments.rate) as capture, stop_asked() as is_stopped:
            title = _title(capture.microphone, settings)
            readings = _readings(capture, settings, meter, arguments.seconds, is_stopped)
            if terminal.is_drawable(sys.stdout, os.environ):
                _draw_all(title, readings)
            else:
                _print_all(title, readings)
    except MicrophoneError as error:
        place.complain(error, arguments)
        return 1
    except BrokenPipeError:
        # Whoever read this has gone; leave the interpreter nothing to flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    print(f"loudest {meter.loudest_dbfs:.0f} dBFS, highest peak {dbfs(meter.highest_peak**2):.0f}")
    return 0


def _title(microphone: Opened, settings: AudioSettings) -> str:
    return f"{microphone.name}, {microphone.rate_hz} Hz, {place.heard(settings)}"


def _readings(
    capture: Capture,
    settings: AudioSettings,
    meter: LevelMeter,
    seconds: float | None,
    is_stopped: Callable[[], bool],
) -> Readings:
    """What the meter says after each block, and when that block arrived."""
    microphone = capture.microphone
    frames = 0
    for block in capture.blocks():
        if is_stopped():
            return
        samples = pick_channel(block.samples, microphone.channels, settings.channel)
        meter.hear(samples)
        yield block.at_s, meter.reading()
        frames += len(samples) // 2
        if seconds is not None and frames >= seconds * microphone.rate_hz:
            return


def _draw_all(title: str, readings: Readings) -> None:
    style = terminal.style(sys.stdout, os.environ)
    drawn_s = 0.0
    with terminal.Screen(sys.stdout) as screen:
        for at_s, reading in readings:
            if at_s - drawn_s >= DRAW_EVERY_S and time.monotonic() - at_s < LATE_S:
                size = screen.size()
                screen.show(meter_screen.draw(reading, title, size.columns, size.lines, style))
                drawn_s = at_s


def _print_all(title: str, readings: Readings) -> None:
    print(title, flush=True)
    printed_s: float | None = None
    for at_s, reading in readings:
        if printed_s is None:
            printed_s = at_s
        elif at_s - printed_s >= PRINT_EVERY_S:
            print(meter_screen.plain(reading), flush=True)
            printed_s += PRINT_EVERY_S
