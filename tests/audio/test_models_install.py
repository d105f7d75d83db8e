import hashlib
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from audio.model import DEMONSTRATION, ModelError
from audio.models import manifest
from audio.models.archive import ArchiveError
from audio.models.catalogue import Catalogue, parse
from audio.models.change import Change
from audio.models.checksum import Checksum, promise
from audio.models.download import DownloadError, Timing
from audio.models.install import Installer, Order, Outcome
from audio.models.shelf import Shelf, ShelfError, Slot
from audio.models.trial import Trial, TrialError, try_out
from audio.models.web import Web
from audio.recogniser import load
from tests.audio.model_archives import (
    FILES,
    NAME,
    TRIAL,
    Recorder,
    catalogue,
    entry,
    model_zip,
    small_zip,
    try_nothing,
)
from tests.audio.model_server import Answer, ModelServer

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Bench:
    def __init__(self, server: ModelServer, folder: Path) -> None:
        self.server = server
        self.shelf = Shelf(folder / "state" / "models")
        self.report = Recorder()
        self.try_model: Callable[[Path], Trial] = try_nothing
        self.free_bytes = 10**12
        self.entries: list[dict[str, object]] = []

    def offer(self, name: str, archive: bytes, **fields: object) -> None:
        path = f"/{name}.zip"
        self.server.files[path] = archive
        self.entries.append(entry(name, archive, self.server.url(path), **fields))

    def catalogue(self) -> Catalogue:
        return parse(catalogue(*self.entries))

    def install(self, target: str, **options: object) -> Outcome:
        timing = Timing(patience_s=5, first_s=0.001, longest_s=0.01)
        with Change(self.shelf) as change:
            installer = Installer(
                change,
                self.catalogue,
                Web(silence_s=5),
                self.report,
                timing=timing,
                try_model=self.try_model,
                free_bytes=lambda _: self.free_bytes,
                now=lambda: NOW,
            )
            return installer.install(Order(target=target, **options))  # type: ignore[arg-type]

    def on_disk(self) -> list[str]:
        """What lies in the shelf's folder, but for the lock."""
        return sorted(path.name for path in self.shelf.folder.iterdir() if path.name != ".lock")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ModelServer() as server:
        yield Bench(server, tmp_path)


def test_a_model_of_the_catalogue_is_downloaded_tried_and_activated(bench: Bench) -> None:
    bench.offer(NAME, archive := small_zip())
    outcome = bench.install(NAME)
    assert outcome.is_new
    assert outcome.slot == Slot(active=NAME)
    made = outcome.installed.manifest
    assert made is not None
    assert (made.language, made.kind, made.version) == ("en-us", "small", "0.15")
    assert made.archive is not None
    assert made.archive.sha256 == hashlib.sha256(archive).hexdigest()
    assert made.archive.md5 == hashlib.md5(archive).hexdigest()
    assert made.source == bench.server.url(f"/{NAME}.zip")
    assert (made.memory_bytes, made.load_s, made.vosk) == (TRIAL.memory_bytes, TRIAL.load_s, TRIAL.vosk)
    assert made.installed_at == "2026-11-23T12:00:00+00:00"
    assert set(made.files) == set(FILES)
    assert manifest.problems(outcome.installed.path, made) == []
    assert bench.on_disk() == ["active.json", NAME]


def test_a_language_gets_its_newest_small_model_which_is_told(bench: Bench) -> None:
    bench.offer("vosk-model-small-en-us-0.4", small_zip("vosk-model-small-en-us-0.4"))
    bench.offer(NAME, small_zip())
    assert bench.install("en").installed.name == NAME
    assert bench.report.steps[0] == f"{NAME} is the newest small model for 'en-us'"


def test_a_model_that_is_there_already_is_checked_activated_and_not_downloaded(bench: Bench) -> None:
    bench.offer(NAME, small_zip())
    bench.install(NAME, activate=False)
    outcome = bench.install(NAME)
    assert not outcome.is_new
    assert outcome.slot == Slot(active=NAME)
    assert len(bench.server.seen) == 1


def test_a_model_that_was_damaged_is_installed_again(bench: Bench) -> None:
    bench.offer(NAME, small_zip())
    damaged = bench.install(NAME).installed.path / "am" / "final.mdl"
    damaged.write_bytes(b"damaged")
    outcome = bench.install(NAME)
    assert outcome.is_new
    assert damaged.read_bytes() == b"am/final.mdl "
    assert bench.on_disk() == ["active.json", NAME]


