"""One ear process as its parent sees it: a process and three pipes, none of which can block or raise."""

import contextlib
import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from audio.protocol import LONGEST_LINE_BYTES, Command, Event, ProtocolError, Start, decode_event, encode

logger = logging.getLogger(__name__)

READ_BYTES: Final = 65536
STDERR_BYTES_PER_S: Final = 16384
"""PortAudio can print without end, a gigabyte in minutes; what is not read makes the printing thread wait."""
STDERR_LINES_LOGGED: Final = 50
WRONG_LINES_LOGGED: Final = 3
STDERR_LINE_CHARS: Final = 300
ENDING_S: Final = 0.5
REAP_S: Final = 2.0


class ChildError(Exception):
    """The process could not be started."""


class EarChild:
    """A running ear. Raises `ChildError` when `command` cannot be started. To be used by one thread, but for `send`.

    `start` are its orders; the descriptor that they name is given to it. `environment` is the whole environment of the
    process; None: the parent's own.
    """

    def __init__(
        self,
        start: Start,
        command: Sequence[str],
        environment: Mapping[str, str] | None,
        monotonic: Callable[[], float],
    ) -> None:
        try:
            # The reaping is `close`'s work, and the pipes live as long as the process.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                bufsize=0,
                pass_fds=() if start.shared_fd is None else (start.shared_fd,),
            )
        except OSError as error:
            raise ChildError(f"the ear cannot be started: {command[0]}: {error.strerror}") from error
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._stdin, self._stdout, self._stderr = (pipe for pipe in pipes if pipe is not None)
        for pipe in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
        self._monotonic = monotonic
        self._partial_line = b""
        self._stderr_budget = float(STDERR_BYTES_PER_S)
        self._stderr_read_s = monotonic()
        self._stderr_partial_line = b""
        self._stderr_lines = 0
        self._wrong_lines = 0
        self.last_words: deque[str] = deque(maxlen=20)
        """The newest lines of the process's standard error."""
        self._send_line(encode(start))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def stdout_fd(self) -> int:
        """To wait for events on."""
        return self._stdout.fileno()

    def send(self, command: Command) -> None:
        """Give a command. To a dead or hanging ear it is lost, which its supervisor finds out soon. Any thread."""
        self._send_line(encode(command))

    def read_events(self) -> list[Event] | None:
        """The events that have arrived; None when the process has closed its output."""
        try:
            data = os.read(self.stdout_fd, READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, self._partial_line = (self._partial_line + data).split(b"\n")
        if len(self._partial_line) > LONGEST_LINE_BYTES:
            self._partial_line = b""
        events = []
        for line in lines:
            try:
                events.append(decode_event(line))
            except ProtocolError as error:
                self._note_wrong_line(error)
        return events

    def read_stderr(self) -> None:
        """Take what the process printed to standard error, at a bounded pace, and log the first of it."""
        now = self._monotonic()
        earned = (now - self._stderr_read_s) * STDERR_BYTES_PER_S
        self._stderr_budget = min(float(STDERR_BYTES_PER_S), self._stderr_budget + earned)
        self._stderr_read_s = now
        if self._stderr_budget < 1:
            return
        try:
            data = os.read(self._stderr.fileno(), int(self._stderr_budget))
        except BlockingIOError:
            return
        self._stderr_budget -= len(data)
        *lines, rest = (self._stderr_partial_line + data).split(b"\n")
        self._stderr_partial_line = rest[-READ_BYTES:]
        for line in lines:
            self._note(line)

    def close(self, *, is_ending: bool) -> str:
        """Kill the process and close the pipes; how it ended. `is_ending`: it closed its output; let it end first."""
        status = self._wait(ENDING_S) if is_ending else None
        ending = "it was killed" if status is None else _ending(status)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._wait(REAP_S) is None:
            logger.warning("the ear, process %s, does not die; it is left behind", self.pid)
        self.read_stderr()
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()
        return ending

    def _wait(self, limit_s: float) -> int | None:
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def _send_line(self, line: bytes) -> None:
        try:
            os.write(self._stdin.fileno(), line)
        except (OSError, ValueError) as error:  # ValueError: closed meanwhile
            logger.debug("a line to the ear was lost: %s", error)

    def _note_wrong_line(self, error: ProtocolError) -> None:
        self._wrong_lines += 1
        if self._wrong_lines <= WRONG_LINES_LOGGED:
            logger.warning("the ear sent a line that is no event: %s", error)
        elif self._wrong_lines == WRONG_LINES_LOGGED + 1:
            logger.warning("the ear sends more lines that are no events; they are left out")

    def _note(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()[:STDERR_LINE_CHARS]
        if not text:
            return
        self.last_words.append(text)
        self._stderr_lines += 1
        if self._stderr_lines <= STDERR_LINES_LOGGED:
            logger.debug("ear %s: %s", self.pid, text)
        elif self._stderr_lines == STDERR_LINES_LOGGED + 1:
            logger.debug("ear %s prints too much; the rest is left out", self.pid)


def _ending(status: int) -> str:
    if status >= 0:
        return f"it ended with status {status}"
    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was ended by signal {-status}"
