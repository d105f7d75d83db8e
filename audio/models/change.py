"""Changes of the shelf, one process at a time; each is one rename, so a power cut leaves the old or the new."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from audio.model import find_model
from audio.models import files
from audio.models import language as languages
from audio.models.shelf import ACTIVE_NAME, Installed, Shelf, ShelfError, Slot, Slots

LOCK_NAME: Final = ".lock"
UNPACKING_NAME: Final = "unpacking"
REMOVED_NAME: Final = "removed"


class Change:
    """A context: in it nobody else changes the shelf. Entering makes the shelf's folder if need be.

    Entering raises `ShelfError` while another process is at it, and `OSError` if the folder cannot be written.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def __enter__(self) -> Self:
        folder = self.shelf.folder
        # The state folder holds what visitors said, and is its owner's alone.
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.make_folder(folder)
        self._descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear()
            files.make_folder(self.shelf.partial_folder)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ShelfError(
                f"another `kiosk model` command is changing the models in {folder}; wait until it has ended"
            ) from None
        except OSError:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._clear()
        finally:
            os.close(self._descriptor)

    @property
    def staging(self) -> Path:
        """The folder below which a model is made ready."""
        folder = self.shelf.partial_folder / UNPACKING_NAME
        files.make_folder(folder)
        return folder

    def put(self, staged: Path) -> Installed:
        """Put a model that is ready, its files and folders flushed, onto the shelf; one of the same name gives way."""
        target = self.shelf.folder / staged.name
        if target.exists():
            self._throw(target)
        staged.rename(target)
        files.sync_folder(self.shelf.folder)
        installed = self.shelf.find(staged.name)
        if installed is None:
            raise ShelfError(f"the model {target} vanished while it was installed")
        return installed

    def activate(self, name: str) -> Slot:
        """Make an installed model the active one of its language; the previous one is remembered."""
        installed = self.shelf.find(name)
        if installed is None:
            raise ShelfError(f"there is no model {name!r} on the shelf; see: kiosk model list")
        if installed.manifest is None:
            raise ShelfError(f"{installed.problem}; install it: kiosk model install {installed.path}")
        find_model(installed.path)
        language = languages.primary(installed.manifest.language)
        slots = self._slots()
        before = slots.get(language)
        if before is not None and before.active == name:
            return before
        slot = Slot(active=name, previous=before.active if before else None)
        self._write({**slots, language: slot})
        return slot

    def go_back(self, language: str) -> Slot:
        """Exchange the active model of a language and the previous one."""
        slot = self.shelf.slots().get(languages.primary(language))
        if slot is None or slot.previous is None:
            raise ShelfError(f"no model was active for {languages.primary(language)!r} before; see: kiosk model list")
        return self.activate(slot.previous)

    def remove(self, name: str, *, force: bool = False) -> Slot | None:
        """Remove a model, or an unfinished download; the slot that it was active in, as it is afterwards.

        The active model, and one that a running kiosk uses, are removed only by `force`; the previous one then becomes
        the active one.
        """
        path = self.shelf.folder / name
        is_installed = self.shelf.find(name) is not None
        if not is_installed and name not in {unfinished.name for unfinished in self.shelf.unfinished()}:
            raise ShelfError(f"there is no model {name!r} on the shelf; see: kiosk model list")
        slots = self.shelf.slots()
        language = next((language for language, slot in slots.items() if slot.active == name), None)
        if is_installed and not force:
            if language is not None:
                raise ShelfError(f"{name} is the active model for {language!r}; use another first, or add --force")
            if self.shelf.is_held(name):
                raise ShelfError(f"{name} is used by the running kiosk; restart the kiosk first, or add --force")
        after = {key: left for key, slot in slots.items() if (left := _without(slot, name)) is not None}
        if after != slots:
            self._write(after)
        if is_installed:
            self._throw(path)
        self.forget_download(name)
        return after.get(language) if language is not None else None

    def prune(self, language: str) -> tuple[list[str], list[str]]:
        """Remove the models of a language that are neither active nor previous: removed ones, and those in use."""
        slot = self._slots().get(languages.primary(language))
        removed: list[str] = []
        held: list[str] = []
        for installed in self.shelf.installed():
            if slot is None or installed.manifest is None or installed.name in {slot.active, slot.previous}:
                continue
            if languages.primary(installed.manifest.language) != languages.primary(language):
                continue
            if self.shelf.is_held(installed.name):
                held.append(installed.name)
            else:
                self._throw(installed.path)
                removed.append(installed.name)
        return removed, held

    def forget_download(self, name: str) -> None:
        """Remove the archive of a model, or the part of it that came."""
        for suffix in (".zip", ".origin"):
            (self.shelf.partial_folder / f"{name}{suffix}").unlink(missing_ok=True)

    def _slots(self) -> dict[str, Slot]:
        """The models in use; none if that is not known: to choose again is how it is mended."""
        try:
            return self.shelf.slots()
        except ShelfError:
            return {}

    def _write(self, slots: dict[str, Slot]) -> None:
        data = msgspec.json.format(msgspec.json.encode(Slots(languages=slots)), indent=2)
        files.write_atomically(self.shelf.folder / ACTIVE_NAME, data + b"\n")

    def _throw(self, path: Path) -> None:
        """Take a model from the shelf in one step: what is half removed must not look installed."""
        bin_folder = self.shelf.partial_folder / REMOVED_NAME
        files.make_folder(bin_folder)
        aside = bin_folder / path.name
        files.remove(aside)
        path.rename(aside)
        files.sync_folder(self.shelf.folder)
        files.remove(aside)

    def _clear(self) -> None:
        """Remove what an interrupted change left behind; unfinished downloads stay."""
        partial = self.shelf.partial_folder
        for name in (UNPACKING_NAME, REMOVED_NAME):
            files.remove(partial / name)
        if partial.is_dir() and not any(partial.iterdir()):
            partial.rmdir()


def _without(slot: Slot, name: str) -> Slot | None:
    if slot.active == name:
        return Slot(active=slot.previous) if slot.previous not in {None, name} else None
    return Slot(active=slot.active, previous=None if slot.previous == name else slot.previous)
