"""Installs a model: fetched, unpacked, tried, and only then put onto the shelf."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from audio.model import DEMONSTRATION, ModelError, find_model
from audio.models import files, manifest
from audio.models import language as languages
from audio.models.archive import Archive, ArchiveError
from audio.models.catalogue import Catalogue, Entry, Name
from audio.models.change import Change
from audio.models.checksum import Checksum
from audio.models.download import Timing, Wanted, check_space
from audio.models.folder import Folder
from audio.models.layout import Arrangement, arrange
from audio.models.manifest import FileRecord, Manifest
from audio.models.package import Fetcher, Package
from audio.models.report import Reporter
from audio.models.shelf import Installed, ShelfError, Slot
from audio.models.target import Listed, Local, Remote, find_target
from audio.models.trial import Trial, try_out
from audio.models.unpack import Contents, unpack, unpacked_bytes
from audio.models.web import Web


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a technician wants installed."""

    target: str
    """A name of the catalogue, a language, a path or an address."""
    checksum: Checksum | None = None
    """Of the archive. Needed for an address."""
    language: str | None = None
    """A BCP 47 tag in lower case. None: that of the catalogue, or what the model's name says."""
    name: str | None = None
    """What it is to be called. None: as the catalogue or the archive calls it."""
    activate: bool = True
    keep: bool = False
    """Keep the models of the language that are neither active nor previous."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an installation did."""

    installed: Installed
    is_new: bool
    """False: the same model was on the shelf already, and is sound."""
    slot: Slot | None
    """The language's models in use, if the model was activated."""
    removed: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()
    """Models that would have been removed, had a running kiosk not used them."""


