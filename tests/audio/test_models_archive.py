import io
import json
import os
import shutil
import stat
import struct
import subprocess
import wave
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.model import DEMONSTRATION, ModelError, find_model
from audio.models import layout
from audio.models.archive import (
    MAX_FILES,
    MAX_RATIO,
    MAX_UNPACKED_BYTES,
    Archive,
    ArchiveError,
    Listed,
    check,
    safe_parts,
)
from audio.models.folder import Folder, find_source
from audio.models.layout import FILES, FLAT_CONFIGURATION, arrange
from audio.models.unpack import Contents, unpack, unpacked_bytes
from audio.recogniser import Recogniser, load
from tests.audio.model_archives import FILES as OF_DEMONSTRATION
from tests.audio.model_archives import NAME, model_zip, small_zip, zip_of

SPEECH = Path(__file__).parents[2] / "demo" / "speech"
GOOD = {f"{NAME}/{name}": name.encode() for name in OF_DEMONSTRATION}


def write(folder: Path, content: bytes, name: str = "model.zip") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def unpacked(contents: Contents, target: Path) -> Path:
    unpack(contents, arrange(contents.paths, contents.where), target)
    return target


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "/etc/passwd", "../x", "a/../../x", "a/./x", "./x", "a//x", "C:/x", "C:x", "a:b", "\\\\server\\x",
        "a\\..\\x", "a\0b", "a\nb", "con", "CON", "nul.txt", "a/COM1/x", "lpt9.mdl", "aux.", "x.", "x ", " x", "a./x",
        "a/" * 9 + "x", "x" * 256, "\ud800",
    ],
)  # fmt: skip
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^(it|a part)"):
        safe_parts(name)


@pytest.mark.parametrize(
    "name", ["am/final.mdl", "vosk-model-small-de-0.15/", "a b/ü.txt", ".hidden", "console", "x.y.z"]
)
def test_an_ordinary_name_is_taken(name: str) -> None:
    assert "/".join(safe_parts(name)) == name.removesuffix("/")


@given(st.text(alphabet=st.sampled_from(list("ab./\\: \0cCoOnN1\u0000\u00e9~$%")), max_size=24) | st.text(max_size=300))
def test_whatever_name_is_taken_stays_inside_on_every_system(name: str) -> None:
    try:
        parts = safe_parts(name)
    except ValueError:
        return
    inside = os.path.normpath(f"/shelf/{name}")
    assert inside == "/shelf/" + "/".join(parts)
    assert PurePosixPath(*parts).parts == parts
    on_windows = PureWindowsPath("C:/shelf", *parts)
    assert on_windows.parts == ("C:\\", "shelf", *parts)
    assert not on_windows.is_reserved()


# ---------------------------------------------------------------- lists of files


def listed(name: str, **fields: int) -> Listed:
    return Listed(name, **{"size_bytes": 10, "packed_bytes": 5, **fields})


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([listed("a"), listed("a")], "'a' is in it more than once"),
        ([listed("a/X"), listed("a/x")], "'a/x' is in it more than once"),
        ([listed("\u00e9"), listed("e\u0301")], "more than once"),
        ([listed("a"), listed("a/b")], "'a/b' in it lies below a file"),
        ([listed("a/b"), listed("a")], "'a' is in it more than once"),
        ([listed("a/"), listed("A")], "'A' is in it more than once"),
        ([listed("l", mode=stat.S_IFLNK | 0o777)], "'l' in it is a link"),
        ([listed("l/", mode=stat.S_IFLNK | 0o777)], "'l/' in it is a link"),
        ([listed("d", mode=stat.S_IFCHR | 0o666)], "that is no file"),
        ([listed("p", mode=stat.S_IFIFO | 0o666)], "that is no file"),
        ([listed("f", mode=stat.S_IFDIR | 0o755)], "that is no file"),
        ([listed("e", flags=1)], "'e' in it is encrypted"),
        ([listed("e", flags=0x41)], "'e' in it is encrypted"),
        ([listed("m", method=zipfile.ZIP_LZMA)], "packed by method 14"),
        ([listed("b", size_bytes=200 * 1024**2, packed_bytes=1024**2)], "more than 100 times its size"),
        ([listed(f"{n}", size_bytes=1024**2, packed_bytes=5) for n in range(200)], "unpack to more than 100 times"),
        ([listed("o", packed_bytes=900), listed("p", packed_bytes=900)], "overlap"),
        (
            [listed("h", size_bytes=MAX_UNPACKED_BYTES + 1, packed_bytes=MAX_UNPACKED_BYTES)],
            f"more than {MAX_UNPACKED_BYTES}",
        ),
        ([listed(f"{n}") for n in range(MAX_FILES + 1)], f"more than {MAX_FILES} files"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_hostile_list_is_refused(items: list[Listed], said: str) -> None:
    with pytest.raises(ArchiveError, match=said):
        check(items, archive_bytes=1000)


def test_folders_and_the_files_in_them_are_no_duplicates() -> None:
    names = ["a/", "a/b/", "a/b/c", "A2", "a/d"]
    assert set(check(map(listed, names), 1000)) == {("a", "b", "c"), ("A2",), ("a", "d")}


ITEMS = st.builds(
    Listed,
    name=st.text(alphabet="ab/.", max_size=8),
    size_bytes=st.integers(0, 2**40),
    packed_bytes=st.integers(0, 2**40),
    flags=st.sampled_from([0, 0, 1]),
    method=st.sampled_from([0, 8, 8, 12]),
    mode=st.sampled_from([0, 0, 0o100644, 0o40755, 0o120777]),
)


@given(st.lists(ITEMS, max_size=6), st.integers(0, 2**40))
def test_what_is_taken_fits_on_a_disk(items: list[Listed], archive_bytes: int) -> None:
    try:
        taken = check(items, archive_bytes)
    except ArchiveError:
        return
    assert sum(item.size_bytes for item in taken.values()) <= max(MAX_RATIO * archive_bytes, 1024**2)
    assert not any(item.flags & 1 for item in taken.values())


# ---------------------------------------------------------------- real archives


def test_a_model_is_unpacked_to_what_vosk_reads_and_nothing_else(tmp_path: Path) -> None:
    os.umask(before := os.umask(0o077))
    try:
        os.umask(0o077)
        with Archive(write(tmp_path, model_zip())) as archive:
            assert unpacked_bytes(archive, arrange(archive.paths, "it")) == sum(
                (DEMONSTRATION / name).stat().st_size for name in OF_DEMONSTRATION
            )
            folder = unpacked(archive, tmp_path / "out")
    finally:
        os.umask(before)
    assert files_below(folder) == {name: (DEMONSTRATION / name).read_bytes() for name in OF_DEMONSTRATION}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()} == {0o644}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")] if path.is_dir()} == {0o755}


