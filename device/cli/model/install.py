"""`kiosk model install`: from the catalogue, an address, or a USB stick onto the kiosk's shelf."""

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

from audio.models import language as languages
from audio.models.change import Change
from audio.models.checksum import Algorithm, Checksum, promise
from audio.models.files import readable
from device.cli import configuration
from device.cli.model import place
from device.cli.model.progress import Progress

if TYPE_CHECKING:
    from audio.models.install import Outcome

TIGHT_SHARE = 0.6
"""A model that takes more of the machine's memory than this leaves too little for the rest."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "install",
        help="install a speech model and make it the active one",
        description="Download or copy a speech model, check it, load it once, and make it the active one of its "
        "language. The model that was active before is kept. Interrupted, the same command goes on where it was.",
    )
    parser.add_argument(
        "target",
        metavar="WHAT",
        help="a language (de: the newest small model for it), a name of the catalogue, a zip archive or an unpacked "
        "folder (with a / in its path: ./model.zip), or an http or https URL",
    )
    promised = parser.add_mutually_exclusive_group()
    for algorithm in get_args(Algorithm):
        promised.add_argument(
            f"--{algorithm}",
            dest="checksum",
            type=_promised(algorithm),
            metavar="HEX",
            help="the archive's checksum; needed for a URL",
        )
    place.add_catalogue_option(parser)
    parser.add_argument("--language", type=place.language, metavar="TAG", help="if the model's name does not say it")
    parser.add_argument("--name", metavar="NAME", help="what the model is to be called here")
    parser.add_argument("--no-activate", action="store_true", help="install it, and leave the active model as it is")
    parser.add_argument("--keep", action="store_true", help="keep models that are neither active nor the previous one")
    parser.add_argument(
        "--patience",
        type=_minutes,
        default=10.0,
        metavar="MINUTES",
        help="give up after so long without a new byte (default %(default)g)",
    )
    configuration.add_option(parser)
    parser.set_defaults(run=place.telling(_run))


def _run(arguments: argparse.Namespace) -> int:
    # Requests takes longer to import than all the rest of the command.
    from audio.models.download import Timing
    from audio.models.install import Installer, Order
    from audio.models.web import Web

    order = Order(
        target=arguments.target,
        checksum=arguments.checksum,
        language=arguments.language,
        name=arguments.name,
        activate=not arguments.no_activate,
        keep=arguments.keep,
    )
    width = min(place.WIDTH, shutil.get_terminal_size((place.WIDTH, 24)).columns)
    progress = Progress(sys.stderr, width=width, monotonic=time.monotonic)
    timing = Timing(patience_s=60 * arguments.patience)
    try:
        with Change(place.shelf(arguments)) as change:
            installer = Installer(
                change, lambda: place.fetch_catalogue(arguments).catalogue, Web(), progress, timing=timing
            )
            outcome = installer.install(order)
    except KeyboardInterrupt:
        progress.close()
        place.say("stopped; nothing has changed, and what was downloaded is kept: the same command goes on from there")
        raise
    finally:
        progress.close()
    _tell(arguments, outcome)
    return 0


def _tell(arguments: argparse.Namespace, outcome: "Outcome") -> None:
    manifest = outcome.installed.manifest
    if manifest is None:
        return
    print(f"{'Installed' if outcome.is_new else 'It is installed already, and sound:'} {manifest.name}")
    kind = f", {manifest.kind}" if manifest.kind else ""
    print(f"  for {manifest.language}{kind}, version {manifest.version or 'unknown'}")
    print(f"  {readable(manifest.size_bytes)} on the disk, {readable(manifest.memory_bytes)} of memory")
    _warn_of_memory(manifest.memory_bytes)
    for name in outcome.removed:
        print(f"Removed {name}, which was neither active nor the previous one (--keep keeps such).")
    for name in outcome.in_use:
        print(f"Kept {name}, which the running kiosk still uses.")
    if outcome.slot is None:
        print(f"The active model is as it was. To use this one: kiosk model use {manifest.name}")
        return
    print(f"It is the active model for {languages.primary(manifest.language)!r}.")
    if outcome.slot.previous:
        print(place.way_back(arguments, manifest.language, outcome.slot.previous))
    print("\n".join(place.how_it_is_heard(arguments, manifest.language)))


def _warn_of_memory(needed_bytes: int) -> None:
    total_bytes = place.total_memory_bytes()
    if total_bytes and needed_bytes > TIGHT_SHARE * total_bytes:
        place.say(
            f"the model needs {readable(needed_bytes)} of the {readable(total_bytes)} that this machine has: too much "
            "beside the rest; use a smaller one"
        )


def _promised(algorithm: Algorithm) -> Callable[[str], Checksum]:
    def read(text: str) -> Checksum:
        try:
            return promise(algorithm, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 < minutes <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes above 0")
    return minutes