class Installer:
    """Installs while `change` is entered. `catalogue` is asked only when the target is a name or a language."""

    def __init__(
        self,
        change: Change,
        catalogue: Callable[[], Catalogue],
        web: Web,
        report: Reporter,
        *,
        timing: Timing | None = None,
        try_model: Callable[[Path], Trial] = try_out,
        free_bytes: Callable[[Path], int] = files.free_bytes,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._change = change
        self._catalogue = catalogue
        self._report = report
        self._fetcher = Fetcher(change.shelf, web, report, timing=timing, free_bytes=free_bytes)
        self._try_model = try_model
        self._free_bytes = free_bytes
        self._now = now

    def install(self, order: Order) -> Outcome:
        """Install, and activate unless told otherwise.

        Raises `ModelError`, or `OSError` if the shelf cannot be written; nothing but a download is left behind then,
        and the active model is what it was.
        """
        match find_target(order.target, self._catalogue):
            case Listed(entry=entry, choice=choice):
                if choice:
                    self._report.step(choice)
                name = _checked_name(order.name or entry.name)
                present = self._present(name, entry)
                if present is not None:
                    return self._finish(present, order, is_new=False)
                package = self._fetcher.fetch_entry(entry, name, order.checksum)
            case Remote(url=url, name=name):
                if order.checksum is None:
                    raise ShelfError("what comes from an address needs its checksum: add --sha256 or --md5")
                package = self._fetcher.fetch(Wanted(_checked_name(order.name or name), url, order.checksum))
            case Local(path=path):
                package = self._fetcher.take(path, order.checksum)
        installed, is_new = self._shelve(package, order)
        if package.path.parent == self._change.shelf.partial_folder:
            self._change.forget_download(package.path.stem)
        return self._finish(installed, order, is_new=is_new)

    def _present(self, name: str, entry: Entry) -> Installed | None:
        """The model, if just this archive of the catalogue was installed under the name, and is sound."""
        installed = self._change.shelf.find(name)
        if installed is None or installed.manifest is None or installed.manifest.archive is None:
            return None
        if installed.manifest.archive.md5 != entry.md5.lower():
            return None
        self._report.step(f"{name} is on the shelf; checking its files")
        return None if manifest.problems(installed.path, installed.manifest) else installed

    def _shelve(self, package: Package, order: Order) -> tuple[Installed, bool]:
        """Unpack, try, and put it onto the shelf; the model there, and whether it is a new one."""
        with nullcontext(Folder(package.path)) if package.archive is None else Archive(package.path) as contents:
            arrangement = arrange(contents.paths, contents.where)
            package = _named(package, order, arrangement)
            staged = self._change.staging / str(package.name)
            records = self._unpack(contents, arrangement, staged)
        present = self._same(staged.name, records)
        if present is not None:
            return present, False
        self._report.step("Loading it once, to see that it works")
        with _naming(package.source, staged):
            trial = self._try_model(staged)
        manifest.write(staged, self._describe(package, staged, records, trial))
        return self._change.put(staged), True

    def _unpack(self, contents: Contents, arrangement: Arrangement, staged: Path) -> dict[str, FileRecord]:
        total_bytes = unpacked_bytes(contents, arrangement)
        check_space(staged.parent, total_bytes, self._free_bytes)
        self._report.step(f"Unpacking {files.readable(total_bytes)}")
        records = unpack(
            contents, arrangement, staged, lambda done_bytes: self._report.progress(done_bytes, total_bytes)
        )
        with _naming(contents.where, staged):
            find_model(staged)
        return records

    def _same(self, name: str, records: dict[str, FileRecord]) -> Installed | None:
        """The model on the shelf, if it is just this one and sound; raises `ShelfError` if it is another sound one."""
        installed = self._change.shelf.find(name)
        if installed is None or installed.manifest is None or manifest.problems(installed.path, installed.manifest):
            return None
        if installed.manifest.files != records:
            raise ShelfError(
                f"another model is on the shelf as {name}; give this one a name of its own with --name, "
                f"or remove that one first: kiosk model remove {name}"
            )
        return installed

    def _describe(self, package: Package, staged: Path, records: dict[str, FileRecord], trial: Trial) -> Manifest:
        return Manifest(
            name=staged.name,
            language=str(package.language),
            kind=package.kind,
            version=package.version,
            source=package.source,
            archive=package.archive,
            installed_at=self._now().astimezone(UTC).isoformat(timespec="seconds"),
            rate_hz=find_model(staged).rate_hz,
            memory_bytes=trial.memory_bytes,
            load_s=trial.load_s,
            vosk=trial.vosk,
            files=records,
        )

    def _finish(self, installed: Installed, order: Order, *, is_new: bool) -> Outcome:
        if not order.activate or installed.manifest is None:
            return Outcome(installed=installed, is_new=is_new, slot=None)
        slot = self._change.activate(installed.name)
        removed, in_use = ([], []) if order.keep else self._change.prune(installed.manifest.language)
        return Outcome(installed=installed, is_new=is_new, slot=slot, removed=tuple(removed), in_use=tuple(in_use))


@contextmanager
def _naming(where: str, staged: Path) -> Iterator[None]:
    """Let what is wrong with a model name the place that it came from, instead of one that is gone at once."""
    try:
        yield
    except ModelError as error:
        raise ArchiveError(str(error).replace(str(staged.resolve()), where)) from error


def _named(package: Package, order: Order, arrangement: Arrangement) -> Package:
    """Fill in what a package from a path or an address does not say of itself: its name, language and version."""
    name = _checked_name(order.name or package.name or arrangement.folder or package.path.stem)
    said = languages.described(arrangement.folder) or languages.described(name)
    language = order.language or package.language or (said and said.language)
    if language is None:
        raise ShelfError(f"the name {name!r} does not say which language the model is for: add --language (such as en)")
    return msgspec.structs.replace(
        package,
        name=name,
        language=language,
        kind=package.kind or (said.kind if said else ""),
        version=package.version or (said.version if said else ""),
    )


def _checked_name(name: str) -> str:
    try:
        checked = msgspec.convert(name, Name)
    except msgspec.ValidationError:
        raise ShelfError(
            f"{name!r} is no name for a model: letters, digits, '.', '_', '+' and '-' are; give it one with --name"
        ) from None
    if checked == DEMONSTRATION.name:
        raise ShelfError(f"{checked} is the name of the built-in model; give this one another with --name")
    return str(checked)
