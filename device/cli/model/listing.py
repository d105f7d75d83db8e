"""`kiosk model list`: what is installed, which is active, and what can be had."""

import argparse
import json
from collections.abc import Sequence

from audio.model import DEMONSTRATION
from audio.models import language as languages
from audio.models.catalogue import Catalogue, Entry
from audio.models.files import readable
from audio.models.shelf import Installed, Shelf, Slot
from device import speech_models
from device.cli import configuration
from device.cli.model import place

Row = Sequence[str]
_WARNING = "DOES NOT UNDERSTAND REAL PEOPLE: for tests and demonstrations only"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "list",
        help="list the installed models, or those that can be had",
        description="List the installed models: which is active, what each takes. Or those of the catalogue.",
    )
    parser.add_argument(
        "--available",
        nargs="?",
        const=False,
        type=place.language,
        metavar="LANGUAGE",
        help="the models of the catalogue, all or those for a language",
    )
    parser.add_argument("--all", action="store_true", help="of the catalogue: also what is obsolete")
    place.add_catalogue_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    configuration.add_option(parser)
    parser.set_defaults(run=place.telling(_run))


def _run(arguments: argparse.Namespace) -> int:
    if arguments.available is not None:
        return _list_available(arguments)
    return _list_installed(arguments)


# ---------------------------------------------------------------- installed


def _list_installed(arguments: argparse.Namespace) -> int:
    shelf = place.shelf(arguments)
    models = shelf.installed()
    slots = shelf.slots()
    if arguments.json:
        for fields in [*(_installed_fields(model, slots) for model in models), _demonstration_fields()]:
            print(json.dumps(fields))
        return 0
    rows = [_installed_row(model, slots) for model in models]
    _print_table(("", "MODEL", "LANGUAGE", "VERSION", "DISK", "MEMORY"), rows, right=(4, 5), spare=3)
    for model in models:
        if model.problem:
            print(f"  {model.name}: {model.problem}")
    if not models:
        print(f"No model is installed in {shelf.folder}.")
    print(f"\nBuilt in: {DEMONSTRATION.name}, English\n  {_WARNING}")
    _print_unfinished(shelf)
    _print_next(arguments, shelf)
    return 0


def _installed_row(model: Installed, slots: dict[str, Slot]) -> Row:
    if model.manifest is None:
        return ("", model.name, "?", "?", "?", "?")
    manifest = model.manifest
    return (
        _state(model, slots) or "",
        model.name,
        manifest.language,
        manifest.version,
        readable(manifest.size_bytes),
        readable(manifest.memory_bytes),
    )


def _state(model: Installed, slots: dict[str, Slot]) -> str | None:
    if any(slot.active == model.name for slot in slots.values()):
        return "active"
    return "previous" if any(slot.previous == model.name for slot in slots.values()) else None


def _installed_fields(model: Installed, slots: dict[str, Slot]) -> dict[str, object]:
    manifest = model.manifest
    return {
        "name": model.name,
        "path": str(model.path),
        "state": _state(model, slots),
        "language": manifest and manifest.language,
        "kind": manifest and manifest.kind,
        "version": manifest and manifest.version,
        "disk_bytes": manifest and manifest.size_bytes,
        "memory_bytes": manifest and manifest.memory_bytes,
        "installed_at": manifest and manifest.installed_at,
        "source": manifest and manifest.source,
        "is_demonstration": False,
        "problem": model.problem,
    }


def _demonstration_fields() -> dict[str, object]:
    return {
        "name": DEMONSTRATION.name,
        "path": str(DEMONSTRATION),
        "state": None,
        "language": "en",
        "is_demonstration": True,
        "problem": _WARNING,
    }


def _print_unfinished(shelf: Shelf) -> None:
    for unfinished in shelf.unfinished():
        print(
            f"\nUnfinished: {unfinished.name}, {readable(unfinished.size_bytes)} downloaded\n"
            f"  Install it again to go on, or: kiosk model remove {unfinished.name}"
        )


def _print_next(arguments: argparse.Namespace, shelf: Shelf) -> None:
    """Say which models the kiosk takes at its next start."""
    chosen = speech_models.choose(place.settings(arguments).audio, shelf)
    print()
    for warning in chosen.warnings:
        place.say(warning)
    for language, folder in chosen.audio.folders.items():
        if folder is not None:
            where = folder.name if folder.parent == shelf.folder.resolve() else f"{folder}, as the settings say"
            print(f"At its next start the kiosk takes for {language!r}: {where}")


# ---------------------------------------------------------------- available


def _list_available(arguments: argparse.Namespace) -> int:
    wanted: str | None = arguments.available or None
    fetched = place.fetch_catalogue(arguments)
    entries = _chosen(fetched.catalogue, wanted, with_obsolete=arguments.all)
    if arguments.json:
        for entry in entries:
            print(json.dumps(_entry_fields(entry)))
        return 0
    rows = [(entry.language, entry.name, entry.type, readable(entry.size)) for entry in entries]
    _print_table(("LANGUAGE", "MODEL", "KIND", "DOWNLOAD"), rows, right=(3,))
    if not entries:
        print(f"The catalogue has no model for {wanted!r}." if wanted else "The catalogue is empty.")
    return 0


def _chosen(catalogue: Catalogue, wanted: str | None, *, with_obsolete: bool) -> list[Entry]:
    entries = catalogue.of_language(wanted) if wanted else catalogue.entries
    fit = [entry for entry in entries if with_obsolete or not entry.is_obsolete]
    return sorted(fit, key=lambda entry: (entry.language, entry.type != "small", languages.age(entry.version)))


def _entry_fields(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "language": entry.language,
        "language_name": entry.lang_text,
        "kind": entry.type,
        "version": entry.version,
        "download_bytes": entry.size,
        "obsolete": entry.is_obsolete,
        "url": entry.url,
        "md5": entry.md5.lower(),
    }


def _print_table(heads: Row, rows: Sequence[Row], *, right: Sequence[int], spare: int | None = None) -> None:
    """Print a table; if it is too wide, without the column `spare`, which other columns imply."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    columns = list(range(len(heads)))
    if spare is not None and sum(widths) + 2 * (len(widths) - 1) > place.WIDTH:
        columns.remove(spare)
    for row in (heads, *rows):
        cells = [(str.rjust if column in right else str.ljust)(row[column], widths[column]) for column in columns]
        print("  ".join(cells).rstrip())
