"""Compiles the ALSA plugin of the simulated microphone."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("simmic.c")
COMPILE_LIMIT_S = 60.0
_FLAGS = ("-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-DPIC")
_INSTALL = "sudo apt-get install gcc libasound2-dev"


class BuildError(Exception):
    """The plugin could not be compiled. The message says what to install or shows the compiler's words."""


def build(build_dir: Path) -> Path:
    """Compile the plugin into `build_dir`, unless this very source was compiled there before; its path.

    Raises `BuildError`.
    """
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()[:16]
    library = build_dir.resolve() / f"libasound_module_pcm_simmic-{digest}.so"
    if library.exists():
        return library
    build_dir.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(suffix=".so", dir=build_dir)
    os.close(handle)
    try:
        _compile(Path(unfinished))
        Path(unfinished).chmod(0o755)
        Path(unfinished).replace(library)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return library


def _compile(target: Path) -> None:
    command = ["gcc", *_FLAGS, "-o", str(target), str(SOURCE), "-lasound"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"gcc is not installed; install it with: {_INSTALL}") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"gcc took longer than {COMPILE_LIMIT_S:.0f} s for {SOURCE.name}") from error
    if done.returncode == 0:
        return
    if "asoundlib.h" in done.stderr or "-lasound" in done.stderr:
        raise BuildError(f"ALSA's development files are not installed; install them with: {_INSTALL}")
    raise BuildError(f"gcc refused {SOURCE.name}: {done.stderr.strip()[:2000]}")
