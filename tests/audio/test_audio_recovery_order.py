"""How kept sound is brought to the recogniser: in pieces, behind the visitor of now, each visit once. No process."""

import os
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from audio import memory_file
from audio.kept_sound import KeptSound, file_bytes
from audio.protocol import Event, Failed, Transcript
from audio.recogniser import Recognition
from audio.recovery import PIECE_S, Recovery
from audio.settings import AudioSettings
from audio.worker import Recognised, Refused, VisitSound, Worked

SPEECH = Path(__file__).parents[2] / "demo" / "speech"
RATE_HZ = 16000
PIECE_BYTES = round(RATE_HZ * PIECE_S) * 2


class RecordingWorker:
    def __init__(self) -> None:
        self.backlog_s = 0.0
        self.begun: list[VisitSound] = []
        self.fed: list[tuple[str, bytes]] = []
        self.finished: list[str] = []
        self.dropped: list[str] = []

    def begin(self, visit: VisitSound) -> None:
        self.begun.append(visit)

    def feed(self, name: str, samples: bytes) -> None:
        self.fed.append((name, samples))

    def finish(self, name: str) -> None:
        self.finished.append(name)

    def drop(self, name: str) -> None:
        self.dropped.append(name)


class Bench:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.kept = KeptSound(descriptor)
        self.worker = RecordingWorker()
        self.events: list[Event] = []
        self.now_s = 100.0

    def keep(self, visit: str, sound: bytes, language: str = "en") -> None:
        slot = self.kept.open(visit, RATE_HZ, language)
        assert slot is not None
        slot.write(sound)

    def recovery(self, *visits: str) -> Recovery:
        return Recovery(
            AudioSettings(), self.kept, visits, self.worker, self.events.append, monotonic=lambda: self.now_s
        )


@pytest.fixture
def bench() -> Iterator[Bench]:
    descriptor = memory_file.create("test", file_bytes(5.0))
    yield Bench(descriptor)
    os.close(descriptor)


@pytest.fixture(scope="module")
def sentence() -> bytes:
    with wave.open(str(SPEECH / "flowers.wav"), "rb") as file:
        return file.readframes(file.getnframes())


def work_through(bench: Bench, recovery: Recovery, visit: str) -> None:
    recovery.go_on()
    while visit not in bench.worker.finished:
        recovery.report(Worked(visit))
        recovery.go_on()


def test_kept_sound_becomes_a_transcript_and_is_overwritten(bench: Bench, sentence: bytes) -> None:
    bench.keep("a", sentence)
    recovery = bench.recovery("a")
    assert recovery.languages == ["en"]
    assert recovery.is_busy
    recovery.go_on()
    assert bench.worker.begun == [], "no model is loaded yet"
    recovery.loaded("en", "tiny")
    work_through(bench, recovery, "a")
    assert bench.worker.begun == [VisitSound("a", "en", RATE_HZ, is_kept=True)]
    assert b"".join(samples for _, samples in bench.worker.fed) == sentence
    assert all(len(samples) <= PIECE_BYTES for _, samples in bench.worker.fed)
    bench.now_s += 0.25
    recovery.report(Recognised("a", Recognition("hello", ())))
    (transcript,) = bench.events
    assert isinstance(transcript, Transcript)
    assert (transcript.visit, transcript.text, transcript.model, transcript.interrupted) == ("a", "hello", "tiny", True)
    assert transcript.audio_s == pytest.approx(len(sentence) / 32000, abs=0.001)
    assert 1.0 < transcript.speech_s < 3.0
    assert transcript.finalise_ms == 250.0
    assert not recovery.is_busy
    assert bench.kept.find("a") is None
    assert os.pread(bench.descriptor, 1_000_000, 0).strip(b"\0") == b""


def test_there_is_one_piece_under_way_at_a_time(bench: Bench) -> None:
    bench.keep("a", bytes(3 * PIECE_BYTES))
    recovery = bench.recovery("a")
    recovery.loaded("en", "tiny")
    for _ in range(5):
        recovery.go_on()
    assert len(bench.worker.fed) == 1
    recovery.report(Worked("another"))
    recovery.go_on()
    assert len(bench.worker.fed) == 1
    recovery.report(Worked("a"))
    recovery.go_on()
    assert len(bench.worker.fed) == 2


