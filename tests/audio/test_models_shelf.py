import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from audio.model import ModelError
from audio.models import files, manifest
from audio.models.change import Change
from audio.models.checksum import Hasher
from audio.models.manifest import FileRecord, Manifest
from audio.models.shelf import Shelf, ShelfError, Slot
from tests.audio.model_archives import FILES

Put = Callable[..., Path]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "state" / "models")


@pytest.fixture
def put(shelf: Shelf) -> Put:
    """Puts a model with the layout of one onto the shelf."""

    def put(name: str, language: str = "en-us", installed_at: str = "2026-11-23T12:00:00+00:00") -> Path:
        with Change(shelf) as change:
            staged = change.staging / name
            records = {}
            for file in FILES:
                path = staged / file
                path.parent.mkdir(parents=True, exist_ok=True)
                content = f"{name} {file}".encode()
                path.write_bytes(content)
                hasher = Hasher()
                hasher.update(content)
                records[file] = FileRecord(sha256=hasher.sha256, size_bytes=len(content))
            made = Manifest(
                name=name,
                language=language,
                kind="small",
                version="1",
                source="/usb",
                archive=None,
                installed_at=installed_at,
                rate_hz=16000,
                memory_bytes=1,
                load_s=0.1,
                vosk="0.3.45",
                files=records,
            )
            manifest.write(staged, made)
            return change.put(staged).path

    return put


def activate(shelf: Shelf, *names: str) -> Slot:
    with Change(shelf) as change:
        return [change.activate(name) for name in names][-1]


def names(shelf: Shelf) -> list[str]:
    return [installed.name for installed in shelf.installed()]


def test_a_shelf_that_does_not_exist_is_empty_and_not_made_by_looking(shelf: Shelf) -> None:
    assert shelf.installed() == []
    assert shelf.unfinished() == []
    assert shelf.active("en") is None
    assert shelf.choose("en").path is None
    assert not shelf.folder.exists()


