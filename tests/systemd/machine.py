"""A machine with a systemd of its own, in a container: boots a root file system, and runs commands in it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from demo.process import Process
from tests.systemd.debian import MachineError

T = TypeVar("T")

BOOT_S = 60.0
POWER_OFF_S = 30.0
COMMAND_S = 60.0
POLL_S = 0.05
HOST_NAME = "shop"

# For device rules, which systemd loads into the kernel as programs, and to read the state of the clock; the container
# refuses both by default, a real machine does not.
_ALLOWED = ("--system-call-filter=bpf adjtimex clock_adjtime", "--capability=CAP_BPF")


def until(look: Callable[[], T | None], within_s: float, what: str) -> T:
    """Wait until ``look`` returns something true, and return it.

    Raises:
        MachineError: it did not within ``within_s``; ``what`` names what was waited for.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise MachineError(f"{what}: not within {within_s:.0f} s")
        time.sleep(POLL_S)


class Machine:
    """Runs from entering the context to leaving it, without any network but its own loopback.

    Args:
        root: its file system; it is changed.
        log: where the console's output goes.
    """

    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self._log = log
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        (self.root / "etc/hostname").write_text(f"{HOST_NAME}\n", encoding="ascii")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {HOST_NAME}\n", encoding="ascii")
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, *command: object, check: bool = True) -> str:
        """Run a command in the machine as its root and return what it printed.

        Raises:
            MachineError: it failed, and ``check`` is set.
        """
        done = subprocess.run(
            self._inside(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        if check and done.returncode != 0:
            raise MachineError(f"{' '.join(map(str, command))} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done.stdout

    def start(self, *command: object, log: Path, on_line: Callable[[str], None]) -> Process:
        """Start a program with the machine's files and network whose standard output is read line by line.

        It is no process of the machine's, so that signals reach it and the machine's end does not wait for it.
        """
        enter = ("nsenter", "--target", str(self._init), "--mount", "--uts", "--ipc", "--net")
        return Process([*enter, *map(str, command)], log=log, on_line=on_line)

    def console(self) -> str:
        """Return the end of what the console showed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def _inside(self, command: tuple[object, ...]) -> list[str]:
        return ["nsenter", "--target", str(self._init), "--all", *map(str, command)]

    def _boot(self) -> None:
        with self._log.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [
                    *("systemd-nspawn", "--boot", f"--directory={self.root}", f"--hostname={HOST_NAME}"),
                    *("--register=no", "--keep-unit", "--private-network", "--link-journal=no"),
                    *("--resolv-conf=off", "--timezone=off", *_ALLOWED),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                # One tree of groups for everything, as Debian has had it since bullseye, whatever this machine has.
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        self._init = until(self._find_init, BOOT_S, "the container's init")
        until(self._is_up, BOOT_S, "the container's boot")

    def _find_init(self) -> int | None:
        """Return this machine's number of the container's first process."""
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise MachineError(f"systemd-nspawn ended at once: {self.console()}")
        seen = [self._nspawn.pid]
        for pid in seen:
            with contextlib.suppress(OSError, StopIteration):
                status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
                names = next(line for line in status if line.startswith("NSpid:")).split()[1:]
                if len(names) > 1 and names[-1] == "1":
                    return pid
                for task in Path(f"/proc/{pid}/task").iterdir():
                    seen += map(int, (task / "children").read_text(encoding="ascii").split())
        return None

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-active", "basic.target", check=False).strip() == "active"

    def _end(self) -> None:
        if self._nspawn is None:
            return
        self._nspawn.send_signal(signal.SIGTERM)
        try:
            self._nspawn.wait(POWER_OFF_S)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


def fresh_copy(base: Path, target: Path) -> Path:
    """Return ``target`` as a copy of ``base``, in place of what is there."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(target)], check=True, stdin=subprocess.DEVNULL)
    return target