def test_another_model_does_not_replace_a_sound_one_of_the_same_name(bench: Bench, tmp_path: Path) -> None:
    bench.offer(NAME, small_zip())
    bench.install(NAME)
    path = tmp_path / "stick.zip"
    path.write_bytes(small_zip(mark="another"))
    with pytest.raises(ShelfError, match=f"another model is on the shelf as {NAME}; give this one a name of its own"):
        bench.install(str(path))
    assert bench.install(str(path), name="ours").slot == Slot(active="ours", previous=NAME)


def test_the_second_installation_keeps_the_first_and_the_third_removes_it(bench: Bench) -> None:
    names = [f"vosk-model-small-en-us-0.{number}" for number in (1, 2, 3)]
    for name in names:
        bench.offer(name, small_zip(name))
    bench.offer("vosk-model-small-de-0.1", small_zip("vosk-model-small-de-0.1"), lang="de")
    bench.install("de")
    assert [bench.install(name).removed for name in names] == [(), (), (names[0],)]
    assert bench.on_disk() == ["active.json", "vosk-model-small-de-0.1", *names[1:]]


def test_keep_keeps_all(bench: Bench) -> None:
    names = [f"vosk-model-small-en-us-0.{number}" for number in (1, 2, 3)]
    for name in names:
        bench.offer(name, small_zip(name))
        assert bench.install(name, keep=True).removed == ()
    assert bench.on_disk() == ["active.json", *names]


def test_the_model_of_a_running_kiosk_is_kept_and_told(bench: Bench) -> None:
    names = [f"vosk-model-small-en-us-0.{number}" for number in (1, 2, 3)]
    for name in names:
        bench.offer(name, small_zip(name))
    held = bench.shelf.hold(bench.install(names[0]).installed.path)
    assert held is not None
    bench.install(names[1])
    outcome = bench.install(names[2])
    held.free()
    assert (outcome.removed, outcome.in_use) == ((), (names[0],))


def test_an_installation_that_is_not_to_activate_leaves_everything_as_it_was(bench: Bench) -> None:
    names = [f"vosk-model-small-en-us-0.{number}" for number in (1, 2, 3)]
    for name in names:
        bench.offer(name, small_zip(name))
    bench.install(names[0])
    for name in names[1:]:
        assert bench.install(name, activate=False).slot is None
    assert bench.shelf.slots() == {"en": Slot(active=names[0])}
    assert bench.on_disk() == ["active.json", *names]


# ---------------------------------------------------------------- other sources