def test_a_visitor_of_now_goes_first(bench: Bench) -> None:
    bench.keep("a", bytes(3 * PIECE_BYTES))
    recovery = bench.recovery("a")
    recovery.loaded("en", "tiny")
    bench.worker.backlog_s = 0.3
    recovery.go_on()
    assert bench.worker.fed == []
    bench.worker.backlog_s = 0.1
    recovery.go_on()
    assert len(bench.worker.fed) == 1


def test_visits_are_worked_on_one_after_the_other(bench: Bench) -> None:
    bench.keep("a", bytes(PIECE_BYTES))
    bench.keep("b", bytes(PIECE_BYTES))
    recovery = bench.recovery("a", "b")
    recovery.loaded("en", "tiny")
    for visit in ("a", "b"):
        work_through(bench, recovery, visit)
        recovery.report(Recognised(visit, Recognition("", ())))
    assert [event.visit for event in bench.events if isinstance(event, Transcript)] == ["a", "b"]
    assert [name for name, _ in bench.worker.fed] == ["a", "b"]


def test_a_visit_without_kept_sound_fails_at_once(bench: Bench) -> None:
    recovery = bench.recovery("a")
    assert bench.events == [Failed(visit="a", reason="nothing of its sound was kept")]
    assert not recovery.is_busy


def test_a_visit_whose_language_cannot_be_had_now_stays_for_another_time(bench: Bench) -> None:
    bench.keep("a", bytes(PIECE_BYTES))
    recovery = bench.recovery("a")
    recovery.unusable("en", "no such folder", for_good=False)
    assert not recovery.is_busy
    assert bench.events == []
    assert bench.kept.find("a") is not None
    recovery.loaded("en", "tiny")
    assert recovery.is_busy
    recovery.go_on()
    assert len(bench.worker.fed) == 1


def test_a_visit_whose_language_has_no_room_fails(bench: Bench) -> None:
    bench.keep("a", bytes(PIECE_BYTES), "de")
    bench.keep("b", bytes(PIECE_BYTES), "en")
    recovery = bench.recovery("a", "b")
    assert recovery.languages == ["de", "en"]
    recovery.unusable("de", "it does not fit", for_good=True)
    assert bench.events == [Failed(visit="a", reason="it does not fit")]
    assert bench.kept.find("a") is None
    assert recovery.is_busy


def test_a_refused_visit_fails_and_the_next_goes_on(bench: Bench) -> None:
    bench.keep("a", bytes(PIECE_BYTES))
    bench.keep("b", bytes(PIECE_BYTES))
    recovery = bench.recovery("a", "b")
    recovery.loaded("en", "tiny")
    recovery.go_on()
    recovery.report(Refused("a", "Vosk refused the sound"))
    recovery.go_on()
    assert bench.events == [Failed(visit="a", reason="Vosk refused the sound")]
    assert bench.worker.fed[-1][0] == "b"


@pytest.mark.parametrize("is_under_way", [False, True])
def test_a_discarded_visit_is_overwritten_and_never_told(bench: Bench, is_under_way: bool) -> None:
    bench.keep("a", bytes(2 * PIECE_BYTES))
    recovery = bench.recovery("a")
    recovery.loaded("en", "tiny")
    if is_under_way:
        recovery.go_on()
    recovery.discard("a")
    recovery.discard("unknown")
    assert bench.worker.dropped == ["a"]
    assert bench.kept.find("a") is None
    recovery.report(Worked("a"))
    recovery.report(Recognised("a", Recognition("hello", ())))
    recovery.go_on()
    assert bench.events == []
    assert not recovery.is_busy


def test_sound_that_cannot_be_read_fails_its_visit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.keep("a", bytes(PIECE_BYTES))
    recovery = bench.recovery("a")
    recovery.loaded("en", "tiny")

    def refuse(*_arguments: object) -> bytes:
        raise OSError("Input/output error")

    monkeypatch.setattr(os, "pread", refuse)
    recovery.go_on()
    (failed,) = bench.events
    assert isinstance(failed, Failed)
    assert "cannot be read: Input/output error" in failed.reason
