"""How much memory a model takes: before it is loaded, and when it is."""

import os
from pathlib import Path
from typing import Final

MB: Final = 1_000_000
BYTES_PER_FOLDER_BYTE: Final = 6.0
"""Of memory for each byte of the model's folder. Vosk's page of models (alphacephei.com/vosk/models) gives 300 MB at
run time for a small model of 50 MB; a user of mp4grep (its issue 23) saw 13 GB with en-us-0.22, an archive of 1.8 GB.
The embedded demonstration model takes less than twice its folder."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def estimate_bytes(folder: Path) -> int:
    """What the model in `folder` will take, from its size on the disk."""
    return round(BYTES_PER_FOLDER_BYTE * sum(_size(file) for file in folder.rglob("*")))


def resident_bytes() -> int:
    """Memory that this process has in use (its resident set). Raises `OSError`."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:
        return 0
