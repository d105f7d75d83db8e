"""Sentences through the whole ear and through Vosk alone, in turns, in real time."""

import random
import threading
import time
import wave
from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

import msgspec

from audio.ear_process import EarProcess
from audio.protocol import EarEvent, Ready, Transcript
from audio.resample import Interpolator
from audio.settings import AudioSettings
from benchmarks.bare_vosk import BareVisit, BareVosk
from benchmarks.processor_time import process_cpu_s, thread_cpu_s
from demo.microphone import SimulatedMicrophone

E = TypeVar("E", bound=EarEvent)

WAIT_S: Final = 60.0
IDLE_S: Final = 5.0
WARM_UP: Final = 2
NOISE_PEAK: Final = 8
"""Of the simulated microphone's room, in steps of a 16-bit sample."""


class Sentence(NamedTuple):
    """Raw sound: what the visitor says, and the same with pre-roll and tail, as it comes to Vosk."""

    said: Path
    whole: Path


class Visit(NamedTuple):
    """One sentence through the ear."""

    text: str
    audio_s: float
    """Pre-roll and tail included."""
    wall_s: float
    cpu_s: float
    """User and system time of the whole process from `Begin` to the transcript."""
    threads_cpu_s: dict[int, float]
    answer_ms: float
    """From `Finish` to the transcript, both as the parent sees them."""


@dataclass(slots=True)
class Rounds:
    """What was measured of the sentences, in their order."""

    ear: list[Visit] = field(default_factory=list)
    without_tail: list[Visit] = field(default_factory=list)
    """Through an ear that records nothing after `Finish`."""
    vosk: list[BareVisit] = field(default_factory=list)
    idle_cpu: dict[int, float] = field(default_factory=dict)
    """The share of a core that each of the ear's threads takes while nobody speaks."""
    main_thread: int = 0
    ear_memory: dict[str, float] = field(default_factory=dict)
    vosk_memory: dict[str, float] = field(default_factory=dict)


class LiveEar:
    """An ear before a simulated microphone of its own; a context manager."""

    def __init__(self, folder: Path, build_dir: Path, rate_hz: int, settings: AudioSettings) -> None:
        self._changed = threading.Condition()
        self._events: list[tuple[EarEvent, float]] = []
        self._visits = 0
        self._stack = ExitStack()
        self._microphone = SimulatedMicrophone(folder, rate_hz=rate_hz, build_dir=build_dir)
        self._ear = EarProcess(settings, self._receive, environment=self._microphone.environment())
        self.start_s = 0.0
        """From its start to `Ready`."""

    def __enter__(self) -> Self:
        began_s = time.monotonic()
        self._stack.enter_context(self._microphone)
        self._stack.enter_context(self._ear)
        self.start_s = self._wait(Ready)[1] - began_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """The ear's process."""
        pid = self._ear.stats().pid
        assert pid is not None, "the ear is ready"
        return pid

    def hear(self, sound: Path) -> Visit:
        """One visit, with `Finish` right after the last sample. Raises `RuntimeError` when it does not end."""
        visit = str(self._visits)
        self._visits += 1
        with self._changed:
            self._events.clear()
        pid = self.pid
        began_s, began_cpu_s, threads_cpu_s = time.monotonic(), process_cpu_s(pid), thread_cpu_s(pid)
        self._ear.begin(visit)
        self._microphone.say(sound)
        if not self._microphone.wait_until_said(WAIT_S):
            raise RuntimeError("the simulated microphone does not end")
        finished_s = time.monotonic()
        self._ear.finish(visit)
        transcript, answered_s = self._wait(Transcript)
        return Visit(
            text=transcript.text or "",
            audio_s=transcript.audio_s,
            wall_s=answered_s - began_s,
            cpu_s=process_cpu_s(pid) - began_cpu_s,
            threads_cpu_s=since(threads_cpu_s, thread_cpu_s(pid)),
            answer_ms=(answered_s - finished_s) * 1000,
        )

    def idle_cpu(self) -> dict[int, float]:
        """The share of a core that each thread takes while nobody speaks."""
        before_s = thread_cpu_s(self.pid)
        time.sleep(IDLE_S)
        return {number: cpu_s / IDLE_S for number, cpu_s in since(before_s, thread_cpu_s(self.pid)).items()}

    def _receive(self, event: EarEvent) -> None:
        with self._changed:
            self._events.append((event, time.monotonic()))
            self._changed.notify_all()

    def _wait(self, kind: type[E]) -> tuple[E, float]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._of(kind), WAIT_S):
                raise RuntimeError(f"no {kind.__name__} within {WAIT_S:g} s")
            return self._of(kind)[0]

    def _of(self, kind: type[E]) -> list[tuple[E, float]]:
        return [(event, at_s) for event, at_s in self._events if isinstance(event, kind)]


def measure(
    folder: Path, build_dir: Path, rate_hz: int, settings: AudioSettings, model: Path, wavs: Sequence[Path]
) -> Rounds:
    """Let the ear, an ear without a tail and Vosk alone hear each sentence in turn."""
    rounds = Rounds()
    tailless = msgspec.structs.replace(settings, tail_ms=0)
    with (
        LiveEar(folder / "installed", build_dir, rate_hz, settings) as ear,
        LiveEar(folder / "tailless", build_dir, rate_hz, tailless) as other,
        BareVosk(model) as vosk,
    ):
        for number, wav in enumerate([*wavs[:WARM_UP], *wavs]):
            sentence = sentence_of(wav, folder, rate_hz, settings)
            visit, without_tail = ear.hear(sentence.said), other.hear(sentence.said)
            alone = vosk.hear(sentence.whole, rate_hz, at_once_s=settings.preroll_ms / 1000)
            if number >= WARM_UP:
                rounds.ear.append(visit)
                rounds.without_tail.append(without_tail)
                rounds.vosk.append(alone)
        rounds.main_thread, rounds.idle_cpu = ear.pid, ear.idle_cpu()
        rounds.ear_memory, rounds.vosk_memory = memory_mb(ear.pid), memory_mb(vosk.pid)
    return rounds


def sentence_of(wav: Path, folder: Path, rate_hz: int, settings: AudioSettings) -> Sentence:
    """The sound of a 16-bit mono WAV file at the microphone's rate."""
    sentence = Sentence(folder / f"{wav.stem}.raw", folder / f"{wav.stem}-whole.raw")
    if not sentence.whole.exists():
        with wave.open(str(wav), "rb") as file:
            samples, own_hz = file.readframes(file.getnframes()), file.getframerate()
        said = samples if own_hz == rate_hz else Interpolator(own_hz, rate_hz).convert(samples)
        before, after = (_room(rate_hz * length_ms // 1000) for length_ms in (settings.preroll_ms, settings.tail_ms))
        sentence.said.write_bytes(said)
        sentence.whole.write_bytes(before + said + after)
    return sentence


def since(before: dict[int, float], after: dict[int, float]) -> dict[int, float]:
    """By how much each thread's figure has grown."""
    return {number: value - before.get(number, 0.0) for number, value in after.items()}


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory of a process, by kind: `VmRSS` is all, `RssAnon` what is its own."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "RssAnon")}


def _room(frames: int) -> bytes:
    chance = random.Random(1)
    return array("h", [chance.randint(-NOISE_PEAK, NOISE_PEAK) for _ in range(frames)]).tobytes()
