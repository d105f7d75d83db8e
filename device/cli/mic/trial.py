"""`kiosk mic test`: is this microphone good enough for a kiosk, and if not, what is to be done?"""

import argparse
import shutil
import sys
import textwrap
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import msgspec

from audio.capture import Capture
from audio.capture_protocol import Block
from audio.measure import Arrivals, ChannelMeter, dbfs
from audio.microphone import MicrophoneError, pick_channel
from audio.settings import AudioSettings, Channel
from audio.speech_meter import SpeechMeasure, SpeechMeter
from audio.verdict import Finding, Measured, Verdict, judge, overall
from device.cli.mic import place

SETTLE_S = 0.5
"""Sound at the beginning that is not looked at: a microphone clicks when it is opened, and adjusts itself."""
STATUS = {Verdict.GOOD: 0, Verdict.POOR: 1, Verdict.UNKNOWN: 2}
UNTESTED_STATUS = STATUS[Verdict.UNKNOWN]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "test",
        help="test the microphone",
        description="Measure the microphone in silence and while somebody speaks; exit status 0: good, 1: poor, "
        "2: it could not be tested.",
    )
    parser.add_argument(
        "--seconds",
        type=place.seconds,
        default=5.0,
        metavar="N",
        help="of silence, and of speech (default %(default)g)",
    )
    parser.add_argument("--silence-only", action="store_true", help="leave the speech out: nobody is there to speak")
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")
    place.add_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = place.audio_settings(arguments)
    # Where the result is for a machine, a person is still to be told when to speak.
    prompts = sys.stderr if arguments.json else sys.stdout
    try:
        with Capture(settings, rate_hz=arguments.rate, all_channels=True) as capture:
            measured = _measure(capture, settings, arguments, prompts)
    except MicrophoneError as error:
        place.complain(error, arguments)
        return UNTESTED_STATUS
    findings = judge(measured, settings)
    verdict = overall(findings)
    if arguments.json:
        result = {"verdict": verdict, "findings": findings, "measured": measured}
        print(msgspec.json.encode(result).decode())
    else:
        _show(measured, findings, verdict)
    return STATUS[verdict]


def _measure(capture: Capture, settings: AudioSettings, arguments: argparse.Namespace, prompts: TextIO) -> Measured:
    microphone = capture.microphone
    numbers: list[Channel] = [*range(1, microphone.channels + 1)]
    if settings.channel == "mix":
        numbers.append("mix")
    meters = {number: ChannelMeter(number, microphone.rate_hz) for number in numbers}
    arrivals = Arrivals()
    blocks = capture.blocks()

    def hear(block: Block, of_block: Callable[[Block], None]) -> None:
        frames = len(block.samples) // 2 // microphone.channels
        arrivals.add(block.at_s, frames, overflowed=block.overflowed)
        of_block(block)

    def hear_silence(block: Block) -> None:
        for number, meter in meters.items():
            meter.add(array("h", pick_channel(block.samples, microphone.channels, number)))

    many = "1 channel" if microphone.channels == 1 else f"{microphone.channels} channels"
    print(f"{microphone.name}, {microphone.rate_hz} Hz, {many}; tested: {place.heard(settings)}", file=prompts)
    for _ in _stretch(blocks, SETTLE_S):
        pass
    _ask(prompts, f"Be silent for {arguments.seconds:g} s")
    for block in _stretch(blocks, arguments.seconds):
        hear(block, hear_silence)
    speech: SpeechMeasure | None = None
    if not arguments.silence_only:
        _ask(prompts, f"Speak for {arguments.seconds:g} s without a pause, from where visitors stand")
        voice = SpeechMeter(settings, microphone.rate_hz)
        for block in _stretch(blocks, arguments.seconds):
            hear(block, lambda one: voice.add(pick_channel(one.samples, microphone.channels, settings.channel)))
        speech = voice.measure()
    return Measured(
        device=microphone.name,
        rate_hz=microphone.rate_hz,
        timing=arrivals.timing(),
        channels=tuple(measure for one in meters.values() if (measure := one.measure()) is not None),
        speech=speech,
    )


def _stretch(blocks: Iterator[Block], seconds: float) -> Iterator[Block]:
    """The blocks of the next seconds by the clock, whatever rate the microphone keeps."""
    until_s: float | None = None
    for block in blocks:
        until_s = block.at_s + seconds if until_s is None else until_s
        yield block
        if block.at_s >= until_s:
            return


def _ask(prompts: TextIO, sentence: str) -> None:
    print(f"  {sentence} ...", file=prompts, flush=True)


def _show(measured: Measured, findings: Sequence[Finding], verdict: Verdict) -> None:
    width = max(40, min(100, shutil.get_terminal_size((80, 24)).columns))
    print()
    for finding in findings:
        word = finding.verdict.upper() if finding.verdict is Verdict.POOR else finding.verdict
        print(f"  {word:<9}{finding.subject:<19}{finding.value}")
        if finding.advice:
            indent = " " * 11
            print(textwrap.fill(finding.advice, width, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "))
    if len(measured.channels) > 1:
        print(f"\n  {'channel':<10}{'noise floor':<14}{'DC offset':<12}{'peak':<11}clipped")
        for one in measured.channels:
            noise = "dead" if one.is_dead else f"{one.noise_dbfs:.0f} dBFS"
            offset, peak = f"{100 * one.dc:+.2f} %", f"{dbfs(one.peak**2):.0f} dBFS"
            print(f"  {one.channel:<10}{noise:<14}{offset:<12}{peak:<11}{one.clipped}")
    poor = [finding.subject for finding in findings if finding.verdict is Verdict.POOR]
    print(f"\n{verdict.upper()}" + (f": {', '.join(poor)}" if poor else ""))
