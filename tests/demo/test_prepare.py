"""Setting up where a Debian package is missing and nobody may install it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout's beginning, with an ordinary user's machine around it: no root, no sudo without a password."""
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(REPOSITORY / "scripts" / "prepare", root / "scripts" / "prepare")
    shutil.copy(REPOSITORY / "Makefile", root / "Makefile")
    return root


def prepare(checkout: Path, *command: str, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run a command with some programs of the machine replaced by shell scripts."""
    folder = checkout.parent / "bin"
    folder.mkdir()
    for name, body in {"id": "echo 1000", "sudo": "exit 1", "apt-get": "touch apt-was-run", **programs}.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    return subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, "PYTHON": "python3", "PATH": f"{folder}:{os.environ['PATH']}", "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_missing_package_is_one_sentence_with_the_exact_command(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    done = prepare(checkout, "scripts/prepare", "demo", dpkg_query='[ "$3" = libasound2-dev ] || echo installed')
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "prepare: Debian packages are missing; install them and run make again: sudo apt-get install libasound2-dev\n"
    )
    assert sorted(checkout.rglob("*")) == before


def test_make_demo_ends_with_status_2_too(checkout: Path) -> None:
    done = prepare(checkout, "make", "demo", dpkg_query="exit 1")
    assert done.returncode == 2
    assert "sudo apt-get install libportaudio2 libasound2-dev" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_too_old_is_one_sentence(checkout: Path) -> None:
    done = prepare(checkout, "scripts/prepare", "demo", python3="exit 1")
    assert done.returncode == 2
    assert done.stderr.startswith("prepare: Python 3.11 or later is needed")


def test_a_container_without_root_is_one_sentence(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    done = prepare(checkout, "make", "systemd-container")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "prepare: only root can boot a container with a systemd of its own; run it as root: sudo make systemd-container"
    )
    assert sorted(checkout.rglob("*")) == before
