"""The ear dies and hangs, at rest, while somebody speaks and while last words are recognised; what was said is kept."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audio.ear_process import EarProcess
from audio.memory_file import ALIGN_BYTES
from audio.protocol import (
    EarEvent,
    EarLost,
    Failed,
    FirstSound,
    Interrupted,
    LanguageReady,
    Ready,
    SpeechStarted,
    Transcript,
)
from audio.settings import AudioSettings
from audio.vigil import EarLimits
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from tests.audio.conftest import SPEECH, Recorder, wait_until
from tests.audio.faulty_ear import Faults

pytestmark = pytest.mark.servers

FLOWERS = "i love the flowers near the entrance"
PIZZA = "we come every friday for the pizza"
SETTINGS = AudioSettings(device=DEVICE_NAME)
ANSWER_S = 3.0


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    return Faults(tmp_path / "faults")


@contextmanager
def faulty_ear(
    microphone: SimulatedMicrophone,
    faults: Faults,
    *,
    on_event: Callable[[EarEvent], None] | None = None,
    limits: EarLimits | None = None,
) -> Iterator[tuple[EarProcess, Recorder]]:
    recorder = Recorder()

    def receive(event: EarEvent) -> None:
        recorder(event)
        if on_event is not None:
            on_event(event)

    environment = microphone.environment()
    with EarProcess(SETTINGS, receive, command=faults.command, environment=environment, limits=limits) as ear:
        recorder.wait(Ready)
        yield ear, recorder


def speak(ear: EarProcess, recorder: Recorder, microphone: SimulatedMicrophone, visit: str, name: str) -> int:
    """Begin a visit and say all of a file; the mark from before it."""
    since = recorder.mark()
    ear.begin(visit)
    recorder.wait(FirstSound, since)
    microphone.say(SPEECH / name)
    assert microphone.wait_until_said(20)
    return since


def kept_sound(ear: EarProcess) -> bytes:
    """All that is not zero in the memory of kept sound, its first page apart, which is not sound."""
    memory = ear._watch._memory if ear._watch else None
    assert memory is not None
    assert memory.descriptor is not None
    size, found, at = os.fstat(memory.descriptor).st_size, b"", ALIGN_BYTES
    while at < size:
        piece = os.pread(memory.descriptor, 1 << 20, at)
        found += piece.strip(b"\0")
        at += len(piece)
    return found


def pid_of(ear: EarProcess) -> int:
    pid = ear.stats().pid
    assert pid is not None
    return pid


@pytest.mark.parametrize("kind", ["abort", "stick", "spin"])
@pytest.mark.parametrize("place", ["accept", "finish"])
def test_what_was_said_before_the_recogniser_failed_is_understood_by_the_next_ear(
    microphone: SimulatedMicrophone, faults: Faults, kind: str, place: str
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = speak(ear, recorder, microphone, "a", "flowers.wav")
        assert FLOWERS.encode() not in kept_sound(ear)
        assert len(kept_sound(ear)) > 32000
        failed_s = time.monotonic()
        faults.arm(kind, place)
        if place == "finish":
            ear.finish("a")
        interrupted, interrupted_s = recorder.wait_timed(Interrupted, since)
        transcript = recorder.wait(Transcript, since)
        assert interrupted.visit == "a"
        assert interrupted_s - failed_s < ANSWER_S
        # The moment of the loss is known, so that the visitor's answer need not wait for its discovery.
        assert interrupted_s - interrupted.lost_for_s == pytest.approx(failed_s, abs=0.7)
        assert (transcript.visit, transcript.text, transcript.interrupted) == ("a", FLOWERS, True)
        assert transcript.speech_s > 1.5
        assert recorder.of(Failed, since) == []
        assert len(recorder.of(EarLost, since)) == 1
        recorder.wait(Ready, since)
        wait_until(lambda: kept_sound(ear) == b"")
        stats = ear.stats()
        assert (stats.interruptions, stats.waiting, stats.failures, stats.transcripts) == (1, 0, 0, 1)


@pytest.mark.parametrize("signal_", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("is_finishing", [False, True])
def test_an_ear_that_is_stopped_or_killed_loses_nothing_of_a_visit(
    microphone: SimulatedMicrophone, faults: Faults, signal_: signal.Signals, is_finishing: bool
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = speak(ear, recorder, microphone, "a", "flowers.wav")
        if is_finishing:
            faults.arm("stick", "finish")
            ear.finish("a")
            wait_until(lambda: not faults.left("stick", "finish"))
        os.kill(pid_of(ear), signal_)
        transcript = recorder.wait(Transcript, since)
        assert (transcript.text, transcript.interrupted) == (FLOWERS, True)
        assert [event.visit for event in recorder.of(Interrupted, since)] == ["a"]


@pytest.mark.parametrize("signal_", [signal.SIGSTOP, signal.SIGABRT])
def test_at_rest_an_ear_is_replaced_and_the_next_visit_is_whole(
    microphone: SimulatedMicrophone, faults: Faults, signal_: signal.Signals
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = recorder.mark()
        os.kill(pid_of(ear), signal_)
        recorder.wait(EarLost, since)
        recorder.wait(Ready, since)
        assert recorder.of(Interrupted) == []
        speak(ear, recorder, microphone, "a", "flowers.wav")
        ear.finish("a")
        transcript = recorder.wait(Transcript)
        assert (transcript.text, transcript.interrupted) == (FLOWERS, False)


def test_a_recogniser_that_got_stuck_at_rest_is_found_out_by_the_next_visit(
    microphone: SimulatedMicrophone, faults: Faults
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        ear.begin("a")
        recorder.wait(FirstSound)
        faults.arm("stick", "job")
        wait_until(lambda: not faults.left("stick", "job"))
        ear.discard("a")
        since = recorder.mark()
        ear.begin("b")
        microphone.say(SPEECH / "flowers.wav")
        assert recorder.wait(Interrupted, since).visit == "b"
        transcript = recorder.wait(Transcript, since)
        assert transcript.text is not None
        assert FLOWERS.startswith(transcript.text[:4])


def test_a_visit_over_which_two_ears_are_lost_fails_for_good_and_is_overwritten(
    microphone: SimulatedMicrophone, faults: Faults
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = speak(ear, recorder, microphone, "a", "flowers.wav")
        faults.arm("abort", "accept", times=2)
        failed = recorder.wait(Failed, since)
        assert failed.visit == "a"
        assert "another ear was lost over what was kept of it" in failed.reason
        assert kept_sound(ear) == b""
        recorder.wait(Ready, recorder.mark())
        assert faults.left("abort", "accept") == 0
        assert ear.stats().starts == 3
        assert recorder.of(Transcript, since) == []
        speak(ear, recorder, microphone, "b", "pizza.wav")
        ear.finish("b")
        assert recorder.wait(Transcript, since).text == PIZZA


def test_a_hang_over_kept_sound_fails_it_for_good_too(microphone: SimulatedMicrophone, faults: Faults) -> None:
    limits = EarLimits(patient_s=2.0)
    with faulty_ear(microphone, faults, limits=limits) as (ear, recorder):
        since = speak(ear, recorder, microphone, "a", "flowers.wav")
        faults.arm("stick", "accept", times=2)
        assert "hangs" in recorder.wait(Failed, since).reason
        assert kept_sound(ear) == b""


def test_what_is_discarded_between_two_ears_is_overwritten_and_never_told(
    microphone: SimulatedMicrophone, faults: Faults
) -> None:
    seen: list[bytes] = []

    def discard(event: EarEvent) -> None:
        if isinstance(event, Interrupted):
            ear.discard(event.visit)
            seen.append(kept_sound(ear))

    with faulty_ear(microphone, faults, on_event=discard) as (ear, recorder):
        since = speak(ear, recorder, microphone, "a", "flowers.wav")
        faults.arm("abort", "accept")
        recorder.wait(Ready, since)
        assert seen == [b""]
        speak(ear, recorder, microphone, "b", "pizza.wav")
        ear.finish("b")
        assert recorder.wait(Transcript, since).visit == "b"


def test_what_is_discarded_while_it_is_recovered_is_overwritten_and_never_told(
    microphone: SimulatedMicrophone, faults: Faults
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = speak(ear, recorder, microphone, "a", "flowers.wav")
        faults.arm("abort", "accept")
        recorder.wait(Interrupted, since)
        faults.arm("slow", "accept", times=1000)
        recorder.wait(LanguageReady, since)
        assert kept_sound(ear) != b""
        ear.discard("a")
        wait_until(lambda: kept_sound(ear) == b"", timeout_s=2)
        recorder.wait(Ready, since)
        faults.arm("slow", "accept", times=0)
        speak(ear, recorder, microphone, "b", "pizza.wav")
        ear.finish("b")
        assert recorder.wait(Transcript, since).visit == "b"


def test_who_speaks_now_is_understood_before_what_was_kept(microphone: SimulatedMicrophone, faults: Faults) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = recorder.mark()
        speak(ear, recorder, microphone, "a", "flowers.wav")
        wait_until(lambda: len(kept_sound(ear)) > 150_000)
        faults.arm("abort", "accept")
        recorder.wait(Interrupted, since)
        faults.arm("slow", "accept", times=3)
        recorder.wait(Ready, since)
        ear.begin("b")
        ear.finish("b")
        recorder.wait(Transcript, since)
        wait_until(lambda: len(recorder.of(Transcript, since)) == 2)
        first, second = recorder.of(Transcript, since)
        assert (first.visit, second.visit) == ("b", "a")
        assert second.text == FLOWERS


def test_what_was_said_before_the_microphone_was_unplugged_is_understood_without_one(
    microphone: SimulatedMicrophone, faults: Faults
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = recorder.mark()
        ear.begin("a")
        frames = microphone.frames
        microphone.say(SPEECH / "flowers.wav")
        wait_until(lambda: microphone.frames >= frames + 1.9 * microphone.rate_hz)
        microphone.unplug()
        recorder.wait(Interrupted, since)
        transcript = recorder.wait(Transcript, since)
        assert transcript.interrupted
        assert transcript.text is not None
        assert transcript.text.startswith("i love")
        assert FLOWERS.startswith(transcript.text[:12])
        assert recorder.of(Ready, since) == []
        assert len(recorder.of(EarLost, since)) == 1
        wait_until(lambda: kept_sound(ear) == b"")
        mark = recorder.mark()
        microphone.replug()
        recorder.wait(Ready, mark)


def test_a_restart_in_a_visit_loses_nothing(microphone: SimulatedMicrophone, faults: Faults) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = speak(ear, recorder, microphone, "a", "flowers.wav")
        ear.finish("a")
        ear.restart()
        texts = {event.text for event in (recorder.wait(Transcript, since),)}
        assert texts == {FLOWERS}
        recorder.wait(Ready, since)
        assert [event.visit for event in recorder.of(Transcript, since)] == ["a"]


def test_stop_overwrites_what_is_kept(microphone: SimulatedMicrophone, faults: Faults) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        speak(ear, recorder, microphone, "a", "flowers.wav")
        memory = ear._watch._memory if ear._watch else None
        assert memory is not None
        assert memory.descriptor is not None
        copy = os.dup(memory.descriptor)
        assert memory.used_bytes() > 100_000
        ear.stop()
        assert os.fstat(copy).st_blocks * 512 <= ALIGN_BYTES
        os.close(copy)


def test_a_visit_without_a_word_yet_is_interrupted_and_has_none(
    microphone: SimulatedMicrophone, faults: Faults
) -> None:
    with faulty_ear(microphone, faults) as (ear, recorder):
        since = recorder.mark()
        ear.begin("a")
        recorder.wait(FirstSound, since)
        faults.arm("abort", "accept")
        assert recorder.wait(Transcript, since).text is None
        assert recorder.of(SpeechStarted, since) == []
