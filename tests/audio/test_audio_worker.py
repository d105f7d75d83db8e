"""The recogniser's thread, with Vosk replaced."""

import threading
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from audio import vitals, worker
from audio.kept_sound import tag_of
from audio.loaded_models import NoRoomError
from audio.model import DEMONSTRATION, ModelError, find_model
from audio.protocol import Word
from audio.recogniser import RecogniserError, Recognition
from audio.vitals import VitalSigns, Work
from audio.worker import (
    Loaded,
    Recognised,
    RecogniserWorker,
    Refused,
    Report,
    SoFar,
    Unusable,
    VisitSound,
    Worked,
)

DEADLINE_S = 10.0
RATE_HZ = 16000
HALF_A_SECOND = bytes(RATE_HZ)


class FakeModel:
    memory_bytes = 5_000_000

    def __init__(self, language: str) -> None:
        self.language = language
        self.model = find_model(DEMONSTRATION)


class FakeModels:
    """Languages that can be loaded, and what becomes of others."""

    def __init__(self) -> None:
        self.refuse: dict[str, Exception] = {}
        self._loaded: dict[str, FakeModel] = {}

    def get(self, language: str) -> FakeModel | None:
        return self._loaded.get(language)

    def load(self, language: str) -> FakeModel:
        if language in self.refuse:
            raise self.refuse[language]
        return self._loaded.setdefault(language, FakeModel(language))


class FakeRecogniser:
    """Recognises the language, the rate and the number of samples. Stops where `gate` is closed."""

    gate = threading.Event()
    alive: ClassVar["weakref.WeakSet[FakeRecogniser]"] = weakref.WeakSet()

    def __init__(self, loaded: FakeModel, rate_hz: int, stepped: Any) -> None:
        self.alive.add(self)
        self._name = f"{loaded.language} {rate_hz}"
        self._samples = 0
        self._stepped = stepped

    def accept(self, samples: bytes) -> None:
        assert self.gate.wait(DEADLINE_S)
        if samples == b"refused":
            raise RecogniserError("Vosk refused the sound")
        if samples == b"mistake":
            raise ZeroDivisionError
        self._samples += len(samples) // 2
        self._stepped()

    def partial(self) -> str:
        return f"{self._samples}"

    def finish(self) -> Recognition:
        return Recognition(f"{self._name} {self._samples}", (Word("a", 0.0, 1.0, 1.0),))


class Reports:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.all: list[Report] = []

    def __call__(self, report: Report) -> None:
        with self._changed:
            self.all.append(report)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Report]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, DEADLINE_S), self.all
            return self.all[:count]


class Bench:
    def __init__(self) -> None:
        self.models = FakeModels()
        self.reports = Reports()
        self.signs = VitalSigns(None)
        self.worker = RecogniserWorker(
            self.models,  # type: ignore[arg-type]
            self.reports,
            partial_every_s=0.3,
            vital_signs=self.signs,
        )
        self.worker.start()

    def wait_idle(self) -> None:
        done = threading.Event()
        self.models.refuse["idle"] = _SignalError(done)
        self.worker.load("idle")
        assert done.wait(DEADLINE_S)


class _SignalError(ModelError):
    def __init__(self, done: threading.Event) -> None:
        super().__init__("idle")
        self._done = done

    def __str__(self) -> str:
        self._done.set()
        return "idle"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(worker, "Recogniser", FakeRecogniser)
    FakeRecogniser.gate.set()
    FakeRecogniser.alive.clear()
    yield Bench()
    FakeRecogniser.gate.set()


def loaded_bench(bench: Bench) -> Bench:
    bench.worker.load("en")
    bench.reports.wait(1)
    return bench


def test_a_model_is_loaded_when_it_is_asked_for(bench: Bench) -> None:
    bench.worker.load("en")
    (report,) = bench.reports.wait(1)
    assert report == Loaded("en", find_model(DEMONSTRATION), 5_000_000)