def with_symlink() -> bytes:
    out = io.BytesIO(zip_of(GOOD))
    with zipfile.ZipFile(out, "a") as archive:
        info = zipfile.ZipInfo(f"{NAME}/graph/link")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/shadow")
    return out.getvalue()


def with_duplicate() -> bytes:
    content = bytearray(zip_of({**GOOD, f"{NAME}/am/final.mdk": b"second"}))
    return bytes(content.replace(b"final.mdk", b"final.mdl"))


def with_encryption() -> bytes:
    content = bytearray(zip_of(GOOD))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def bomb() -> bytes:
    return zip_of({**GOOD, f"{NAME}/zeros": bytes(50 * 1024**2)})


def with_many_files() -> bytes:
    return zip_of({**GOOD, **{f"{NAME}/{number}": b"" for number in range(MAX_FILES)}})


def with_long_list() -> bytes:
    return zip_of({f"{number:05d}" + "x" * 200: b"" for number in range(5000)})


def with_lying_size() -> bytes:
    """The list says that the first file has one byte less than it has."""
    content = bytearray(zip_of(GOOD))
    at = content.index(b"PK\x01\x02") + 24
    (size,) = struct.unpack_from("<I", content, at)
    struct.pack_into("<I", content, at, size - 1)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no zip archive"),
        (b"PK\x05\x06", "no zip archive"),
        (b"\x1f\x8b not a zip", "no zip archive"),
        (model_zip()[:-5000], "no zip archive"),
        (zip_of({**GOOD, "../../etc/cron.d/x": b"x"}), r"the name '\.\./\.\./etc/cron\.d/x' in it is refused"),
        (zip_of({**GOOD, "/etc/cron.d/x": b"x"}), "it is absolute"),
        (zip_of({**GOOD, "C:\\x": b"x"}), "a backslash or a drive letter"),
        (zip_of({**GOOD, f"{NAME}/NUL": b"x"}), "the name of a device"),
        (zip_of({**GOOD, f"{NAME}/AM/final.mdl": b"x"}), "more than once"),
        (with_symlink(), "is a link"),
        (with_duplicate(), "more than once"),
        (with_encryption(), "is encrypted"),
        (bomb(), "zip bomb"),
        (with_many_files(), f"more than {MAX_FILES} files"),
        (with_long_list(), "its list of files has more than"),
        (zip_of(GOOD, zipfile.ZIP_BZIP2), "packed by method 12"),
        (zip_of({"readme.txt": b"no model"}), "holds no speech model of Vosk"),
        (zip_of({**GOOD, "another/am/final.mdl": b"x"}), r"holds 2 models: another, vosk-model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_or_wrong_archive_is_refused_before_a_byte_is_written(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ModelError, match=said) as caught, Archive(path) as archive:
        unpacked(archive, tmp_path / "out")
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [with_lying_size(), None], ids=["lying size", "flipped byte"])
def test_a_damaged_file_in_an_archive_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        whole = bytearray(zip_of(GOOD, zipfile.ZIP_STORED))
        whole[whole.index(b"am/final.mdl", 60)] ^= 1
        content = bytes(whole)
    with (
        pytest.raises(ArchiveError, match=r"am/final\.mdl in .* (is damaged|has)"),
        Archive(write(tmp_path, content)) as archive,
    ):
        unpacked(archive, tmp_path / "out")


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0, 10**6))
def test_a_damaged_archive_gives_a_model_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(small_zip())
    for position, value in damage:
        content[position % len(content)] = value
    path = write(folder, bytes(content[: len(content) - cut % 2000 if cut % 3 == 0 else None]))
    try:
        with Archive(path) as archive:
            unpacked(archive, folder / "out")
    except ModelError:
        pass
    outside = {entry for entry in folder.iterdir() if entry.name not in {"model.zip", "out"}}
    assert outside == set()
    assert set(files_below(folder / "out")) <= FILES if (folder / "out").exists() else True
    shutil.rmtree(folder)


