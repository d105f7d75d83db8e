"""Sentences through the whole live path: simulated microphones in real time, and an ear process before each."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from audio.ear_process import EarProcess
from audio.protocol import FirstSound, Heartbeat, Ready, SpeechEnded, Transcript, Word
from audio.settings import AudioSettings
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from tests.audio.conftest import Recorder, wait_until

T = TypeVar("T")
R = TypeVar("R")

LIMIT_S: Final = 60.0
"""For anything; many ears may be starting at once."""
TRIES: Final = 4
"""A machine too busy loses sound before the ear has it, which the ear counts; what was lost so is said again."""


class Booth:
    """A visitor's place before one ear with a microphone of its own."""

    def __init__(self, microphone: SimulatedMicrophone, ear: EarProcess, recorder: Recorder) -> None:
        self._microphone = microphone
        self._ear = ear
        self._recorder = recorder
        self._visits = 0

    @property
    def rate_hz(self) -> int:
        return self._microphone.rate_hz

    def press_and_speak(self, sound: bytes, *, until_pause: bool) -> tuple[Word, ...]:
        """The words of a visitor who speaks from the press on. `until_pause`: who does not press again either."""

        def begin(visit: str) -> None:
            self._ear.begin(visit)
            self._say(sound)

        return self._heard(begin, until_pause=until_pause)

    def wait_and_speak(self, sound: bytes, *, until_pause: bool) -> tuple[Word, ...]:
        """Of one who waits until the kiosk records."""

        def begin(visit: str) -> None:
            since = self._recorder.mark()
            self._ear.begin(visit)
            self._recorder.wait(FirstSound, since, LIMIT_S)
            self._say(sound)

        return self._heard(begin, until_pause=until_pause)

    def speak_and_press(self, sound: bytes, after_s: float, *, until_pause: bool) -> tuple[Word, ...]:
        """Of one who presses the button `after_s` after the sound's beginning, which is in the pre-roll alone."""

        def begin(visit: str) -> None:
            frames = self._microphone.frames
            self._say(sound)
            wait_until(lambda: self._microphone.frames >= frames + after_s * self.rate_hz, LIMIT_S)
            self._ear.begin(visit)

        return self._heard(begin, until_pause=until_pause)

    def _heard(self, begin: Callable[[str], None], *, until_pause: bool) -> tuple[Word, ...]:
        for _ in range(TRIES):
            overflows, since = self._ear.stats().overflows, self._recorder.mark()
            self._visits += 1
            visit = f"visit-{self._visits}"
            begin(visit)
            assert self._microphone.wait_until_said(LIMIT_S)
            if until_pause:
                self._recorder.wait(SpeechEnded, since, LIMIT_S)
            self._ear.finish(visit)
            transcript = self._recorder.wait(Transcript, since, LIMIT_S)
            self._recorder.wait(Heartbeat, self._recorder.mark(), LIMIT_S)
            if self._ear.stats().overflows == overflows:
                break
        return transcript.words

    def _say(self, sound: bytes) -> None:
        path = self._microphone.directory / "said.raw"
        path.write_bytes(sound)
        self._microphone.say(path)


class Row(NamedTuple):
    """Several booths, to use at once."""

    booths: Sequence[Booth]

    def each(self, visits: Sequence[T], visit: Callable[[Booth, T], R]) -> list[R]:
        """`visit` for each of `visits`, in their order, each booth with every so manieth of them."""

        def some(number: int) -> list[R]:
            return [visit(self.booths[number], one) for one in visits[number :: len(self.booths)]]

        with ThreadPoolExecutor(len(self.booths)) as pool:
            parts = list(pool.map(some, range(len(self.booths))))
        return [parts[number % len(parts)][number // len(parts)] for number in range(len(visits))]


@contextmanager
def row_of_booths(folder: Path, build_dir: Path, count: int, rate_hz: int) -> Iterator[Row]:
    """So many ears, ready, with microphones of this rate."""
    with ExitStack() as stack:
        booths = []
        for number in range(count):
            microphone = SimulatedMicrophone(folder / str(number), rate_hz=rate_hz, build_dir=build_dir)
            stack.enter_context(microphone)
            recorder = Recorder()
            settings = AudioSettings(device=DEVICE_NAME)
            ear = EarProcess(settings, recorder, environment=microphone.environment())
            stack.enter_context(ear)
            recorder.wait(Ready, timeout_s=LIMIT_S)  # one after another: a start is all work, and no waiting
            booths.append(Booth(microphone, ear, recorder))
        yield Row(booths)
