"""The agent with its parts replaced: what the machine demands reaches them."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from audio import protocol as ear_events
from audio.ear_process import EarProcess
from audio.settings import AudioSettings
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from device.agent import Agent
from device.clock import SystemClock
from device.event_feed import EventFeed
from device.spool import Spool
from device.visit.limits import Limits
from firmware_bridge import Button, ButtonPressed, ButtonReleased, PanelOffline, Scene
from tests.audio.faulty_ear import Faults
from tests.device.records import a_transcript

DEADLINE_S = 10.0
SLACK_S = 0.5
"""Of the machine that runs the test."""
FLOWERS = Path(__file__).parents[2] / "demo" / "speech" / "flowers.wav"


class Parts:
    """The ear and the panel at once: notes what is asked of them."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.asked: list[tuple[object, ...]] = []

    def note(self, *asked: object) -> None:
        with self.changed:
            self.asked.append(asked)
            self.changed.notify_all()

    def begin(self, visit: str) -> None:
        self.note("begin", visit)

    def finish(self, visit: str) -> None:
        self.note("finish", visit)

    def discard(self, visit: str) -> None:
        self.note("discard", visit)

    def restart(self) -> None:
        self.note("restart")

    def use_language(self, language: str) -> None:
        self.note("use_language", language)

    def show(self, scene: Scene) -> None:
        self.note("show", scene)

    def answer(self) -> None:
        self.note("answer")

    def level(self, value: int) -> None:
        self.note("level", value)

    def wait_for(self, *asked: object) -> tuple[object, ...]:
        """Wait until something beginning with ``asked`` was asked, and return it."""
        with self.changed:
            found: list[tuple[object, ...]] = []

            def is_there() -> bool:
                found[:] = [one for one in self.asked if one[: len(asked)] == asked]
                return bool(found)

            assert self.changed.wait_for(is_there, DEADLINE_S), self.asked
            return found[-1]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


class Kiosk:
    def __init__(self, folder: Path, limits: Limits) -> None:
        self.parts = Parts()
        self.spool = Spool(folder / "spool.sqlite3")
        self.feed = EventFeed(folder / "run")
        self.agent = Agent(
            spool=self.spool,
            feed=self.feed,
            clock=SystemClock(),
            limits=limits,
            agent_version="test",
            consent_version="consent-1",
        )
        self.thread = threading.Thread(
            target=self.agent.run, args=(self.parts, self.parts, lambda: self.parts.note("wake"), ("en", "de"))
        )

    def hears(self) -> None:
        self.agent.post(
            ear_events.Ready(
                device="mic", rate_hz=16000, channels=1, model="m", model_is_demonstration=True, language="en"
            )
        )
        self.parts.wait_for("show", Scene.IDLE)

    def tap(self, button: Button = Button.RECORD) -> None:
        self.agent.post(ButtonPressed(button))
        self.agent.post(ButtonReleased(button))

    def speaks(self, visit: str, text: str | None) -> None:
        words = (ear_events.Word("hello", 0.1, 0.4, 0.9),) if text else ()
        self.agent.post(a_transcript(visit, text, words=words))


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    kiosk = Kiosk(tmp_path, Limits(thanks_s=0.2, notice_s=0.2, interrupted_max_s=0.3, interval_s=0.0))
    kiosk.thread.start()
    yield kiosk
    kiosk.agent.stop()
    kiosk.thread.join(DEADLINE_S)
    assert not kiosk.thread.is_alive()
    kiosk.spool.close()


def begin(kiosk: Kiosk) -> str:
    kiosk.hears()
    kiosk.tap()
    return str(kiosk.parts.wait_for("begin")[1])


def test_a_kiosk_is_out_of_service_until_it_can_hear(kiosk: Kiosk) -> None:
    kiosk.parts.wait_for("show", Scene.OUT_OF_SERVICE)
    kiosk.hears()


def test_the_words_of_a_visit_are_in_the_spool_when_thanks_are_shown(kiosk: Kiosk) -> None:
    visit = begin(kiosk)
    kiosk.agent.post(ear_events.SpeechEnded(visit=visit))
    kiosk.parts.wait_for("finish", visit)
    kiosk.speaks(visit, "hello")
    kiosk.parts.wait_for("show", Scene.THANKS)
    (entry,) = kiosk.spool.entries()
    assert (entry.id, entry.record.transcript, entry.record.consent_version) == (visit, "hello", "consent-1")
    assert entry.record.words[0].word == "hello"
    kiosk.parts.wait_for("wake")
    assert [waiting.id for waiting in kiosk.spool.waiting(limit=9)] == [visit]


def test_cancel_during_the_thanks_leaves_nothing_in_the_spool(kiosk: Kiosk) -> None:
    visit = begin(kiosk)
    kiosk.agent.post(ear_events.SpeechEnded(visit=visit))
    kiosk.speaks(visit, "hello")
    kiosk.parts.wait_for("show", Scene.THANKS)
    kiosk.tap(Button.CANCEL)
    kiosk.parts.wait_for("show", Scene.DISCARDED)
    assert kiosk.spool.entries() == []