def test_an_archive_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="No such file"):
        Archive(tmp_path / "none.zip")


@pytest.mark.skipif(shutil.which("zip") is None, reason="the program zip is not installed")
def test_an_archive_of_info_zip_is_taken(tmp_path: Path) -> None:
    shutil.copytree(DEMONSTRATION, tmp_path / NAME)
    subprocess.run(["zip", "-qr", "packed.zip", NAME], cwd=tmp_path, check=True)
    with Archive(tmp_path / "packed.zip") as archive:
        assert find_model(unpacked(archive, tmp_path / "out")).rate_hz == 16000


# ---------------------------------------------------------------- layouts


def flat(folder: Path) -> Path:
    """The demonstration model in the layout of older models."""
    folder.mkdir()
    for source, name in layout._FLAT.items():
        if (DEMONSTRATION / name).exists():
            shutil.copy(DEMONSTRATION / name, folder / source)
    return folder


def test_a_model_in_the_flat_layout_is_rearranged_with_the_options_that_vosk_has_for_it(tmp_path: Path) -> None:
    source = Folder(flat(tmp_path / "vosk-model-small-pt-0.3"))
    folder = unpacked(source, tmp_path / "out")
    assert set(files_below(folder)) == set(OF_DEMONSTRATION)
    assert (folder / "conf" / "model.conf").read_bytes() == FLAT_CONFIGURATION
    assert find_model(folder).rate_hz == 16000


def test_a_rearranged_model_understands_what_vosk_understands_with_the_flat_one(tmp_path: Path) -> None:
    import vosk

    old = flat(tmp_path / "old")
    new = unpacked(Folder(old), tmp_path / "new")
    with wave.open(str(SPEECH / "flowers.wav"), "rb") as file:
        sound = file.readframes(file.getnframes())
    with_new = Recogniser(load(new), 16000)
    with_new.accept(sound)
    bare = vosk.KaldiRecognizer(vosk.Model(str(old)), 16000)
    for at in range(0, len(sound), 3200):
        bare.AcceptWaveform(sound[at : at + 3200])
    text = with_new.finish().text
    assert text == json.loads(bare.FinalResult())["text"]
    assert "flowers" in text


@pytest.mark.parametrize("prefix", [(), ("m",), ("a", "b")])
def test_a_model_is_found_at_any_depth(prefix: tuple[str, ...]) -> None:
    paths = [(*prefix, *name.split("/")) for name in (*OF_DEMONSTRATION, "README")]
    found = arrange(paths, "it")
    assert found.folder == (prefix[-1] if prefix else "")
    assert set(found.files.values()) == set(OF_DEMONSTRATION)
    assert not found.is_flat


def test_a_speaker_model_is_no_speech_model() -> None:
    with pytest.raises(ModelError, match="holds no speech model"):
        arrange([("spk", "final.ext.raw"), ("spk", "mfcc.conf"), ("spk", "mean.vec")], "it")


# ---------------------------------------------------------------- folders


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def test_a_model_in_a_folder_is_copied(stick: Path, tmp_path: Path) -> None:
    shutil.copytree(DEMONSTRATION, stick / NAME)
    folder = unpacked(Folder(stick / NAME), tmp_path / "out")
    assert files_below(folder) == {name: (DEMONSTRATION / name).read_bytes() for name in OF_DEMONSTRATION}


@pytest.mark.parametrize("linked", ["am", "am/final.mdl"])
def test_a_link_in_a_folder_is_not_followed(stick: Path, tmp_path: Path, linked: str) -> None:
    shutil.copytree(DEMONSTRATION, stick / NAME)
    (stick / NAME / linked).rename(tmp_path / "elsewhere")
    (stick / NAME / linked).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArchiveError, match="is a link"):
        Folder(stick / NAME)


def test_the_only_model_on_a_stick_is_found(stick: Path) -> None:
    (stick / "photo.jpg").write_bytes(b"")
    with pytest.raises(ArchiveError, match="has no model in it"):
        find_source(stick)
    archive = write(stick, small_zip(), "model.ZIP")
    assert find_source(stick) == archive
    assert find_source(archive) == archive
    shutil.copytree(DEMONSTRATION, stick / NAME)
    assert find_source(stick / NAME) == stick / NAME
    with pytest.raises(ArchiveError, match=rf"has 2 models in it, name one of them: model\.ZIP, {NAME}"):
        find_source(stick)
    with pytest.raises(ArchiveError, match="there is no file and no folder"):
        find_source(stick / "nowhere")
