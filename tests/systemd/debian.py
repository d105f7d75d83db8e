"""A Debian root file system to boot: what is installed in it, where it comes from, and where it is kept."""

import hashlib
import platform
import shutil
import subprocess
from pathlib import Path

PACKAGES = (
    "systemd-sysv",
    "python3",
    "python3-venv",
    "libportaudio2",
    "libasound2-data",
    "mosquitto",
    "ca-certificates",
)
"""What the two programs need of Debian, and an init."""
DEBOOTSTRAP_S = 1200


class MachineError(RuntimeError):
    """The machine could not be made or started; the text says why."""


def run(*command: object, timeout_s: float = 300, cwd: Path | None = None) -> str:
    """Run a command of this machine to its end and return what it printed.

    Raises:
        MachineError: it failed; with its last words.
    """
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=cwd
    )
    if done.returncode != 0:
        raise MachineError(f"{' '.join(words)} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def base(cache: Path) -> Path:
    """Return the folder of a fresh Debian, made once and then kept in ``cache``; nobody must change it.

    It is the release of this machine, from where apt of this machine has it.

    Raises:
        MachineError: this is no Debian, or nothing can be loaded.
    """
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    digest = hashlib.sha256("\n".join((release, *PACKAGES)).encode()).hexdigest()[:12]
    root = cache / f"debian-{release}-{digest}"
    if root.exists():
        return root
    unfinished = root.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    run(
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        release,
        unfinished,
        _mirror(release),
        timeout_s=DEBOOTSTRAP_S,
    )
    unfinished.rename(root)
    return root


def _mirror(release: str) -> str:
    listing = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Identifier: Packages")
    for line in listing.splitlines():
        site, _, rest = line.partition(" ")
        if rest == f"{release} main":
            return site
    raise MachineError(f"apt on this machine names no source for Debian {release!r}; see /etc/apt")