def test_an_archive_on_a_stick_says_by_its_name_what_it_is(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.zip").write_bytes(archive := small_zip())
    made = bench.install(str(tmp_path)).installed.manifest
    assert made is not None
    assert (made.name, made.language, made.kind, made.version) == (NAME, "en-us", "small", "0.15")
    assert made.source == str(tmp_path / f"{NAME}.zip")
    assert (tmp_path / f"{NAME}.zip").read_bytes() == archive
    assert bench.on_disk() == ["active.json", NAME]


def test_a_folder_on_a_stick_is_copied(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(DEMONSTRATION, tmp_path / "stick" / "our-model")
    with pytest.raises(ShelfError, match=r"'our-model' does not say which language.*: add --language"):
        bench.install(f"{tmp_path}/stick")
    outcome = bench.install(f"{tmp_path}/stick", language="de-at")
    made = outcome.installed.manifest
    assert made is not None
    assert (made.name, made.language, made.kind, made.version) == ("our-model", "de-at", "", "")
    assert made.archive is None
    assert bench.shelf.slots() == {"de": Slot(active="our-model")}
    assert not (outcome.installed.path / "README.md").exists()


def test_a_promised_checksum_of_an_archive_is_compared(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(archive := small_zip())
    right = Checksum("sha256", hashlib.sha256(archive).hexdigest())
    with pytest.raises(ArchiveError, match="is not what was promised: it has sha256 "):
        bench.install(str(path), checksum=Checksum("sha256", "0" * 64))
    assert bench.install(str(path), checksum=right).is_new
    with pytest.raises(ArchiveError, match="a checksum is that of an archive"):
        bench.install(str(DEMONSTRATION), checksum=right, language="en")


def test_an_address_needs_a_checksum(bench: Bench) -> None:
    bench.server.files[f"/a/{NAME}.zip"] = archive = small_zip()
    url = bench.server.url(f"/a/{NAME}.zip")
    with pytest.raises(ShelfError, match="needs its checksum: add --sha256 or --md5"):
        bench.install(url)
    outcome = bench.install(url, checksum=promise("sha256", hashlib.sha256(archive).hexdigest().upper()))
    assert outcome.slot == Slot(active=NAME)
    assert bench.on_disk() == ["active.json", NAME]


def test_a_checksum_besides_the_catalogues_is_compared_too(bench: Bench) -> None:
    bench.offer(NAME, small_zip())
    with pytest.raises(ArchiveError, match="is not what was promised"):
        bench.install(NAME, checksum=Checksum("sha256", "0" * 64))


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x" * 101, "demonstration-en", "active.json", ".x"])
def test_a_name_that_is_none_is_refused_before_anything_is_downloaded(bench: Bench, name: str) -> None:
    bench.offer(NAME, small_zip())
    with pytest.raises(ShelfError, match="name"):
        bench.install(NAME, name=name or " ")
    assert bench.server.seen == []


# ---------------------------------------------------------------- what goes wrong


@pytest.fixture
def active(bench: Bench) -> str:
    """A model that must stay the active one, whatever goes wrong with the next."""
    name = "vosk-model-small-en-us-0.1"
    bench.offer(name, small_zip(name))
    bench.install(name)
    return name


def assert_untouched(bench: Bench, active: str, *, kept: str | None = None) -> None:
    assert bench.shelf.slots() == {"en": Slot(active=active)}
    assert bench.on_disk() == sorted([*([".partial"] if kept else []), "active.json", active])
    assert [one.name for one in bench.shelf.unfinished()] == ([kept] if kept else [])
    if kept:
        assert {path.name for path in bench.shelf.partial_folder.iterdir()} <= {f"{kept}.zip", f"{kept}.origin"}


def test_an_interrupted_download_stays_and_is_gone_on_with(bench: Bench, active: str) -> None:
    bench.offer(NAME, model_zip())
    path = f"/{NAME}.zip"
    bench.server.answers[path] = [Answer(cut_after=1_000_000), Answer(status=403, body=b"")]
    with pytest.raises(DownloadError):
        bench.install(NAME)
    assert_untouched(bench, active, kept=NAME)
    assert bench.install(NAME).slot == Slot(active=NAME, previous=active)
    assert str(bench.server.ranges(path)[-1]).startswith("bytes=")
    assert not bench.shelf.partial_folder.exists()


def test_wrong_bytes_leave_nothing(bench: Bench, active: str) -> None:
    bench.offer(NAME, small_zip())
    bench.server.files[f"/{NAME}.zip"] = small_zip(mark="another")
    with pytest.raises(DownloadError, match="not what was promised"):
        bench.install(NAME)
    assert_untouched(bench, active)


def test_an_archive_that_is_no_model_leaves_the_active_one(bench: Bench, active: str) -> None:
    bench.offer(NAME, b"no zip at all")
    with pytest.raises(ArchiveError, match="no zip archive"):
        bench.install(NAME)
    assert_untouched(bench, active, kept=NAME)


def test_an_incomplete_model_is_told_by_where_it_came_from(bench: Bench, active: str, tmp_path: Path) -> None:
    folder = shutil.copytree(DEMONSTRATION, tmp_path / NAME)
    (folder / "conf" / "mfcc.conf").unlink()
    with pytest.raises(ArchiveError, match=rf"the model {folder} is not complete: conf/mfcc\.conf missing"):
        bench.install(str(folder))
    assert_untouched(bench, active)


def test_a_model_that_fails_its_trial_is_not_installed(bench: Bench, active: str, tmp_path: Path) -> None:
    def refuse(folder: Path) -> Trial:
        raise TrialError(f"the model {folder} is damaged")

    bench.try_model = refuse
    (tmp_path / f"{NAME}.zip").write_bytes(small_zip())
    with pytest.raises(ArchiveError, match=rf"the model {tmp_path}/{NAME}\.zip is damaged"):
        bench.install(f"{tmp_path}/{NAME}.zip")
    assert_untouched(bench, active)


def test_a_disk_without_room_is_told_before_the_download(bench: Bench, active: str) -> None:
    bench.offer(NAME, small_zip())
    before = len(bench.server.seen)
    bench.free_bytes = 200_000_000
    with pytest.raises(DownloadError, match="remove a model that is not used"):
        bench.install(NAME)
    assert len(bench.server.seen) == before
    assert_untouched(bench, active)


def test_ctrl_c_during_the_trial_leaves_the_active_model(bench: Bench, active: str) -> None:
    def interrupt(folder: Path) -> Trial:
        raise KeyboardInterrupt

    bench.try_model = interrupt
    bench.offer(NAME, small_zip())
    with pytest.raises(KeyboardInterrupt):
        bench.install(NAME)
    assert_untouched(bench, active, kept=NAME)
    bench.try_model = try_nothing
    seen = len(bench.server.seen)
    assert bench.install(NAME).is_new
    assert len(bench.server.seen) == seen


def test_all_is_flushed_to_the_disk_before_the_model_appears_and_then_its_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, Path]] = []
    really_sync, really_rename = os.fsync, Path.rename

    def sync(descriptor: int) -> None:
        done.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        really_sync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        done.append(("rename", Path(target)))
        return really_rename(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    bench.offer(NAME, small_zip())
    model = bench.install(NAME).installed.path
    appeared = done.index(("rename", model))
    staged = bench.shelf.partial_folder / "unpacking" / NAME
    synced = {path.with_name(path.name.removeprefix(".").removesuffix(".new")) for kind, path in done[:appeared]}
    for path in (model, *model.rglob("*")):
        assert staged / path.relative_to(model) in synced, path
    assert ("sync", bench.shelf.folder) in done[appeared:]
    active = done.index(("rename", bench.shelf.folder / "active.json"))
    assert appeared < active
    assert done[active - 1] == ("sync", bench.shelf.folder / ".active.json.new")
    assert ("sync", bench.shelf.folder) in done[active:]


# ---------------------------------------------------------------- trials


@pytest.mark.servers
def test_a_real_model_is_installed_and_understands(bench: Bench) -> None:
    bench.try_model = try_out
    bench.offer(NAME, model_zip())
    made = bench.install("en").installed.manifest
    assert made is not None
    assert 5_000_000 < made.memory_bytes < 200_000_000
    assert 0 < made.load_s < 60
    found = bench.shelf.active("en-US")
    assert found is not None
    assert load(found.path).model.name == NAME


@pytest.mark.servers
def test_a_model_that_vosk_refuses_is_told(bench: Bench, tmp_path: Path) -> None:
    bench.try_model = try_out
    folder = shutil.copytree(DEMONSTRATION, tmp_path / NAME)
    (folder / "am" / "final.mdl").write_bytes((folder / "am" / "final.mdl").read_bytes()[:100_000])
    with pytest.raises(ModelError, match=rf"the model {folder} is damaged: Vosk cannot load it"):
        bench.install(str(folder))
    assert bench.on_disk() == []


@pytest.mark.servers
def test_a_model_that_kills_the_recogniser_is_told(tmp_path: Path) -> None:
    folder = shutil.copytree(DEMONSTRATION, tmp_path / NAME)
    (folder / "graph" / "HCLr.fst").write_bytes(random.Random(1).randbytes(100_000))
    with pytest.raises(TrialError, match=f"{NAME} is damaged|{folder} is damaged"):
        try_out(folder)


@pytest.mark.servers
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_a_trial_by_root_has_only_the_rights_of_the_state_folders_owner() -> None:
    with TemporaryDirectory(prefix="voiseback-") as top:
        state = Path(top) / "state"
        model = state / "models" / NAME
        shutil.copytree(DEMONSTRATION, model)
        # Whatever this checkout's umask was: what is installed can be read by everybody.
        for path in (Path(top), *Path(top).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.chown(state, 65534, 65534)
        state.chmod(0o700)
        assert try_out(model).memory_bytes > 0
        model.chmod(0o700)
        with pytest.raises(TrialError, match=f"{model} cannot be read: Permission denied"):
            try_out(model)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", r"x is damaged: the recogniser died of it \(SIGABRT\)"),
        ("import os; os.kill(os.getpid(), 9)", "x needs more memory than this machine has"),
        ("raise SystemExit(3)", "x is damaged: the recogniser ended with status 3"),
        ("print('rubbish')", "gave no answer"),
        ("import time; time.sleep(60)", r"x was not loaded within 0\.5 s"),
    ],
)
def test_however_a_trial_ends_it_is_one_sentence(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(TrialError, match=said):
        try_out(tmp_path / "x", deadline_s=0.5 if "sleep" in code else 20, command=[sys.executable, "-c", code])


def test_a_trial_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="cannot be tried: /none: No such file"):
        try_out(tmp_path / "x", command=["/none"])
