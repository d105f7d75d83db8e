"""`kiosk mic`: what a technician does with the microphone."""

import argparse

from device.cli.mic import level, listing, record, trial


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `mic` and its commands; each sets `run`, a function from the parsed arguments to the exit status."""
    mic = subparsers.add_parser("mic", help="the microphone", description="Work with the microphone.")
    commands = mic.add_subparsers(dest="mic_command", metavar="COMMAND", required=True)
    for command in (listing, level, trial, record):
        command.add_parser(commands)