def test_a_spool_that_cannot_write_is_told_to_the_visitor(kiosk: Kiosk) -> None:
    visit = begin(kiosk)
    kiosk.spool._db.execute("PRAGMA query_only = 1")
    kiosk.agent.post(ear_events.SpeechEnded(visit=visit))
    kiosk.speaks(visit, "hello")
    kiosk.parts.wait_for("show", Scene.SORRY)
    kiosk.parts.wait_for("discard", visit)
    kiosk.spool._db.execute("PRAGMA query_only = 0")


def test_a_panel_that_vanishes_under_a_held_button_ends_the_hold(kiosk: Kiosk) -> None:
    kiosk.hears()
    kiosk.agent.post(ButtonPressed(Button.RECORD))
    visit = str(kiosk.parts.wait_for("begin")[1])
    kiosk.agent.post(PanelOffline("unplugged", frozenset({Button.RECORD})))
    kiosk.agent.post(ear_events.SpeechEnded(visit=visit))
    kiosk.parts.wait_for("finish", visit)


def interrupt(kiosk: Kiosk, visit: str, *, lost_for_s: float = 0.0) -> None:
    kiosk.agent.post(ear_events.Interrupted(visit=visit, reason="it died", lost_for_s=lost_for_s))
    kiosk.agent.post(ear_events.EarLost(reason="it died"))


def test_an_interrupted_visit_whose_words_come_in_time_is_thanked(kiosk: Kiosk) -> None:
    visit = begin(kiosk)
    interrupt(kiosk, visit)
    kiosk.parts.wait_for("show", Scene.FINISHING)
    kiosk.speaks(visit, "hello")
    kiosk.parts.wait_for("show", Scene.THANKS)
    assert [entry.id for entry in kiosk.spool.entries()] == [visit]


def test_words_that_come_after_the_sorry_scene_become_a_record_without_thanks(kiosk: Kiosk) -> None:
    visit = begin(kiosk)
    interrupt(kiosk, visit, lost_for_s=0.2)
    kiosk.parts.wait_for("show", Scene.SORRY)
    with kiosk.parts.changed:
        is_over = ("show", Scene.OUT_OF_SERVICE)
        assert kiosk.parts.changed.wait_for(lambda: kiosk.parts.asked[-1] == is_over, DEADLINE_S)
    kiosk.speaks(visit, "hello")
    kiosk.parts.wait_for("wake")
    assert [waiting.id for waiting in kiosk.spool.waiting(limit=9)] == [visit]
    assert ("show", Scene.THANKS) not in kiosk.parts.asked
    assert ("restart",) not in kiosk.parts.asked


@pytest.mark.parametrize(("dbfs", "shown"), [(-96.0, 0), (-60.0, 0), (-30.0, 128), (0.0, 255), (3.0, 255)])
def test_the_level_is_shown_on_the_panels_scale(kiosk: Kiosk, dbfs: float, shown: int) -> None:
    kiosk.agent.post(ear_events.Level(dbfs=dbfs, peak=0.5))
    assert kiosk.parts.wait_for("level") == ("level", shown)


@pytest.mark.servers
@pytest.mark.parametrize(("kind", "place"), [("abort", "accept"), ("stick", "finish")])
def test_whose_ear_is_lost_has_an_answer_within_three_seconds_and_a_feedback(
    tmp_path: Path, kind: str, place: str
) -> None:
    kiosk, faults = Kiosk(tmp_path, Limits()), Faults(tmp_path / "faults")
    with SimulatedMicrophone(tmp_path / "microphone") as microphone:
        settings = AudioSettings(device=DEVICE_NAME)
        ear = EarProcess(settings, kiosk.agent.post, command=faults.command, environment=microphone.environment())
        thread = threading.Thread(target=kiosk.agent.run, args=(ear, kiosk.parts, lambda: kiosk.parts.note("wake")))
        thread.start()
        with ear:
            kiosk.parts.wait_for("show", Scene.IDLE)
            kiosk.tap()
            kiosk.parts.wait_for("show", Scene.RECORDING)
            microphone.say(FLOWERS)
            assert microphone.wait_until_said(DEADLINE_S)
            faults.arm(kind, place)
            lost_s = time.monotonic()
            if place == "finish":
                kiosk.tap()
            with kiosk.parts.changed:
                answers = {("show", Scene.THANKS), ("show", Scene.SORRY)}
                assert kiosk.parts.changed.wait_for(lambda: answers & set(kiosk.parts.asked), DEADLINE_S)
            assert time.monotonic() - lost_s < 3.0 + SLACK_S
            kiosk.parts.wait_for("wake")
            (entry,) = kiosk.spool.entries()
            assert entry.record.transcript == "i love the flowers near the entrance"
            kiosk.agent.stop()
            thread.join(DEADLINE_S)
    kiosk.spool.close()


