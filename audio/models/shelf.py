"""The models' shelf: what is installed in a folder, and which model is active for each language."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from audio.model import Model, ModelError, find_model
from audio.models import language as languages
from audio.models import manifest as manifests
from audio.models.catalogue import Name
from audio.models.manifest import Manifest

ACTIVE_NAME: Final = "active.json"
PARTIAL_NAME: Final = ".partial"
"""The folder below the shelf for what is not installed yet."""
_MAX_ACTIVE_BYTES: Final = 64 * 1024


class ShelfError(ModelError):
    """A wish that the shelf cannot fulfil. One sentence."""


class Slot(Struct, frozen=True, kw_only=True):
    """The models of one language that are in use."""

    active: Name
    previous: Name | None = None
    """The one that was active before, to go back to."""


class Slots(Struct, frozen=True, kw_only=True):
    """The content of `active.json`."""

    format: Literal[1] = 1
    languages: dict[str, Slot] = {}
    """By the language without its region: a kiosk that speaks English has one active model for it."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A folder on the shelf."""

    name: str
    path: Path
    manifest: Manifest | None
    problem: str | None = None
    """Why it has no manifest, in a sentence."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A download that was interrupted."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that a kiosk takes for a language."""

    path: Path | None
    """None: none was chosen for the language."""
    problems: tuple[str, ...] = field(default=())
    """What is wrong with the shelf, in a sentence each: the model is then not the active one, or it is damaged."""


class Hold:
    """Keeps others from removing a model, until `free` or the process's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def free(self) -> None:
        """Let it go."""
        os.close(self._descriptor)


class Shelf:
    """A folder with models. Looking never changes it; it need not exist. `OSError` if it cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def partial_folder(self) -> Path:
        """Where downloads and half-made models lie."""
        return self.folder / PARTIAL_NAME

    def installed(self) -> list[Installed]:
        """All models, by name."""
        return [self._look(path) for path in self._entries(self.folder) if path.is_dir()]

    def find(self, name: str) -> Installed | None:
        """The model of this name."""
        return next((installed for installed in self.installed() if installed.name == name), None)

    def slots(self) -> dict[str, Slot]:
        """The models in use, by language. Raises `ShelfError` if that is not known."""
        path = self.folder / ACTIVE_NAME
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_ACTIVE_BYTES), type=Slots).languages
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ShelfError(f"{path} is damaged; choose again: kiosk model use NAME") from error

    def active(self, language: str) -> Model | None:
        """The active model of a language, its layout checked; None if none was chosen. Raises `ModelError`."""
        slot = self.slots().get(languages.primary(language))
        return find_model(self.folder / slot.active) if slot else None

    def choose(self, language: str) -> Choice:
        """The active model, or what comes next to it if it cannot be used: the previous one, then the newest installed.

        If all of them are damaged, the active one is the choice: a kiosk that says what is wrong is better than one
        that takes down nonsense.
        """
        problems: list[str] = []
        candidates: list[Path] = []
        try:
            slot = self.slots().get(languages.primary(language))
            if slot is None:
                return Choice(None)
            candidates = [self.folder / name for name in (slot.active, slot.previous) if name]
        except ShelfError as error:
            problems.append(str(error))
        others = [path for path in self._newest_first(language) if path not in candidates]
        for path in candidates + others:
            try:
                return Choice(find_model(path).path, tuple(problems))
            except ModelError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"the model {path} cannot be read: {error.strerror}")
        return Choice(candidates[0] if candidates else None, tuple(problems))

    def hold(self, path: Path) -> Hold | None:
        """Keep others from removing the model in `path`; None if it is no model of this shelf."""
        if path.resolve().parent != self.folder.resolve():
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # it is being removed this moment
            os.close(descriptor)
            return None
        return Hold(descriptor)

    def is_held(self, name: str) -> bool:
        """Whether a running kiosk uses the model."""
        descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def unfinished(self) -> list[Unfinished]:
        """The interrupted downloads, by name."""
        archives = (path for path in self._entries(self.partial_folder) if path.suffix == ".zip" and path.is_file())
        return [Unfinished(path.stem, path.stat().st_size) for path in archives]

    def _newest_first(self, language: str) -> list[Path]:
        wanted = languages.primary(language)
        fit = [
            (installed.manifest.installed_at, installed.path)
            for installed in self.installed()
            if installed.manifest is not None and languages.primary(installed.manifest.language) == wanted
        ]
        return [path for _, path in sorted(fit, reverse=True)]

    def _entries(self, folder: Path) -> Iterator[Path]:
        try:
            entries = sorted(folder.iterdir())
        except FileNotFoundError:
            return
        yield from (entry for entry in entries if not entry.name.startswith("."))

    def _look(self, path: Path) -> Installed:
        try:
            return Installed(path.name, path, manifests.read(path))
        except ModelError as error:
            return Installed(path.name, path, None, str(error))
