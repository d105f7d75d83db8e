"""Where the models are: the kiosk's settings, its shelf and its catalogue; and how a command tells what is wrong."""

import argparse
import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from audio.model import ModelError
from audio.models import language as languages
from audio.models.shelf import Shelf
from device import speech_models
from device.cli import configuration
from device.settings import KioskSettings

if TYPE_CHECKING:
    from audio.models.catalogue_source import Fetched

Run = Callable[[argparse.Namespace], int]
WIDTH = 80


def add_catalogue_option(parser: argparse.ArgumentParser) -> None:
    """Let a command name another catalogue."""
    parser.add_argument(
        "--catalogue", metavar="URL|FILE", help="the list of models to choose from (default: that of the settings)"
    )


def settings(arguments: argparse.Namespace) -> KioskSettings:
    """Return the kiosk's settings.

    Raises:
        contract.settings_file.SettingsError: they cannot be used.
    """
    return configuration.load_if_there(arguments)


def shelf(arguments: argparse.Namespace) -> Shelf:
    """Return the kiosk's shelf.

    Raises:
        contract.settings_file.SettingsError: the settings cannot be used.
    """
    return speech_models.shelf_of(settings(arguments))


def fetch_catalogue(arguments: argparse.Namespace) -> "Fetched":
    """Return the catalogue; say on standard error if it is an old one, or if entries had to be skipped.

    Raises:
        audio.model.ModelError: it cannot be had.
    """
    # Requests takes longer to import than all the rest of the command.
    from audio.models.catalogue_source import CatalogueSource, readable_age
    from audio.models.web import Web

    kiosk = settings(arguments)
    address = arguments.catalogue or kiosk.model_catalogue
    fetched = CatalogueSource(address, speech_models.shelf_of(kiosk).folder, Web()).fetch()
    if fetched.age_s is not None:
        say(f"{fetched.fault}; the one that was kept is {readable_age(fetched.age_s)}")
    if fetched.catalogue.problem:
        say(fetched.catalogue.problem)
    return fetched


def language(text: str) -> str:
    """Read a language from the command line."""
    tag = languages.tag(text)
    if tag is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no language; give its code, such as en or de-AT")
    return tag


def say(text: str) -> None:
    """Tell something beside the command's output."""
    print(f"kiosk: {text}", file=sys.stderr)


def total_memory_bytes() -> int:
    """Return what memory this machine has; 0 if it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def telling(run: Run) -> Run:
    """Wrap a command so that a model's fault is one sentence and exit status 1."""

    @functools.wraps(run)
    def wrapped(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except ModelError as error:
            say(str(error))
            return 1
        except OSError as error:
            if error.filename is not None:
                raise
            say(f"the models' folder cannot be changed: {error.strerror or error}")
            return 1

    return wrapped


def way_back(arguments: argparse.Namespace, tag: str, previous: str) -> str:
    """Return the sentence that tells how to use the previous model of this language again."""
    slot = languages.primary(tag)
    is_default = slot == languages.primary(settings(arguments).audio.language)
    option = "" if is_default else f" --language {slot}"
    return f"The previous one, {previous}, is kept; to go back: kiosk model use --previous{option}"


def how_it_is_heard(arguments: argparse.Namespace, tag: str) -> list[str]:
    """Return what keeps the kiosk from using a model of this language, and when it will; one sentence each."""
    kiosk = settings(arguments)
    named = kiosk.audio.model
    slot = languages.primary(tag)
    lines = []
    if languages.primary(kiosk.audio.language) != slot:
        lines.append(
            f"The kiosk begins with {kiosk.audio.language!r}; for visitors who speak {slot!r}, set "
            f'language = "{slot}" under [audio] in {arguments.config}.'
        )
    elif named or slot in map(languages.primary, kiosk.audio.models):
        lines.append(
            f"But the settings come first, and name another model: remove {named or slot!r} from [audio] in "
            f"{arguments.config}."
        )
    lines.append("A running kiosk takes it at its next start.")
    return lines
