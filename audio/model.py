"""A folder with a Vosk model: what must be in it, and what it is called."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEMONSTRATION: Final = Path(__file__).parent / "models" / "demonstration-en"
"""The embedded model: some 4,200 words around a shop, trained on synthetic speech. Real people are not understood."""

DEFAULT_RATE_HZ: Final = 16000
_LOWEST_RATE_HZ: Final = 4000
_HIGHEST_RATE_HZ: Final = 48000

# The layout that libvosk 0.3.45 reads (vosk-api, src/model.cc). It knows an older, flat one too, which a few models
# have (vosk-model-small-pt-0.3); `audio.models` rearranges those when it installs them.
_NEEDED: Final = ("am/final.mdl", "conf/model.conf", "conf/mfcc.conf")
_GRAPHS: Final = (("graph/HCLG.fst",), ("graph/HCLr.fst", "graph/Gr.fst"))


class ModelError(Exception):
    """A model that cannot be used. One sentence: which, what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose layout was checked."""

    path: Path
    name: str
    """The folder's name."""
    is_demonstration: bool
    rate_hz: int
    """The sample rate that it was trained for. Vosk takes higher rates and refuses lower ones."""


def find_model(path: Path | None = None) -> Model:
    """The model in `path`; without one, the embedded demonstration model. Nothing is loaded.

    Raises `ModelError` for a folder that is no Vosk model.
    """
    folder = (path or DEMONSTRATION).resolve()
    if folder.is_file():
        raise ModelError(f"the model {folder} is a file; unpack it, and name the folder that it was unpacked into")
    if not folder.is_dir():
        raise ModelError(f"there is no model at {folder}; install one, or correct the path")
    missing = [name for name in _NEEDED if not _has_content(folder / name)]
    if not any(all(_has_content(folder / part) for part in graph) for graph in _GRAPHS):
        missing.append("graph/HCLG.fst (or graph/HCLr.fst with graph/Gr.fst)")
    if missing:
        raise ModelError(f"the model {folder} is not complete: {_hint(folder, missing)}")
    return Model(folder, folder.name, folder == DEMONSTRATION.resolve(), _rate_hz(folder / "conf" / "mfcc.conf"))


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _hint(folder: Path, missing: list[str]) -> str:
    try:
        inner = [entry for entry in sorted(folder.iterdir()) if (entry / "am").is_dir()]
    except OSError as error:
        raise ModelError(f"the model {folder} cannot be read: {error.strerror}") from error
    if len(inner) == 1:
        return f"it has no {missing[0]}; did you mean the folder inside it, {inner[0]}?"
    return f"{', '.join(missing)} missing or empty; unpack the model again"


def _rate_hz(mfcc: Path) -> int:
    try:
        text = mfcc.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ModelError(f"{mfcc} cannot be read: {error.strerror}") from error
    found = re.search(r"^--sample-frequency=(\d{1,6})(?:\.0*)?\s*$", text, re.MULTILINE)
    rate_hz = int(found[1]) if found else DEFAULT_RATE_HZ
    if not _LOWEST_RATE_HZ <= rate_hz <= _HIGHEST_RATE_HZ:
        raise ModelError(f"{mfcc} has a sample frequency of {rate_hz} Hz, which no Vosk model has")
    return rate_hz
