"""A simulated microphone, and a recorder of what the ear says."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from audio.ear_process import EarProcess
from audio.protocol import EarEvent, Ready
from audio.settings import AudioSettings
from demo.microphone import DEVICE_NAME, SimulatedMicrophone

E = TypeVar("E", bound=EarEvent)
SPEECH = Path(__file__).parents[2] / "demo" / "speech"
LIMIT_S = 20.0


class Recorder:
    """Keeps events with their times, and waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.events: list[EarEvent] = []
        self.times_s: list[float] = []

    def __call__(self, event: EarEvent) -> None:
        with self._changed:
            self.events.append(event)
            self.times_s.append(time.monotonic())
            self._changed.notify_all()

    def mark(self) -> int:
        """The number of events so far, to wait for later ones only."""
        with self._changed:
            return len(self.events)

    def wait(self, kind: type[E], since: int = 0, timeout_s: float = LIMIT_S) -> E:
        """The first event of a kind from number `since` on."""
        return self.wait_timed(kind, since, timeout_s)[0]

    def wait_timed(self, kind: type[E], since: int = 0, timeout_s: float = LIMIT_S) -> tuple[E, float]:
        """The same, and when it came."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._find(kind, since) is not None, timeout_s), (
                f"no {kind.__name__} within {timeout_s} s in {self.events[since:]}"
            )
            found = self._find(kind, since)
        assert found is not None
        return found

    def of(self, kind: type[E], since: int = 0) -> list[E]:
        """All events of a kind so far."""
        with self._changed:
            return [event for event in self.events[since:] if isinstance(event, kind)]

    def _find(self, kind: type[E], since: int) -> tuple[E, float] | None:
        for event, at_s in zip(self.events[since:], self.times_s[since:], strict=True):
            if isinstance(event, kind):
                return event, at_s
        return None


def wait_until(condition: Callable[[], bool], timeout_s: float = LIMIT_S) -> None:
    """Wait for something that gives no sign when it happens."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def plugin_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simmic")


@pytest.fixture
def microphone(tmp_path: Path, plugin_dir: Path) -> Iterator[SimulatedMicrophone]:
    with SimulatedMicrophone(tmp_path / "microphone", build_dir=plugin_dir) as simulated:
        yield simulated


@contextmanager
def running_ear(
    microphone: SimulatedMicrophone, settings: AudioSettings | None = None, *, wait_ready: bool = True
) -> Iterator[tuple[EarProcess, Recorder]]:
    """An ear that hears the simulated microphone."""
    recorder = Recorder()
    used = settings or AudioSettings(device=DEVICE_NAME)
    with EarProcess(used, recorder, environment=microphone.environment()) as ear:
        if wait_ready:
            recorder.wait(Ready)
        yield ear, recorder
