"""Transducers for composition while decoding, which only OpenFst's own program can write.

It is in Debian's libfst-tools and libfst22-plugins-base.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

PROGRAM: Final = "fstconvert"
_TYPE: Final = "olabel_lookahead"
_PLUGINS: Final = f"*/fst/*/{_TYPE}-fst.so"
_LIBRARIES: Final = (Path("/usr/lib"), Path("/usr/local/lib"))
_TIMEOUT_S: Final = 300


class OpenFstError(Exception):
    """OpenFst is missing or refused a transducer. One sentence."""


def lookahead(fst: bytes) -> tuple[bytes, dict[int, int]]:
    """`fst`, as OpenFst writes it, in the type `olabel_lookahead`, and for each output label the one in its place.

    It can be composed while decoding without trying every arc: each state lists the output labels to come as intervals,
    which are few because the labels are numbered anew. Raises `OpenFstError`.
    """
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs"
        done = _run(f"--fst_type={_TYPE}", f"--save_relabel_opairs={pairs}", plugins=_plugins(), given=fst)
        if done.returncode or not done.stdout:
            reason = " ".join(done.stderr.decode(errors="replace").split()) or "no reason given"
            raise OpenFstError(f"{PROGRAM} cannot convert the transducer: {reason}")
        lines = pairs.read_text(encoding="ascii").splitlines()
    return done.stdout, {int(before): int(now) for before, now in (line.split() for line in lines)}


def is_installed() -> bool:
    """Whether `lookahead` can work."""
    try:
        _run("--help")
        _plugins()
    except OpenFstError:
        return False
    return True


def _run(*arguments: str, plugins: Path | None = None, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # OpenFst finds its types through the dynamic linker, which does not look into the folder that Debian has them in.
    environment = os.environ | ({"LD_LIBRARY_PATH": str(plugins)} if plugins else {})
    try:
        return subprocess.run(
            [PROGRAM, *arguments], input=given, capture_output=True, env=environment, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OpenFstError(f"{PROGRAM} does not run ({error}); install Debian's libfst-tools") from error


def _plugins() -> Path:
    for library in _LIBRARIES:
        for plugin in sorted(library.glob(_PLUGINS)):
            return plugin.parent
    raise OpenFstError(f"OpenFst's type {_TYPE} is not there; install Debian's libfst22-plugins-base")
