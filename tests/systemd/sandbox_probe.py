"""Runs in the container, inside a unit's sandbox: tries what an attacker would, and prints what came of it as JSON."""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_TIMEX_BYTES = 512
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _run_from(folder: Path) -> None:
    program = folder / "probe-program"
    shutil.copyfile("/bin/true", program)
    try:
        program.chmod(0o755)
        subprocess.run([program], check=True)
    finally:
        program.unlink()


def _writable_mounts(own_state: Path) -> None:
    """Find a mount that is not read-only and not meant to be written, or raise."""
    own = ["/dev", "/proc", "/tmp", "/var/tmp", str(own_state), f"/run/{own_state.name}"]
    # The container's own, and the stand-in for a microphone: a real machine has neither.
    own += ["/run/host", "/var/lib/simulated-microphone"]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, options = line.split()[4:6]
        if "rw" in options.split(",") and not any(place == one or place.startswith(f"{one}/") for one in own):
            print(f"writable: {place}", flush=True)
            return
    raise PermissionError


def _others() -> None:
    """See a process of somebody else, or raise."""
    owners = {path.stat().st_uid for path in Path("/proc").iterdir() if path.name.isdigit()}
    if owners <= {os.getuid()}:
        raise PermissionError


def _make_setuid(folder: Path) -> None:
    path = folder / "probe-setuid"
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def attempts(own_state: Path, other_state: Path) -> dict[str, Callable[[], object]]:
    """Return every attempt by its name."""
    kernel = Path("/proc/sys/kernel/core_pattern")
    return {
        "write its state": lambda: (own_state / "probe").write_text(""),
        "read the clock's state": lambda: _call("adjtimex", ctypes.create_string_buffer(_TIMEX_BYTES)),
        "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
        "write to /etc": lambda: Path("/etc/probe").write_text(""),
        "write to /opt": lambda: Path("/opt/probe").write_text(""),
        "change a kernel setting": lambda: kernel.write_text(kernel.read_text()),
        "read the credentials file itself": lambda: Path("/etc/voiseback/credentials.toml").read_text(),
        "read the other service's state": lambda: list(other_state.iterdir()),
        "see a process of others": _others,
        "run a program from its state": lambda: _run_from(own_state),
        "run a program from /tmp": lambda: _run_from(Path("/tmp")),
        "run a program from /var/tmp": lambda: _run_from(Path("/var/tmp")),
        "run a program from /dev/shm": lambda: _run_from(Path("/dev/shm")),
        "have other files on a writable mount": lambda: _writable_mounts(own_state),
        "make a setuid file": lambda: _make_setuid(own_state),
        "make a user namespace": lambda: _call("unshare", _CLONE_NEWUSER),
        "read packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        "load a kernel module": lambda: _call("init_module", None, 0, b""),
    }


def main(prefix: str, own_state: Path, other_state: Path) -> None:
    """Try everything."""
    found = {}
    for name, attempt in attempts(own_state, other_state).items():
        try:
            attempt()
        except OSError:
            found[name] = False
        else:
            found[name] = True
    print(prefix + json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