@pytest.mark.parametrize(
    ("error", "report"),
    [
        (ModelError("it is damaged"), Unusable("de", "it is damaged")),
        (NoRoomError("it does not fit"), Unusable("de", "it does not fit", for_want_of_room=True)),
        (OSError("strange"), Unusable("de", "the model could not be loaded: OSError('strange')")),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_and_the_thread_goes_on(
    bench: Bench, error: Exception, report: Report
) -> None:
    bench.models.refuse["de"] = error
    bench.worker.load("de")
    bench.worker.load("en")
    reports = bench.reports.wait(2)
    assert reports[0] == report
    assert isinstance(reports[1], Loaded)


def test_a_visit_is_recognised_in_its_language_and_told_while_it_goes_on(bench: Bench) -> None:
    loaded_bench(bench)
    bench.worker.begin(VisitSound("a", "en", RATE_HZ))
    bench.worker.feed("a", HALF_A_SECOND)
    bench.worker.feed("a", HALF_A_SECOND)
    bench.worker.finish("a")
    assert bench.reports.wait(4)[1:] == [
        SoFar("a", "8000"),
        SoFar("a", "16000"),
        Recognised("a", Recognition("en 16000 16000", (Word("a", 0.0, 1.0, 1.0),))),
    ]


def test_two_visits_are_worked_on_at_once_and_do_not_mix(bench: Bench) -> None:
    loaded_bench(bench)
    bench.worker.load("de")
    bench.worker.begin(VisitSound("old", "de", 48000, is_kept=True))
    bench.worker.begin(VisitSound("new", "en", RATE_HZ))
    for _ in range(3):
        bench.worker.feed("old", bytes(1000))
        bench.worker.feed("new", bytes(10))
    bench.worker.finish("new")
    bench.worker.finish("old")
    reports = bench.reports.wait(7)[2:]
    assert reports[:3] == [Worked("old")] * 3
    texts = [report.recognition.text for report in reports if isinstance(report, Recognised)]
    assert texts == ["en 16000 15", "de 48000 1500"]


def test_only_the_microphones_sound_counts_as_backlog(bench: Bench) -> None:
    loaded_bench(bench)
    FakeRecogniser.gate.clear()
    bench.worker.begin(VisitSound("old", "en", RATE_HZ, is_kept=True))
    bench.worker.begin(VisitSound("new", "en", RATE_HZ))
    bench.worker.feed("old", HALF_A_SECOND)
    bench.worker.feed("new", HALF_A_SECOND)
    assert bench.worker.backlog_s == 0.5
    FakeRecogniser.gate.set()
    bench.wait_idle()
    assert bench.worker.backlog_s == 0.0


def test_what_waits_of_a_dropped_visit_is_not_worked_on(bench: Bench) -> None:
    loaded_bench(bench)
    FakeRecogniser.gate.clear()
    bench.worker.begin(VisitSound("a", "en", RATE_HZ))
    for _ in range(5):
        bench.worker.feed("a", HALF_A_SECOND)
    bench.worker.finish("a")
    bench.worker.drop("a")
    FakeRecogniser.gate.set()
    bench.wait_idle()
    assert not any(isinstance(report, Recognised) for report in bench.reports.all)
    assert not FakeRecogniser.alive


@pytest.mark.parametrize(
    ("samples", "reason"),
    [(b"refused", "Vosk refused the sound"), (b"mistake", "the recogniser failed: ZeroDivisionError()")],
)
def test_a_visit_that_cannot_be_recognised_is_refused_and_the_next_is_not(
    bench: Bench, samples: bytes, reason: str
) -> None:
    loaded_bench(bench)
    bench.worker.begin(VisitSound("a", "en", RATE_HZ))
    bench.worker.feed("a", samples)
    bench.worker.feed("a", HALF_A_SECOND)
    bench.worker.finish("a")
    bench.worker.begin(VisitSound("b", "en", RATE_HZ))
    bench.worker.finish("b")
    reports = bench.reports.wait(3)[1:]
    assert reports[0] == Refused("a", reason)
    assert isinstance(reports[1], Recognised)
    assert reports[1].visit == "b"


def test_a_visit_in_a_language_that_is_not_loaded_is_refused(bench: Bench) -> None:
    bench.worker.begin(VisitSound("a", "en", RATE_HZ))
    bench.worker.feed("a", HALF_A_SECOND)
    assert bench.reports.wait(1) == [Refused("a", "no model for the language 'en' is loaded")]


def test_a_thread_that_does_not_take_its_work_up_owes_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    shown: list[vitals.Vitals] = []
    monkeypatch.setattr(VitalSigns, "_write", lambda _self, signs: shown.append(signs))
    idle = RecogniserWorker(bench.models, bench.reports, partial_every_s=0.3)  # type: ignore[arg-type]
    idle.begin(VisitSound("a", "en", RATE_HZ))
    idle.feed("a", HALF_A_SECOND)
    idle.feed("a", HALF_A_SECOND)
    assert [(signs.work, signs.tag) for signs in shown] == [(Work.LISTENING, tag_of("a"))]


def test_a_thread_without_work_owes_nothing(bench: Bench) -> None:
    loaded_bench(bench)
    bench.worker.begin(VisitSound("a", "en", RATE_HZ))
    bench.worker.feed("a", HALF_A_SECOND)
    bench.worker.drop("a")
    bench.wait_idle()
    deadline = threading.Event()
    for _ in range(1000):
        if bench.signs._vitals.work is Work.NONE:
            break
        deadline.wait(0.005)
    assert bench.signs._vitals.work is Work.NONE