def test_a_visitor_chooses_a_language_and_the_kiosk_goes_back_to_its_own_after_the_visit(kiosk: Kiosk) -> None:
    kiosk.hears()
    kiosk.tap(Button.LANGUAGE)
    kiosk.parts.wait_for("use_language", "de")
    visit = begin(kiosk)
    assert ("use_language", "en") not in kiosk.parts.asked
    kiosk.tap(Button.CANCEL)
    kiosk.parts.wait_for("discard", visit)
    kiosk.parts.wait_for("use_language", "en")


def test_a_language_that_cannot_be_understood_is_given_up(kiosk: Kiosk) -> None:
    kiosk.hears()
    kiosk.tap(Button.LANGUAGE)
    kiosk.parts.wait_for("use_language", "de")
    kiosk.agent.post(ear_events.LanguageUnusable(language="de", reason="its model is damaged"))
    kiosk.parts.wait_for("use_language", "en")


def test_the_language_cannot_be_changed_while_a_visitor_speaks(kiosk: Kiosk) -> None:
    kiosk.hears()
    visit = begin(kiosk)
    kiosk.tap(Button.LANGUAGE)
    kiosk.tap(Button.CANCEL)
    kiosk.parts.wait_for("discard", visit)
    assert [one for one in kiosk.parts.asked if one[0] == "use_language"] == []


def test_a_spool_without_room_turns_the_visitor_away(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    kiosk.hears()
    monkeypatch.setattr(kiosk.spool, "refusal", lambda: "the disk is full")
    kiosk.tap()
    kiosk.parts.wait_for("show", Scene.SORRY)
    wait_until(lambda: kiosk.agent.stats().turned_away == 1)
    assert (kiosk.agent.stats().visits, kiosk.agent.stats().failed) == (0, 0)
    assert not [one for one in kiosk.parts.asked if one[0] == "begin"]


def test_an_exception_costs_its_event_and_not_the_agent(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    visit = begin(kiosk)
    monkeypatch.setattr(kiosk.parts, "finish", lambda _visit: 1 // 0)
    kiosk.agent.post(ear_events.SpeechEnded(visit=visit))
    kiosk.parts.wait_for("show", Scene.SORRY)
    kiosk.parts.wait_for("discard", visit)
    wait_until(lambda: kiosk.agent.stats().failed == 1)
    assert kiosk.agent.stats().defects == 1
    (logged,) = [record.message for record in caplog.records if record.name == "device.defects"]
    assert "ZeroDivisionError" in logged
    kiosk.tap()
    kiosk.parts.wait_for("show", Scene.RECORDING)


def has_begun(kiosk: Kiosk, visits: int) -> bool:
    return kiosk.agent.stats().visits == visits


def test_every_end_of_a_visit_is_counted_once(kiosk: Kiosk) -> None:
    kiosk.hears()
    for number, end in enumerate(("thanks", "cancel", "silence", "failure"), start=1):
        kiosk.tap()
        wait_until(partial(has_begun, kiosk, number))
        visit = str(kiosk.parts.wait_for("begin")[1])
        kiosk.agent.post(ear_events.SpeechEnded(visit=visit))
        match end:
            case "thanks":
                kiosk.speaks(visit, "hello")
            case "cancel":
                kiosk.tap(Button.CANCEL)
            case "silence":
                kiosk.speaks(visit, None)
            case _:
                kiosk.agent.post(ear_events.Failed(visit=visit, reason="it died"))
        wait_until(lambda: kiosk.agent.stats().phase in ("thanks", "notice"))
    found = kiosk.agent.stats()
    assert (found.visits, found.thanked, found.taken_back, found.nothing_heard, found.failed) == (4, 1, 1, 1, 1)
    assert (found.turned_away, found.defects) == (0, 0)


def test_a_stuck_button_is_told_and_blocks_nothing(tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path, Limits(speech_max_s=0.1, thanks_s=0.1, stuck_s=0.3))
    kiosk.thread.start()
    kiosk.hears()
    kiosk.agent.post(ButtonPressed(Button.RECORD))
    visit = str(kiosk.parts.wait_for("finish")[1])
    kiosk.speaks(visit, "hello")
    wait_until(lambda: kiosk.agent.stats().stuck_buttons == ("record",))
    wait_until(lambda: kiosk.agent.stats().phase == "idle")
    assert kiosk.agent.stats().visits == 1
    kiosk.agent.post(ButtonReleased(Button.RECORD))
    wait_until(lambda: kiosk.agent.stats().stuck_buttons == ())
    kiosk.agent.stop()
    kiosk.thread.join(DEADLINE_S)
    kiosk.spool.close()
