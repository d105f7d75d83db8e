"""Vosk and a model alone in a process, for benchmarks to stand beside: `BareVosk` starts and drives it.

It hears raw 16-bit mono sound from files in real time, in the pieces in which the ear gives sound to Vosk.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

CHUNK_MS: Final = 100
STOP_S: Final = 5.0


class BareVisit(NamedTuple):
    """What one sound took."""

    text: str
    cpu_s: float
    """User and system time of the whole process, from the making of the recogniser to the final words."""
    final_ms: float
    """`FinalResult` alone."""


class BareVosk:
    """The process, ready to hear; a context manager."""

    def __init__(self, model: Path) -> None:
        began_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare_vosk", str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        self.start_s = time.monotonic() - began_s
        """From the process's start until the model was loaded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=STOP_S)  # it ends with its standard input

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def hear(self, sound: Path, rate_hz: int, *, at_once_s: float = 0.0) -> BareVisit:
        """Recognise a sound, of which the first `at_once_s` seconds are there at once, the rest in real time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(sound), rate_hz, at_once_s]) + "\n")
        self._process.stdin.flush()
        return BareVisit(*json.loads(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process with Vosk alone has ended")
        return line


def main() -> None:
    """Load the model, then answer each line with what hearing it took."""
    import vosk

    vosk.SetLogLevel(-1)
    model = vosk.Model(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        path, rate_hz, at_once_s = json.loads(line)
        sound = Path(path).read_bytes()
        began_cpu_s = time.process_time()
        recogniser = vosk.KaldiRecognizer(model, rate_hz)
        recogniser.SetWords(True)
        texts = _hear(recogniser, sound, rate_hz, at_once_s)
        began_s = time.perf_counter()
        texts.append(json.loads(recogniser.FinalResult())["text"])
        final_ms = (time.perf_counter() - began_s) * 1000
        text = " ".join(one for one in texts if one)
        print(json.dumps([text, time.process_time() - began_cpu_s, final_ms]), flush=True)


def _hear(recogniser: Any, sound: bytes, rate_hz: int, at_once_s: float) -> list[str]:
    texts = []
    size = rate_hz * CHUNK_MS // 1000 * 2
    began_s = time.monotonic() - at_once_s
    for end in range(size, len(sound) + size, size):
        early_s = began_s + end / 2 / rate_hz - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
        if recogniser.AcceptWaveform(sound[end - size : end]):
            texts.append(json.loads(recogniser.Result())["text"])
    return texts


if __name__ == "__main__":
    main()
