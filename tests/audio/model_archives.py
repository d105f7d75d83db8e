"""Archives to install from: the demonstration model under another name, and its catalogue."""

import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from audio.model import DEMONSTRATION
from audio.models.trial import Trial

NAME = "vosk-model-small-en-us-0.15"
FILES = [
    "am/final.mdl",
    "conf/mfcc.conf",
    "conf/model.conf",
    "graph/Gr.fst",
    "graph/HCLr.fst",
    "graph/disambig_tid.int",
    "graph/phones/word_boundary.int",
    "graph/words.txt",
]
TRIAL = Trial(load_s=0.1, memory_bytes=20_000_000, vosk="0.3.45")


def zip_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


@functools.cache
def model_zip(name: str = NAME) -> bytes:
    """The demonstration model, as the Vosk project packs models: in a folder of the model's name, with a README."""
    files = {f"{name}/": b"", f"{name}/README": b"to be left out"}
    files |= {f"{name}/{file}": (DEMONSTRATION / file).read_bytes() for file in FILES}
    return zip_of(files)


@functools.cache
def small_zip(name: str = NAME, mark: str = "") -> bytes:
    """Has a model's layout and nothing that Vosk could load; quick to install where nothing is loaded."""
    return zip_of({f"{name}/{file}": f"{file} {mark}".encode() for file in FILES})


def entry(name: str, archive: bytes, url: str, **fields: object) -> dict[str, object]:
    """As the Vosk project's list has it."""
    return {
        "lang": "en-us",
        "lang_text": "US English",
        "md5": hashlib.md5(archive).hexdigest(),
        "name": name,
        "obsolete": "false",
        "size": len(archive),
        "size_text": f"{len(archive) / 2**20:.1f}MiB",
        "type": "small",
        "url": url,
        "version": name.rpartition("-")[2],
        **fields,
    }


def catalogue(*entries: Mapping[str, object]) -> bytes:
    return json.dumps(entries).encode()


def try_nothing(folder: Path) -> Trial:
    """In place of the trial, where models need not be loaded."""
    return TRIAL


class Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.done: list[tuple[int, int | None]] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def progress(self, done_bytes: int, total_bytes: int | None) -> None:
        self.done.append((done_bytes, total_bytes))
