"""`kiosk mic` as a technician types it, in front of a simulated microphone."""

import os
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from demo.microphone import SimulatedMicrophone

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 40.0


def environment(microphone: SimulatedMicrophone) -> dict[str, str]:
    """The environment in which a process finds this microphone and no other one by its name."""
    return {**os.environ, **microphone.environment()}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "device.cli.main", "mic", *map(str, arguments)]


def mic(
    variables: Mapping[str, str], *arguments: object, under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, `under` another one."""
    return subprocess.run(
        [*under, *command(*arguments)],
        cwd=REPOSITORY,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def running(variables: Mapping[str, str], *arguments: object) -> "Iterator[subprocess.Popen[str]]":
    """A command that is still at work; what is left of it is killed."""
    process = subprocess.Popen(
        command(*arguments),
        cwd=REPOSITORY,
        env={**variables, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def at_line(process: "subprocess.Popen[str]", part: str) -> None:
    """Wait for a line of its output."""
    assert process.stdout is not None
    for line in process.stdout:
        if part in line:
            return
    raise AssertionError(f"{part!r} was not printed; standard error: {process.stderr and process.stderr.read()}")


def interrupted(process: "subprocess.Popen[str]", number: int = signal.SIGINT) -> tuple[str, str]:
    """Send a signal; what the process still said."""
    process.send_signal(number)
    return process.communicate(timeout=LIMIT_S)


def raw(path: Path, samples: Sequence[int]) -> Path:
    path.write_bytes(array("h", samples).tobytes())
    return path
