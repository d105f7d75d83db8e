import os
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audio import memory_file
from audio.keeper import Keeper
from audio.kept_sound import KeptSound, SlotState, file_bytes
from audio.listener import Listener
from audio.protocol import (
    Event,
    Failed,
    FirstSound,
    Heartbeat,
    Level,
    NothingSaid,
    Partial,
    SpeechEnded,
    SpeechStarted,
    Transcript,
)
from audio.recogniser import Recognition
from audio.settings import AudioSettings
from audio.worker import Recognised, Refused, SoFar, VisitSound

SPEECH = Path(__file__).parents[2] / "demo" / "speech"
RATE_HZ = 16000
BLOCK_BYTES = RATE_HZ * 30 // 1000 * 2
SILENCE = bytes(BLOCK_BYTES)


class RecordingWorker:
    backlog_s = 0.25

    def __init__(self) -> None:
        self.begun: list[VisitSound] = []
        self.fed: dict[str, bytes] = {}
        self.finished: list[str] = []
        self.dropped: list[str] = []

    def begin(self, visit: VisitSound) -> None:
        self.begun.append(visit)

    def feed(self, name: str, samples: bytes) -> None:
        self.fed[name] = self.fed.get(name, b"") + samples

    def finish(self, name: str) -> None:
        self.finished.append(name)

    def drop(self, name: str) -> None:
        self.dropped.append(name)


class Bench:
    """A listener with its worker, its events and a clock of its own."""

    def __init__(self, settings: AudioSettings | None = None, keeper: Keeper | None = None) -> None:
        self.now_s = 100.0
        self.when_told: Callable[[], object] = lambda: None
        self.seen: object = None
        self.worker = RecordingWorker()
        self.events: list[Event] = []
        self.listener = Listener(
            settings or AudioSettings(tail_ms=60), RATE_HZ, self.worker, self.tell, lambda: self.now_s, keeper
        )

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.seen = self.when_told()

    def hear(self, samples: bytes) -> None:
        for start in range(0, len(samples), BLOCK_BYTES):
            self.listener.hear(samples[start : start + BLOCK_BYTES])
            self.now_s += 0.03

    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events if not isinstance(event, Level | Heartbeat)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def sentence() -> bytes:
    with wave.open(str(SPEECH / "flowers.wav"), "rb") as file:
        return file.readframes(file.getnframes())


def test_a_visit_gets_the_sound_from_before_its_begin(bench: Bench) -> None:
    bench.hear(bytes([1]) * BLOCK_BYTES * 20 + bytes([2]) * BLOCK_BYTES * 10)
    bench.listener.begin("a")
    bench.hear(bytes([3]) * BLOCK_BYTES)
    sound = bench.worker.fed["a"]
    assert sound[-BLOCK_BYTES:] == bytes([3]) * BLOCK_BYTES
    assert sound[:-BLOCK_BYTES] == (bytes([1]) * BLOCK_BYTES * 20 + bytes([2]) * BLOCK_BYTES * 10)[-16000:]
    assert bench.events[-1] == FirstSound(visit="a", preroll_s=0.5)


def test_the_next_visit_gets_nothing_of_the_one_before(bench: Bench) -> None:
    bench.listener.begin("a")
    bench.hear(bytes([1]) * BLOCK_BYTES * 40)
    bench.listener.discard("a")
    bench.hear(bytes([2]) * BLOCK_BYTES * 2)
    bench.listener.begin("b")
    assert set(bench.worker.fed["b"]) == {2}


def test_speech_is_told_from_its_start_to_its_end(bench: Bench, sentence: bytes) -> None:
    bench.listener.begin("a")
    bench.hear(sentence + SILENCE * 60)
    assert bench.kinds() == [FirstSound, SpeechStarted, SpeechEnded]
    started = next(event for event in bench.events if isinstance(event, SpeechStarted))
    assert 0.5 < started.at_s < 1.0


