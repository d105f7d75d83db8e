"""`kiosk model verify`: are the models as they were installed, and can they be loaded?"""

import argparse

from audio.model import ModelError
from audio.models import manifest
from audio.models.shelf import Installed, ShelfError
from audio.models.trial import try_out
from device.cli import configuration
from device.cli.model import place


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "verify",
        help="check installed models",
        description="Read each file of a model from the disk, compare it with what was installed, and load the model "
        "once; exit status 0 if all is well.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the model (default: all that are installed)")
    configuration.add_option(parser)
    parser.set_defaults(run=place.telling(_run))


def _run(arguments: argparse.Namespace) -> int:
    shelf = place.shelf(arguments)
    models = [one for one in shelf.installed() if arguments.name in {None, one.name}]
    if not models:
        named = f"no model {arguments.name!r}" if arguments.name else "no model"
        raise ShelfError(f"{named} is installed in {shelf.folder}; see: kiosk model install --help")
    status = 0
    for model in models:
        problems = _problems(model)
        for problem in problems:
            place.say(problem)
        if problems:
            status = 1
        elif model.manifest is not None:
            number = len(model.manifest.files)
            print(f"{model.name}: all {number} files are as they were installed, and it works", flush=True)
    return status


def _problems(model: Installed) -> list[str]:
    if model.manifest is None:
        return [str(model.problem)]
    problems = manifest.problems(model.path, model.manifest)
    try:
        try_out(model.path)
    except ModelError as error:
        problems.append(str(error))
    return problems