def test_the_shelf_is_readable_by_all_below_a_state_folder_that_is_not(shelf: Shelf, put: Put) -> None:
    before = os.umask(0o077)
    try:
        put("one")
        activate(shelf, "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(shelf.folder.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(shelf.folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((shelf.folder / "active.json").stat().st_mode) == 0o644
    assert stat.S_IMODE((shelf.folder / "one" / "manifest.json").stat().st_mode) == 0o644


def test_nothing_is_active_before_it_is_chosen(shelf: Shelf, put: Put) -> None:
    put("one")
    assert shelf.active("en") is None
    activate(shelf, "one")
    active = shelf.active("en")
    assert active is not None
    assert active.path == (shelf.folder / "one").resolve()
    assert not active.is_demonstration


@pytest.mark.parametrize("language", ["en", "en-US", "en-gb", "EN"])
def test_a_language_has_one_active_model_whatever_its_region(shelf: Shelf, put: Put, language: str) -> None:
    put("one", "en-us")
    put("eins", "de")
    activate(shelf, "one", "eins")
    active = shelf.active(language)
    assert active is not None
    assert active.name == "one"


def test_the_previous_model_is_remembered_and_gone_back_to(shelf: Shelf, put: Put) -> None:
    put("one")
    put("two")
    assert activate(shelf, "one") == Slot(active="one")
    assert activate(shelf, "two") == Slot(active="two", previous="one")
    assert activate(shelf, "two") == Slot(active="two", previous="one")
    with Change(shelf) as change:
        assert change.go_back("en") == Slot(active="one", previous="two")
        assert change.go_back("en") == Slot(active="two", previous="one")
        with pytest.raises(ShelfError, match="no model was active for 'de' before"):
            change.go_back("de")


def test_only_what_is_installed_and_whole_becomes_active(shelf: Shelf, put: Put) -> None:
    folder = put("one")
    with pytest.raises(ShelfError, match="there is no model 'two' on the shelf"):
        activate(shelf, "two")
    (folder / "am" / "final.mdl").unlink()
    with pytest.raises(ModelError, match=r"am/final\.mdl"):
        activate(shelf, "one")
    (shelf.folder / "copied").mkdir()
    with pytest.raises(ShelfError, match=r"was not installed by this program.*; install it: kiosk model install /"):
        activate(shelf, "copied")
    assert shelf.slots() == {}


def test_pruning_keeps_the_active_the_previous_and_other_languages(shelf: Shelf, put: Put) -> None:
    for name in ("one", "two", "three", "four"):
        put(name)
    put("eins", "de")
    (shelf.folder / "copied").mkdir()
    activate(shelf, "one", "two", "three")
    with Change(shelf) as change:
        assert change.prune("en-us") == (["four", "one"], [])
    assert names(shelf) == ["copied", "eins", "three", "two"]


def test_a_model_that_a_kiosk_uses_is_neither_pruned_nor_removed(shelf: Shelf, put: Put) -> None:
    for name in ("one", "two", "three"):
        put(name)
    activate(shelf, "one")
    held = shelf.hold(shelf.folder / "one")
    assert held is not None
    activate(shelf, "two", "three")
    with Change(shelf) as change:
        assert change.prune("en") == ([], ["one"])
        with pytest.raises(ShelfError, match="one is used by the running kiosk"):
            change.remove("one")
        held.free()
        assert change.prune("en") == (["one"], [])


def test_what_lies_elsewhere_is_not_held(shelf: Shelf, put: Put, tmp_path: Path) -> None:
    put("one")
    assert shelf.hold(tmp_path) is None
    assert shelf.hold(shelf.folder / "none") is None


def test_the_active_model_is_removed_only_by_force_and_the_previous_takes_its_place(shelf: Shelf, put: Put) -> None:
    put("one")
    put("two")
    activate(shelf, "one", "two")
    with Change(shelf) as change:
        with pytest.raises(ShelfError, match="two is the active model for 'en'; use another first, or add --force"):
            change.remove("two")
        assert change.remove("two", force=True) == Slot(active="one")
        assert names(shelf) == ["one"]
        assert change.remove("one", force=True) is None
    assert shelf.slots() == {}
    assert shelf.choose("en").path is None


def test_a_previous_model_that_is_removed_is_forgotten(shelf: Shelf, put: Put) -> None:
    put("one")
    put("two")
    activate(shelf, "one", "two")
    with Change(shelf) as change:
        assert change.remove("one") is None
    assert shelf.slots() == {"en": Slot(active="two")}


def test_an_unfinished_download_is_listed_and_removed(shelf: Shelf, put: Put) -> None:
    with Change(shelf) as change:
        (shelf.partial_folder / "big.zip").write_bytes(b"12345")
        (shelf.partial_folder / "big.origin").write_bytes(b"{}")
        with pytest.raises(ShelfError, match="there is no model 'small'"):
            change.remove("small")
    assert [(one.name, one.size_bytes) for one in shelf.unfinished()] == [("big", 5)]
    with Change(shelf) as change:
        change.remove("big")
    assert not shelf.partial_folder.exists()


@pytest.mark.parametrize("name", ["..", ".", "../victim", "/etc", ".lock", "active.json", ""])
def test_a_name_that_is_no_model_removes_nothing(shelf: Shelf, put: Put, name: str) -> None:
    put("one")
    activate(shelf, "one")
    (shelf.folder.parent / "victim").mkdir()
    before = sorted(shelf.folder.parent.rglob("*"))
    with Change(shelf) as change, pytest.raises(ShelfError, match="there is no model"):
        change.remove(name, force=True)
    assert sorted(shelf.folder.parent.rglob("*")) == before


def test_two_changes_at_a_time_are_refused(shelf: Shelf) -> None:
    with Change(shelf), pytest.raises(ShelfError, match="another `kiosk model` command is changing"), Change(shelf):
        pass
    with Change(shelf):
        pass


def test_what_an_interrupted_change_left_is_cleared_and_downloads_stay(shelf: Shelf, put: Put) -> None:
    put("one")
    for name in ("unpacking", "removed"):
        (shelf.partial_folder / name / "half" / "am").mkdir(parents=True)
        (shelf.partial_folder / name / "half" / "am" / "final.mdl").write_bytes(b"half")
    (shelf.partial_folder / "big.zip").write_bytes(b"12345")
    assert names(shelf) == ["one"]
    with Change(shelf):
        pass
    assert [path.name for path in shelf.partial_folder.iterdir()] == ["big.zip"]


def test_a_model_of_the_same_name_gives_way(shelf: Shelf, put: Put) -> None:
    put("one", installed_at="2026-01-01T00:00:00+00:00")
    (shelf.folder / "one" / "am" / "final.mdl").write_bytes(b"damaged")
    put("one", installed_at="2026-02-02T00:00:00+00:00")
    found = shelf.find("one")
    assert found is not None
    assert found.manifest is not None
    assert found.manifest.installed_at.startswith("2026-02-02")
    assert manifest.problems(found.path, found.manifest) == []


# ---------------------------------------------------------------- the kiosk's choice


def test_a_damaged_active_model_gives_way_to_the_previous_one_with_a_sentence(shelf: Shelf, put: Put) -> None:
    put("one")
    put("two")
    activate(shelf, "one", "two")
    (shelf.folder / "two" / "graph" / "HCLr.fst").unlink()
    choice = shelf.choose("en")
    assert choice.path == (shelf.folder / "one").resolve()
    assert len(choice.problems) == 1
    assert "two is not complete" in choice.problems[0]
    with pytest.raises(ModelError):
        shelf.active("en")


def test_a_damaged_list_of_active_models_gives_way_to_the_newest_installed(shelf: Shelf, put: Put) -> None:
    put("old", installed_at="2026-01-01T00:00:00+00:00")
    put("new", installed_at="2026-02-02T00:00:00+00:00")
    put("neu", "de", installed_at="2026-03-03T00:00:00+00:00")
    activate(shelf, "old")
    (shelf.folder / "active.json").write_bytes(b"{")
    choice = shelf.choose("en")
    assert choice.path == (shelf.folder / "new").resolve()
    assert "active.json is damaged; choose again" in choice.problems[0]
    with pytest.raises(ShelfError, match="damaged"):
        shelf.slots()
    activate(shelf, "old")
    assert shelf.choose("en").problems == ()


def test_with_only_damaged_models_the_active_one_is_the_choice(shelf: Shelf, put: Put) -> None:
    folder = put("one")
    activate(shelf, "one")
    (folder / "am" / "final.mdl").unlink()
    choice = shelf.choose("en")
    assert choice.path == folder
    assert len(choice.problems) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"format": 2, "languages": {}}',
        b'{"languages": {"en": {"active": "../../etc"}}}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_a_list_of_active_models_that_is_none_is_told(shelf: Shelf, put: Put, content: bytes) -> None:
    put("one")
    (shelf.folder / "active.json").write_bytes(content)
    with pytest.raises(ShelfError, match="is damaged"):
        shelf.slots()


