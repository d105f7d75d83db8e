"""`kiosk transcribe`: what the kiosk would understand of a WAV file."""

import argparse
import sys
from pathlib import Path

import msgspec

from audio.model import DEMONSTRATION
from audio.protocol import Transcript
from audio.settings import AudioSettings
from audio.transcribe import TranscribeError, transcribe_apart
from device import speech_models
from device.cli import configuration


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "transcribe",
        help="transcribe WAV files as the kiosk does",
        description="Transcribe PCM WAV files with the code and the model of a kiosk, on this machine.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.wav")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="a Vosk model (default: the kiosk's own)")
    parser.add_argument("--json", action="store_true", help="one JSON object for each file, with words and times")
    configuration.add_option(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    files: list[Path] = arguments.files
    settings = _settings(arguments)
    if settings.model_folder is None:
        print(
            f"kiosk: transcribing with the model {DEMONSTRATION.name}, which knows synthetic voices only; "
            "for people, install a model: kiosk model install --help",
            file=sys.stderr,
        )
    status = 0
    try:
        for path, result in zip(files, transcribe_apart(files, settings), strict=True):
            if isinstance(result, Transcript):
                _show(path, result, as_json=arguments.json, with_name=len(files) > 1)
            else:
                _complain(result)
                status = 1
    except TranscribeError as error:
        _complain(error)
        return 1
    return status


def _settings(arguments: argparse.Namespace) -> AudioSettings:
    """Return the settings of the kiosk's ear, with the model to use."""
    kiosk = configuration.load_if_there(arguments)
    if arguments.model:
        return msgspec.structs.replace(kiosk.audio, model=str(arguments.model), models={})
    chosen = speech_models.choose(kiosk.audio, speech_models.shelf_of(kiosk))
    if not chosen.is_demonstration:
        for warning in chosen.warnings:
            print(f"kiosk: {warning}", file=sys.stderr)
    return chosen.audio


def _show(path: Path, transcript: Transcript, *, as_json: bool, with_name: bool) -> None:
    if as_json:
        print(msgspec.json.encode(msgspec.structs.replace(transcript, visit=str(path))).decode())
        return
    if transcript.text is None:
        print(f"kiosk: {path}: nothing was said", file=sys.stderr)
        return
    print(f"{path}: {transcript.text}" if with_name else transcript.text)


def _complain(error: TranscribeError) -> None:
    print(f"kiosk: {error}", file=sys.stderr)
