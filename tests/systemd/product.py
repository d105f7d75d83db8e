"""The product of this checkout, put into a root file system as docs/installation.md says a person does it."""

import shutil
import sys
from pathlib import Path

from tests.systemd.debian import MachineError, run
from tests.systemd.unit_file import FOLDER, PRODUCTS

REPOSITORY = FOLDER.parent
EXTRAS = {"kiosk": "device", "gateway": "gateway"}
_SOURCES = ("contract", "audio", "firmware_bridge", "device", "gateway")
_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")


def install(root: Path, cache: Path) -> None:
    """Install both programs with their units, users and folders.

    Raises:
        MachineError: it cannot be done; the text says why.
    """
    wheels = root / "wheels"
    shutil.copytree(_wheels(cache), wheels)
    for product in PRODUCTS:
        place = f"/opt/voiseback-{product}"
        run("chroot", root, "python3", "-m", "venv", place)
        run(
            *("chroot", root, f"{place}/bin/pip", "--isolated", "install", "--quiet", "--no-index"),
            *("--find-links", "/wheels", f"voiseback-kiosk[{EXTRAS[product]}]"),
        )
        _copy(f"voiseback-{product}.service", root / "etc/systemd/system")
        for kind in ("sysusers", "tmpfiles"):
            _copy(f"voiseback-{product}.{kind}.conf", root / f"etc/{kind}.d", f"voiseback-{product}.conf")
        run("chroot", root, "systemctl", "enable", f"voiseback-{product}.service")
    shutil.rmtree(wheels)


def _copy(name: str, folder: Path, target: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FOLDER / name, folder / (target or name))


def _wheels(cache: Path) -> Path:
    """Return a folder with the locked requirements and the product, as wheels; the product is made anew each time."""
    wheels = cache / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for old in wheels.glob("voiseback_kiosk-*.whl"):
        old.unlink()
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels)
    for extra in EXTRAS.values():
        # What is there already is not loaded again.
        run(*pip, "--find-links", wheels, "--require-hashes", "-r", REPOSITORY / "requirements" / f"{extra}.txt")
    run(*pip, _sources(cache))
    return wheels


def _sources(cache: Path) -> Path:
    """Return a copy of what is packaged, so that no trace of the building is left in the checkout."""
    copy = cache / "sources"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in _FILES:
        shutil.copyfile(REPOSITORY / name, copy / name)
    for name in _SOURCES:
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def check_python(root: Path) -> None:
    """See that what is loaded here fits the Python there.

    Raises:
        MachineError: it does not.
    """
    there = run("chroot", root, "python3", "-c", "import sys; print(*sys.version_info[:2], sep='.')").strip()
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != there:
        raise MachineError(f"this runs with Python {here}, the container has {there}: make PYTHON=python{there}")