# ---------------------------------------------------------------- manifests


def test_each_kind_of_damage_is_one_sentence(shelf: Shelf, put: Put) -> None:
    folder = put("one")
    known = manifest.read(folder)
    assert manifest.problems(folder, known) == []
    (folder / "am" / "final.mdl").write_bytes(b"one am/final.mdL")
    (folder / "conf" / "model.conf").write_bytes(b"")
    (folder / "graph" / "HCLr.fst").unlink()
    (folder / "graph" / "added").write_bytes(b"x")
    found = manifest.problems(folder, known)
    assert len(found) == 4
    assert "final.mdl is not as it was installed" in found[0]
    assert "model.conf has 0 bytes instead of 19" in found[1]
    assert "HCLr.fst is missing" in found[2]
    assert "graph/added does not belong to the model" in found[3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "other"}, "is not this model's manifest"),
        ({"files": {"../../etc/passwd": {"sha256": "0" * 64, "size_bytes": 1}}}, "is not this model's manifest"),
        ({"files": {"am/final.mdl": {"sha256": "0", "size_bytes": 1}}}, "is damaged"),
        ({"language": "\x1b[2J"}, "is damaged"),
        ({"format": 2}, "is damaged"),
    ],
)
def test_a_manifest_that_is_none_is_told(shelf: Shelf, put: Put, change: dict[str, object], said: str) -> None:
    path = put("one") / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=said):
        manifest.read(path.parent)
    assert [(one.name, one.manifest) for one in shelf.installed()] == [("one", None)]


def test_a_file_is_old_or_new_and_never_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "active.json"
    files.write_atomically(path, b"old")

    def power_cut(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (41205931, "41.2 MB"), (128_000_000, "128 MB"),
     (999_499_999, "999 MB"), (999_999_999, "1.0 GB"), (1_800_000_000, "1.8 GB")],
)  # fmt: skip
def test_sizes_are_readable(size: int, text: str) -> None:
    assert files.readable(size) == text
