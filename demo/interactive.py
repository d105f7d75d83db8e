"""`make demo ARGS=--interactive`: everything stays up, and the space bar is the record button."""

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import termios
import tty
import wave
from collections.abc import Iterator
from pathlib import Path

from demo.happenings import Happenings
from demo.microphone import SimulatedMicrophone
from demo.sentences import SENTENCES
from demo.store import Store
from demo.timeline import Timeline

_LIST_INPUTS = "import sounddevice; sys.exit(not any(d['max_input_channels'] for d in sounddevice.query_devices()))"
_POLL_S = 0.2

KEYS = "space: record (tap to start, tap to stop)   c: cancel   q: quit"
KEYS_WITH_WAV = KEYS + "   w: choose the WAV that the visitor speaks"


def run(build: Path) -> int:
    """Run until q is pressed; return the exit status."""
    if not sys.stdin.isatty():
        print("demo: --interactive needs a terminal", file=sys.stderr)
        return 2
    own = has_microphone()
    happenings = Happenings(Timeline(lambda line: print(line, end="\r\n", flush=True)))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voiseback-demo-")))
        microphone = None
        if not own:
            microphone = stack.enter_context(SimulatedMicrophone(folder / "microphone", build_dir=build))
        store = stack.enter_context(Store(folder, happenings, microphone=microphone, thanks_s=4.0))
        print("Starting ...", flush=True)
        store.set_up()
        store.start()
        print(
            "This machine's own microphone listens." if own else "No microphone here: a simulated one plays WAV files."
        )
        print(KEYS if own else KEYS_WITH_WAV, flush=True)
        _serve(store)
    return 0


def has_microphone() -> bool:
    """Tell whether PortAudio finds an input device; asked in a process of its own, for it can crash."""
    command = [sys.executable, "-c", f"import sys; {_LIST_INPUTS}"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=15).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _serve(store: Store) -> None:
    wav = next(iter(SENTENCES))
    with _single_keys():
        for key in _keys():
            match key:
                case "q" | "\x03" | "\x04":
                    return
                case " ":
                    _record(store, wav)
                case "c":
                    store.press("cancel")
                case "w" if store.microphone is not None:
                    wav = _ask_wav(wav)
                case _:
                    pass


def _record(store: Store, wav: Path) -> None:
    """Press the button; a simulated visitor begins to speak when the light says that it records."""
    mark = len(store.happenings)
    store.press()
    scene = store.happenings.wait_for("panel", "scene", since=mark, timeout_s=5).fields["scene"]
    if scene == "recording" and store.microphone is not None:
        try:
            store.microphone.say(wav)
        except (OSError, ValueError, EOFError) as error:
            print(f"{wav}: cannot be played: {error}", end="\r\n", flush=True)


def _ask_wav(before: Path) -> Path:
    with _whole_lines():
        answer = input(f"Path of a 16-bit mono WAV [{before}]: ").strip()
    path = Path(answer) if answer else before
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) == (1, 2):
                return path
        problem = "not 16-bit mono"
    except (OSError, EOFError, wave.Error) as error:
        problem = str(error)
    print(f"{path} cannot be spoken, {before} stays: {problem}", flush=True)
    return before


def _keys() -> Iterator[str]:
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], _POLL_S)
        if ready:
            # Not sys.stdin.read: it takes more than it gives, and select() would not know of the rest.
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys:
                return
            yield from keys.decode("utf-8", "replace")


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _whole_lines() -> Iterator[None]:
    now = termios.tcgetattr(sys.stdin)
    lines = termios.tcgetattr(sys.stdin)
    lines[3] |= termios.ICANON | termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, lines)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, now)
