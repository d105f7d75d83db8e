"""What is written down about a model when it is installed, and whether its files are still the same."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from audio.model import ModelError
from audio.models import files
from audio.models.catalogue import Name
from audio.models.checksum import hash_file
from audio.models.layout import FILES

MANIFEST_NAME: Final = "manifest.json"
_MAX_MANIFEST_BYTES: Final = 64 * 1024

_Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Size = Annotated[int, Meta(ge=0)]
_Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", max_length=100)]


class FileRecord(Struct, frozen=True, kw_only=True):
    """One file, as it was installed."""

    sha256: _Sha256
    size_bytes: _Size


class ArchiveRecord(Struct, frozen=True, kw_only=True):
    """The archive that the model came in."""

    sha256: _Sha256
    md5: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    size_bytes: _Size


class Manifest(Struct, frozen=True, kw_only=True):
    """All about an installed model."""

    format: Literal[1] = 1
    name: Name
    language: Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[a-z0-9]{2,8})*\Z", max_length=35)]
    """A BCP 47 tag in lower case."""
    kind: _Line
    """`small`, `big` or another word of the catalogue; empty if unknown."""
    version: _Line
    source: Annotated[str, Meta(max_length=4096)]
    """The address or path that it came from."""
    archive: ArchiveRecord | None
    """None if it came unpacked."""
    installed_at: Annotated[str, Meta(max_length=40)]
    """UTC, by this machine's clock."""
    rate_hz: _Size
    memory_bytes: _Size
    """By how much a process grew at most that loaded the model and transcribed a little with it."""
    load_s: float
    vosk: _Line
    """The version of Vosk that loaded it."""
    files: dict[str, FileRecord]

    @property
    def size_bytes(self) -> int:
        """What the model takes on the disk."""
        return sum(record.size_bytes for record in self.files.values())


def read(folder: Path) -> Manifest:
    """The manifest of an installed model. Raises `ModelError` if it has none, or none that can be used."""
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            manifest = msgspec.json.decode(file.read(_MAX_MANIFEST_BYTES), type=Manifest)
    except FileNotFoundError:
        raise ModelError(f"{folder} was not installed by this program: it has no {MANIFEST_NAME}") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}); install the model again") from error
    strange = sorted(set(manifest.files) - FILES)
    if strange or manifest.name != folder.name:
        raise ModelError(f"{path} is not this model's manifest; install the model again")
    return manifest


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a model's folder. Raises `OSError`."""
    files.write_atomically(folder / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def problems(folder: Path, manifest: Manifest) -> list[str]:
    """Compare each file with the manifest, as it is on the disk; one sentence for each that is not as it was."""
    found = []
    for name, record in sorted(manifest.files.items()):
        try:
            hasher = hash_file(folder / name)
        except FileNotFoundError:
            found.append(f"{folder / name} is missing")
            continue
        except OSError as error:
            found.append(f"{folder / name} cannot be read: {error.strerror or error}")
            continue
        if hasher.size_bytes != record.size_bytes:
            found.append(f"{folder / name} has {hasher.size_bytes} bytes instead of {record.size_bytes}")
        elif hasher.sha256 != record.sha256:
            found.append(f"{folder / name} is not as it was installed: its sha256 has changed")
    known = {*manifest.files, MANIFEST_NAME}
    for top, _, names in os.walk(folder):
        relative = (Path(top, name).relative_to(folder).as_posix() for name in sorted(names))
        found += [f"{folder / name} does not belong to the model" for name in relative if name not in known]
    return found