def test_nothing_said_is_told_after_its_time(bench: Bench) -> None:
    bench.listener.begin("a")
    bench.hear(SILENCE * 260)
    assert bench.kinds() == [FirstSound]
    bench.hear(SILENCE * 10)
    assert bench.kinds() == [FirstSound, NothingSaid]


def test_a_finished_visit_takes_its_tail_and_becomes_a_transcript(bench: Bench, sentence: bytes) -> None:
    bench.listener.use("en", "tiny")
    bench.listener.begin("a")
    bench.hear(sentence)
    bench.listener.finish("a")
    assert bench.worker.finished == []
    bench.hear(SILENCE * 2)
    assert bench.worker.finished == ["a"]
    bench.listener.report(Recognised("a", Recognition("hello", ())))
    transcript = bench.events[-1]
    assert isinstance(transcript, Transcript)
    assert (transcript.visit, transcript.text, transcript.model) == ("a", "hello", "tiny")
    assert transcript.finalise_ms == pytest.approx(60, abs=1)
    assert transcript.audio_s == pytest.approx(len(sentence) / 32000 + 0.06, abs=0.002)
    assert 1.0 < transcript.speech_s < 3.0
    assert not transcript.too_quiet
    assert not transcript.too_loud


def test_words_without_speech_are_not_believed(bench: Bench) -> None:
    bench.listener.begin("a")
    bench.hear(SILENCE * 20)
    bench.listener.finish("a")
    bench.hear(SILENCE * 2)
    bench.listener.report(Recognised("a", Recognition("well", ())))
    transcript = bench.events[-1]
    assert isinstance(transcript, Transcript)
    assert transcript.text is None
    assert transcript.words == ()


def test_speech_after_finish_is_not_told_any_more(bench: Bench, sentence: bytes) -> None:
    bench = Bench(AudioSettings(tail_ms=1000))
    bench.listener.begin("a")
    bench.hear(SILENCE)
    bench.listener.finish("a")
    bench.hear(sentence)
    assert bench.kinds() == [FirstSound]


def test_a_discarded_visit_says_nothing_more(bench: Bench, sentence: bytes) -> None:
    bench.listener.begin("a")
    bench.hear(sentence[: BLOCK_BYTES * 10])
    bench.listener.discard("a")
    before = len(bench.kinds())
    bench.hear(sentence)
    bench.listener.report(SoFar("a", "i"))
    bench.listener.report(Recognised("a", Recognition("i love", ())))
    assert bench.kinds()[before:] == []
    assert bench.worker.dropped == ["a"]


def test_a_visit_discarded_while_it_is_finished_says_nothing_more(bench: Bench) -> None:
    bench.listener.begin("a")
    bench.listener.finish("a")
    bench.hear(SILENCE * 3)
    bench.listener.discard("a")
    bench.listener.report(Recognised("a", Recognition("hello", ())))
    assert bench.kinds() == [FirstSound]


def test_partial_words_of_an_older_visit_are_dropped(bench: Bench) -> None:
    bench.listener.begin("b")
    bench.listener.report(SoFar("a", "old"))
    bench.listener.report(SoFar("b", "new"))
    assert bench.events == [Partial(visit="b", text="new")]


def test_a_second_begin_fails_the_open_visit(bench: Bench) -> None:
    bench.listener.begin("a")
    bench.listener.begin("b")
    assert [event.visit for event in bench.events if isinstance(event, Failed)] == ["a"]


def test_a_visit_that_vosk_refuses_fails(bench: Bench) -> None:
    bench.listener.begin("a")
    bench.listener.report(Refused("a", "no"))
    assert bench.events == [Failed(visit="a", reason="no")]


def test_finish_and_discard_of_unknown_visits_do_nothing(bench: Bench) -> None:
    bench.listener.finish("a")
    bench.listener.discard("a")
    bench.listener.begin("b")
    bench.listener.finish("a")
    bench.hear(SILENCE * 10)
    assert bench.worker.finished == []


