"""One of the product's programs as a process whose output is read line by line."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

STOP_S = 15.0
BIN = Path(sys.executable).parent


class ProcessError(RuntimeError):
    """A program ended that should not have; the text holds its last words."""


class Process:
    """Started at once; `stop` asks it to end, `kill` does not ask.

    Every line of the stream named by ``watch`` goes to ``on_line``; all output is kept in ``log``.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        on_line: Callable[[str], None] | None = None,
        watch: Literal["stdout", "stderr"] = "stdout",
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._log = log
        self._on_line = on_line
        with log.open("ab") as rest:
            piped: dict[str, int | IO[bytes]] = {"stdout": rest, "stderr": rest, watch: subprocess.PIPE}
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                # A Ctrl-C at the terminal is for the demonstration, which then stops its processes in order.
                start_new_session=True,
                stdout=piped["stdout"],
                stderr=piped["stderr"],
            )
        self._reader = threading.Thread(target=self._read, args=(watch,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def children(self, name: str) -> list[int]:
        """Return the numbers of its direct children whose program has this name."""
        found = []
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                for child in (task / "children").read_text(encoding="ascii").split():
                    with contextlib.suppress(OSError):
                        if Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip() == name:
                            found.append(int(child))
        return found

    def write(self, line: str) -> None:
        """Write one line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def stop(self) -> int:
        """Ask it to end and wait; return its exit status. One that does not end in time is killed."""
        if self.alive:
            self._process.terminate()
        return self._wait()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it without asking, as a crash would."""
        self._process.send_signal(number)
        self._wait()

    def last_words(self, lines: int = 5) -> str:
        """Return the end of what it has written."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _wait(self) -> int:
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        return status

    def _read(self, watch: str) -> None:
        stream = self._process.stdout if watch == "stdout" else self._process.stderr
        assert stream is not None
        with stream, self._log.open("ab") as log:
            for raw in stream:
                log.write(raw)
                log.flush()
                if self._on_line is not None:
                    self._on_line(raw.decode("utf-8", "replace").rstrip("\n"))


def run_to_end(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> str:
    """Run a short command and return what it printed.

    Raises:
        ProcessError: it failed; with its message.
    """
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProcessError(f"{' '.join(map(str, command))} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
