"""One of the two units on a booted machine: how it is, and what its journal holds."""

import json
from dataclasses import dataclass
from typing import Any

from tests.systemd.machine import Machine, until

_PROPERTIES = (
    "ActiveState",
    "MainPID",
    "NRestarts",
    "ExecMainStartTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
    "WatchdogUSec",
)


@dataclass(frozen=True, slots=True)
class State:
    """What systemd says of a unit."""

    active: str
    """``active``, ``activating``, ``failed`` and so on."""
    main_pid: int
    restarts: int
    started_s: float
    """When the program was started last, in seconds since boot."""
    ready_s: float
    """When it told that it is ready, in seconds since boot; that of an earlier life if it has not yet."""
    watchdog_s: float


class Service:
    """A unit of the product, by its short name."""

    def __init__(self, machine: Machine, product: str) -> None:
        self.name = f"voiseback-{product}"
        self._machine = machine

    def state(self) -> State:
        """Return how it is now."""
        shown = self._machine.run("systemctl", "show", f"--property={','.join(_PROPERTIES)}", self.name)
        fields = dict(line.split("=", 1) for line in shown.splitlines())
        return State(
            active=fields["ActiveState"],
            main_pid=int(fields["MainPID"]),
            restarts=int(fields["NRestarts"]),
            started_s=int(fields["ExecMainStartTimestampMonotonic"]) / 1e6,
            ready_s=int(fields["ActiveEnterTimestampMonotonic"]) / 1e6,
            watchdog_s=float(fields["WatchdogUSec"].removesuffix("s")),
        )

    def wait_until_ready(self, within_s: float, *, other_than: int = 0) -> State:
        """Wait until it is active, in a process other than the one that is named, and return how it is then."""

        def look() -> State | None:
            state = self.state()
            is_new = state.main_pid not in {0, other_than}
            return state if state.active == "active" and is_new and state.ready_s >= state.started_s else None

        return until(look, within_s, f"{self.name} ready")

    def wait_until_stopped(self, within_s: float) -> None:
        """Wait until it has ended."""
        until(lambda: self.state().active == "inactive", within_s, f"the end of {self.name}")

    def act(self, verb: str) -> None:
        """Start, stop or restart it, without waiting for its end."""
        self._machine.run("systemctl", "--no-block", verb, self.name)

    def kill(self, number: str, pid: int) -> None:
        """Send a signal to one of its processes."""
        self._machine.run("sh", "-c", f"kill -{number} {pid}")

    def children(self) -> dict[int, str]:
        """Return its processes other than the main one: their numbers, and the command lines."""
        main = self.state().main_pid
        listed = self._machine.run("cat", f"/sys/fs/cgroup/system.slice/{self.name}.service/cgroup.procs", check=False)
        found = {}
        for pid in map(int, listed.split()):
            command = self._machine.run("cat", f"/proc/{pid}/cmdline", check=False)
            if pid != main and command:
                found[pid] = command.replace("\0", " ").strip()
        return found

    def child(self, part: str, within_s: float, *, other_than: int = 0) -> int:
        """Wait for a child whose command line has ``part`` in it, and return its number."""

        def look() -> int | None:
            return next((pid for pid, line in self.children().items() if part in line and pid != other_than), None)

        return until(look, within_s, f"{part} of {self.name}")

    def journal(self, *options: str) -> list[dict[str, Any]]:
        """Return the lines of its journal: its own and those that systemd writes about it."""
        printed = self._machine.run("journalctl", "--unit", self.name, "--output=json", "--all", *options)
        return [json.loads(line) for line in printed.splitlines()]

    def said(self, part: str) -> list[dict[str, Any]]:
        """Return the lines of its journal that have ``part`` in them."""
        return [line for line in self.journal() if part in str(line["MESSAGE"])]