def test_the_longest_visit_ends_speech_and_takes_no_more_sound() -> None:
    bench = Bench(AudioSettings(longest_s=5.0))
    bench.listener.begin("a")
    bench.hear(SILENCE * 300)
    assert bench.kinds() == [FirstSound, SpeechEnded]
    assert len(bench.worker.fed["a"]) == pytest.approx(5 * 32000, abs=BLOCK_BYTES)
    bench.listener.finish("a")
    bench.hear(SILENCE * 10)
    assert bench.worker.finished == ["a"]


def test_levels_come_often_in_a_visit_and_seldom_between(bench: Bench) -> None:
    bench.hear(SILENCE * 100)
    between = sum(isinstance(event, Level) for event in bench.events)
    bench.events.clear()
    bench.listener.begin("a")
    bench.hear(SILENCE * 100)
    within = sum(isinstance(event, Level) for event in bench.events)
    assert between == 10
    assert within == 33


def test_heartbeats_count_blocks_and_lost_sound(bench: Bench) -> None:
    bench.listener.hear(SILENCE, overflowed=True)
    bench.hear(SILENCE * 69)
    beats = [event for event in bench.events if isinstance(event, Heartbeat)]
    assert beats[-1].blocks > beats[0].blocks
    assert beats[-1].overflows == 1
    assert beats[-1].backlog_s == 0.25
    assert len(beats) == 3


def test_a_visit_is_understood_in_the_language_that_was_in_use_at_its_begin(bench: Bench, sentence: bytes) -> None:
    bench.listener.use("de", "tiny-de")
    bench.listener.begin("a")
    bench.listener.use("fr", "tiny-fr")
    bench.hear(sentence)
    bench.listener.finish("a")
    bench.hear(SILENCE * 3)
    bench.listener.report(Recognised("a", Recognition("hallo", ())))
    assert bench.worker.begun == [VisitSound("a", "de", RATE_HZ)]
    transcript = bench.events[-1]
    assert isinstance(transcript, Transcript)
    assert (transcript.language, transcript.model, transcript.interrupted) == ("de", "tiny-de", False)


@pytest.fixture
def kept() -> Iterator[KeptSound]:
    descriptor = memory_file.create("test", file_bytes(5.0))
    yield KeptSound(descriptor)
    os.close(descriptor)


def test_what_the_recogniser_is_given_is_kept_before_it_until_the_transcript_is_out(
    kept: KeptSound, sentence: bytes
) -> None:
    bench = Bench(keeper=Keeper(kept))
    bench.hear(bytes([1]) * BLOCK_BYTES * 20)
    bench.listener.use("de", "tiny")
    bench.listener.begin("a")
    bench.hear(sentence)
    slot = kept.find("a")
    assert slot is not None
    assert slot.header[:3] == (SlotState.RECORDING, RATE_HZ, len(bench.worker.fed["a"]))
    assert slot.header.language == "de"
    assert slot.read(0, 10_000_000) == bench.worker.fed["a"]
    bench.listener.finish("a")
    bench.hear(SILENCE * 3)
    slot = kept.find("a")
    assert slot is not None
    assert slot.header.state is SlotState.FINISHING
    assert slot.read(0, 10_000_000) == bench.worker.fed["a"]
    bench.when_told = lambda: kept.find("a")
    bench.listener.report(Recognised("a", Recognition("hello", ())))
    assert bench.seen is not None, "the transcript is out before the sound is overwritten"
    assert kept.find("a") is None


@pytest.mark.parametrize("end", ["discard", "refuse", "another"])
def test_what_was_kept_is_overwritten_when_a_visit_ends_without_a_transcript(kept: KeptSound, end: str) -> None:
    bench = Bench(keeper=Keeper(kept))
    bench.listener.begin("a")
    bench.hear(SILENCE * 5)
    assert kept.find("a") is not None
    if end == "discard":
        bench.listener.discard("a")
    elif end == "refuse":
        bench.listener.report(Refused("a", "no"))
    else:
        bench.listener.begin("b")
    assert kept.find("a") is None
