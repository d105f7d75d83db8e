"""The visit's machine, as its visitor sees it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.protocol import Transcript
from device.clock import Stamp
from device.visit import effects, events
from device.visit.effects import (
    Commit,
    Decline,
    Forget,
    Listen,
    Release,
    ReplaceEar,
    Show,
    StopListening,
    TakeBack,
    TellStuck,
    Why,
)
from device.visit.limits import Limits
from device.visit.machine import deadline_s, step
from device.visit.states import Closed, Finishing, Idle, Notice, OutOfService, Recording, State, Thanks, Visit
from firmware_bridge import Button, Scene

LIMITS = Limits(
    hold_s=0.6,
    speech_max_s=60,
    finishing_max_s=10,
    interrupted_max_s=3,
    thanks_s=4,
    notice_s=3,
    interval_s=1,
    stuck_s=30,
)


def a_visit(name: str) -> Visit:
    return Visit(name, Stamp(boot_id="boot", since_boot_s=1.0, wall_s=1_000.0, synchronised=True))


def words(visit: str) -> Transcript:
    return Transcript(
        visit=visit,
        text="hello",
        language="en",
        model="m",
        confidence=1.0,
        words=(),
        audio_s=1.0,
        speech_s=1.0,
        finalise_ms=1.0,
        too_quiet=False,
        too_loud=False,
    )


@dataclass
class Kiosk:
    """Drives the machine and remembers what it demanded."""

    state: State = field(default_factory=State)
    now_s: float = 0.0
    demanded: list[effects.Effect] = field(default_factory=list)
    visits: int = 0
    kept_late: int = 0

    def happens(self, event: events.Event) -> list[effects.Effect]:
        is_late = isinstance(event, events.Committed) and event.visit in {late.id for late in self.state.late}
        self.kept_late += is_late
        self.state, todo = step(self.state, event, LIMITS)
        self.demanded.extend(todo)
        return list(todo)

    def after(self, seconds: float) -> "Kiosk":
        self.now_s += seconds
        return self

    def presses(self, button: Button = Button.RECORD, refusal: str | None = None) -> list[effects.Effect]:
        self.visits += 1
        return self.happens(events.Pressed(button, self.now_s, a_visit(f"visit-{self.visits}"), refusal))

    def releases(self, button: Button = Button.RECORD) -> list[effects.Effect]:
        return self.happens(events.Released(button, self.now_s))

    def taps(self) -> list[effects.Effect]:
        demanded = self.presses()
        self.now_s += 0.1
        return demanded + self.releases()

    def time_passes(self, seconds: float) -> list[effects.Effect]:
        self.now_s += seconds
        return self.happens(events.Tick(self.now_s))

    @property
    def scene(self) -> Scene:
        return [effect.scene for effect in self.demanded if isinstance(effect, Show)][-1]


@pytest.fixture
def kiosk() -> Kiosk:
    """A kiosk that waits for a visitor."""
    kiosk = Kiosk()
    kiosk.happens(events.EarReady(0.0))
    return kiosk


def to_finishing(kiosk: Kiosk) -> Kiosk:
    kiosk.taps()
    kiosk.after(5).happens(events.SpeechEnded("visit-1", kiosk.now_s))
    return kiosk


def to_thanks(kiosk: Kiosk) -> Kiosk:
    to_finishing(kiosk)
    kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    kiosk.happens(events.Committed("visit-1", kiosk.now_s))
    return kiosk


def test_a_press_shows_the_light_before_anything_else(kiosk: Kiosk) -> None:
    assert kiosk.presses() == [Show(Scene.RECORDING), Listen("visit-1")]


def test_a_tap_records_until_the_visitor_pauses(kiosk: Kiosk) -> None:
    kiosk.taps()
    assert isinstance(kiosk.state.phase, Recording)
    demanded = kiosk.after(5).happens(events.SpeechEnded("visit-1", kiosk.now_s))
    assert demanded == [StopListening("visit-1"), Show(Scene.FINISHING)]


def test_a_second_tap_ends_the_recording_at_once(kiosk: Kiosk) -> None:
    kiosk.taps()
    assert StopListening("visit-1") in kiosk.after(3).presses()


def test_hold_to_talk_ends_with_the_release_and_not_with_a_pause(kiosk: Kiosk) -> None:
    kiosk.presses()
    assert kiosk.after(3).happens(events.SpeechEnded("visit-1", kiosk.now_s)) == []
    assert kiosk.after(3).happens(events.NothingSaid("visit-1", kiosk.now_s)) == []
    assert kiosk.after(1).releases() == [StopListening("visit-1"), Show(Scene.FINISHING)]


def test_a_stuck_button_ends_with_the_longest_recording(kiosk: Kiosk) -> None:
    kiosk.presses()
    assert StopListening("visit-1") in kiosk.time_passes(LIMITS.speech_max_s)


def test_thanks_come_only_after_the_commit(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    assert kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1"))) == [
        Commit(a_visit("visit-1"), words("visit-1"))
    ]
    assert kiosk.scene == Scene.FINISHING
    assert kiosk.happens(events.Committed("visit-1", kiosk.now_s)) == [Show(Scene.THANKS)]


def test_a_feedback_leaves_the_kiosk_when_it_cannot_be_taken_back_any_more(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    assert not any(isinstance(effect, Release) for effect in kiosk.demanded)
    assert kiosk.time_passes(LIMITS.thanks_s) == [Release("visit-1"), Show(Scene.IDLE)]


def test_cancel_after_the_thanks_takes_the_feedback_back(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    assert kiosk.after(1).presses(Button.CANCEL) == [TakeBack("visit-1"), Show(Scene.DISCARDED)]


@pytest.mark.parametrize("prepare", [lambda kiosk: kiosk.taps(), to_finishing], ids=["recording", "finishing"])
def test_cancel_forgets_what_was_said(kiosk: Kiosk, prepare) -> None:  # type: ignore[no-untyped-def]
    prepare(kiosk)
    assert kiosk.presses(Button.CANCEL) == [Forget("visit-1"), Show(Scene.DISCARDED)]
    assert kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1"))) == []


def test_the_next_visitor_need_not_wait_for_the_end_of_the_thanks(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    assert kiosk.after(LIMITS.interval_s).presses() == [Show(Scene.RECORDING), Listen("visit-2"), Release("visit-1")]


def test_nothing_said_is_told_and_nothing_is_sent(kiosk: Kiosk) -> None:
    kiosk.taps()
    assert kiosk.happens(events.NothingSaid("visit-1", kiosk.now_s)) == [Forget("visit-1"), Show(Scene.NOTHING_HEARD)]
    assert kiosk.time_passes(LIMITS.notice_s) == [Show(Scene.IDLE)]


def test_no_words_recognised_is_told_as_nothing_heard(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    assert kiosk.happens(events.Heard("visit-1", kiosk.now_s, None)) == [Show(Scene.NOTHING_HEARD)]


def test_a_full_disk_is_told_to_the_visitor_instead_of_thanks(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    assert Show(Scene.SORRY) in kiosk.happens(events.NotCommitted("visit-1", kiosk.now_s))


def test_a_recogniser_that_does_not_answer_is_replaced(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    assert kiosk.time_passes(LIMITS.finishing_max_s) == [ReplaceEar(), Show(Scene.SORRY)]


def test_an_ear_that_is_lost_while_somebody_speaks_is_told_and_heals(kiosk: Kiosk) -> None:
    kiosk.taps()
    assert kiosk.happens(events.EarLost(kiosk.now_s)) == [Show(Scene.SORRY)]
    assert kiosk.time_passes(LIMITS.notice_s) == [Show(Scene.OUT_OF_SERVICE)]
    assert kiosk.presses() == [Decline(Button.RECORD, Why.OUT_OF_SERVICE)]
    assert kiosk.happens(events.EarReady(kiosk.now_s)) == [Show(Scene.IDLE)]


@pytest.mark.parametrize(
    ("prepare", "shown"),
    [(lambda kiosk: kiosk.taps(), [Show(Scene.FINISHING)]), (to_finishing, [])],
    ids=["recording", "finishing"],
)
def test_an_interrupted_visit_is_thanked_if_its_words_come_in_time(kiosk: Kiosk, prepare, shown) -> None:  # type: ignore[no-untyped-def]
    prepare(kiosk)
    assert kiosk.happens(events.Interrupted("visit-1", kiosk.now_s)) == shown
    assert kiosk.happens(events.EarLost(kiosk.now_s)) == []
    kiosk.after(2.9).happens(events.Tick(kiosk.now_s))
    kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    assert kiosk.happens(events.Committed("visit-1", kiosk.now_s)) == [Show(Scene.THANKS)]
    assert kiosk.time_passes(LIMITS.thanks_s) == [Release("visit-1"), Show(Scene.OUT_OF_SERVICE)]


def test_an_interrupted_visitor_has_an_answer_within_three_seconds_of_the_loss(kiosk: Kiosk) -> None:
    kiosk.taps()
    kiosk.after(2).happens(events.Interrupted("visit-1", kiosk.now_s - 1.1))
    assert deadline_s(kiosk.state, LIMITS) == pytest.approx(kiosk.now_s + 1.9)
    # The new ear is at work, so that it is not replaced.
    assert kiosk.time_passes(2.0) == [Show(Scene.SORRY)]


def to_late(kiosk: Kiosk) -> Kiosk:
    kiosk.taps()
    kiosk.happens(events.Interrupted("visit-1", kiosk.now_s))
    kiosk.happens(events.EarLost(kiosk.now_s))
    kiosk.time_passes(LIMITS.interrupted_max_s)
    return kiosk


def test_words_that_come_late_are_kept_and_nobody_is_thanked(kiosk: Kiosk) -> None:
    to_late(kiosk)
    kiosk.happens(events.EarReady(kiosk.now_s))
    kiosk.time_passes(LIMITS.notice_s)
    demanded = kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    assert demanded == [Commit(a_visit("visit-1"), words("visit-1"))]
    assert kiosk.happens(events.Committed("visit-1", kiosk.now_s)) == [Release("visit-1")]
    assert isinstance(kiosk.state.phase, Idle)
    assert kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1"))) == []


def test_words_that_come_late_do_not_disturb_the_next_visitor(kiosk: Kiosk) -> None:
    to_late(kiosk)
    kiosk.happens(events.EarReady(kiosk.now_s))
    kiosk.after(LIMITS.interval_s).taps()
    phase = kiosk.state.phase
    kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    kiosk.happens(events.Committed("visit-1", kiosk.now_s))
    assert kiosk.state.phase == phase
    assert kiosk.scene == Scene.RECORDING


@pytest.mark.parametrize(
    "end",
    [
        lambda kiosk: kiosk.happens(events.NotTranscribed("visit-1", kiosk.now_s)),
        lambda kiosk: kiosk.happens(events.NotCommitted("visit-1", kiosk.now_s)),
        lambda kiosk: kiosk.happens(events.Heard("visit-1", kiosk.now_s, None)),
    ],
    ids=["failed", "disk full", "no words"],
)
def test_late_words_that_do_not_come_are_waited_for_no_more(kiosk: Kiosk, end) -> None:  # type: ignore[no-untyped-def]
    to_late(kiosk)
    assert end(kiosk) == []
    assert kiosk.state.late == ()
    assert kiosk.scene == Scene.SORRY


def test_who_is_told_that_it_did_not_work_can_still_take_it_back(kiosk: Kiosk) -> None:
    to_late(kiosk)
    assert kiosk.presses(Button.CANCEL) == [Forget("visit-1"), Show(Scene.DISCARDED)]
    assert kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1"))) == []


def test_cancel_forgets_an_interrupted_visit(kiosk: Kiosk) -> None:
    kiosk.taps()
    kiosk.happens(events.Interrupted("visit-1", kiosk.now_s))
    assert kiosk.presses(Button.CANCEL) == [Forget("visit-1"), Show(Scene.DISCARDED)]


def test_words_of_a_recogniser_that_was_too_slow_are_kept_too(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    kiosk.time_passes(LIMITS.finishing_max_s)
    kiosk.happens(events.Interrupted("visit-1", kiosk.now_s))
    kiosk.happens(events.EarLost(kiosk.now_s))
    assert kiosk.scene == Scene.SORRY
    assert isinstance(kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))[0], Commit)


def test_an_ear_that_is_lost_does_not_take_the_thanks_away(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    assert kiosk.happens(events.EarLost(kiosk.now_s)) == []
    assert kiosk.time_passes(LIMITS.thanks_s) == [Release("visit-1"), Show(Scene.OUT_OF_SERVICE)]


def test_late_events_of_an_earlier_visit_change_nothing(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    kiosk.after(LIMITS.interval_s).taps()
    before = kiosk.state
    for late in (
        events.SpeechEnded("visit-1", kiosk.now_s),
        events.NothingSaid("visit-1", kiosk.now_s),
        events.Heard("visit-1", kiosk.now_s, words("visit-1")),
        events.Committed("visit-1", kiosk.now_s),
        events.NotTranscribed("visit-1", kiosk.now_s),
        events.NotCommitted("visit-1", kiosk.now_s),
    ):
        assert kiosk.happens(late) == []
    assert kiosk.state == before


# ---------------------------------------------------------------- presses that do nothing


def test_a_press_while_the_words_are_written_down_is_answered_and_changes_nothing(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    phase = kiosk.state.phase
    assert kiosk.presses() == [Decline(Button.RECORD, Why.BUSY)]
    assert kiosk.state.phase == phase


def test_cancel_without_anything_to_cancel_is_answered(kiosk: Kiosk) -> None:
    assert kiosk.presses(Button.CANCEL) == [Decline(Button.CANCEL, Why.NO_USE)]
    kiosk.taps()
    kiosk.presses(Button.CANCEL)
    assert kiosk.presses(Button.CANCEL) == [Decline(Button.CANCEL, Why.NO_USE)]
    assert kiosk.scene == Scene.DISCARDED


def test_the_language_button_is_answered_while_the_language_cannot_change(kiosk: Kiosk) -> None:
    assert kiosk.presses(Button.LANGUAGE) == []
    kiosk.taps()
    assert kiosk.presses(Button.LANGUAGE) == [Decline(Button.LANGUAGE, Why.BUSY)]
    assert kiosk.scene == Scene.RECORDING


@pytest.mark.parametrize("prepare", [to_thanks, lambda kiosk: (kiosk.taps(), kiosk.presses(Button.CANCEL))])
def test_a_press_right_after_a_visit_is_answered_and_begins_nothing(kiosk: Kiosk, prepare) -> None:  # type: ignore[no-untyped-def]
    prepare(kiosk)
    phase = kiosk.state.phase
    assert kiosk.after(0.9).presses() == [Decline(Button.RECORD, Why.TOO_SOON)]
    assert kiosk.state.phase == phase
    assert Show(Scene.RECORDING) in kiosk.after(0.1).presses()


def test_presses_that_come_too_soon_do_not_put_the_next_visit_off(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    for _ in range(3):
        kiosk.after(0.3).presses()
    assert Show(Scene.RECORDING) in kiosk.after(0.2).presses()


def test_without_an_interval_the_next_visit_begins_at_once(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    _, todo = step(kiosk.state, events.Pressed(Button.RECORD, kiosk.now_s, a_visit("next")), Limits(interval_s=0))
    assert Listen("next") in todo


@pytest.mark.parametrize("prepare", [lambda kiosk: kiosk, lambda kiosk: to_thanks(kiosk).after(2)])
def test_without_room_in_the_spool_the_visitor_is_told_and_nothing_is_recorded(kiosk: Kiosk, prepare) -> None:  # type: ignore[no-untyped-def]
    prepare(kiosk)
    demanded = kiosk.presses(refusal="the disk is full")
    assert demanded[:2] == [Show(Scene.SORRY), Decline(Button.RECORD, Why.NO_ROOM)]
    assert not any(isinstance(effect, Listen) for effect in demanded)
    assert kiosk.time_passes(LIMITS.notice_s) == [Show(Scene.IDLE)]


def test_a_visit_under_way_does_not_ask_for_room_again(kiosk: Kiosk) -> None:
    kiosk.taps()
    assert StopListening("visit-1") in kiosk.after(3).presses(refusal="the disk is full")


# ---------------------------------------------------------------- opening hours


def test_a_kiosk_closes_and_opens(kiosk: Kiosk) -> None:
    assert kiosk.happens(events.ClosingTime(kiosk.now_s)) == [Show(Scene.CLOSED)]
    assert kiosk.state.phase == Closed()
    assert kiosk.happens(events.ClosingTime(kiosk.now_s)) == []
    assert kiosk.happens(events.Opened(kiosk.now_s)) == [Show(Scene.IDLE)]


@pytest.mark.parametrize("button", [Button.RECORD, Button.CANCEL])
def test_a_press_at_a_closed_kiosk_is_answered(kiosk: Kiosk, button: Button) -> None:
    kiosk.happens(events.ClosingTime(kiosk.now_s))
    assert kiosk.presses(button) == [Decline(button, Why.CLOSED)]


def test_closing_time_lets_a_visit_end(kiosk: Kiosk) -> None:
    kiosk.taps()
    assert kiosk.happens(events.ClosingTime(kiosk.now_s)) == []
    kiosk.after(5).happens(events.SpeechEnded("visit-1", kiosk.now_s))
    kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    assert kiosk.happens(events.Committed("visit-1", kiosk.now_s)) == [Show(Scene.THANKS)]
    assert kiosk.after(2).presses() == [Decline(Button.RECORD, Why.CLOSED)]
    assert kiosk.time_passes(LIMITS.thanks_s) == [Release("visit-1"), Show(Scene.CLOSED)]


def test_a_closed_kiosk_calls_nobody_because_of_its_ear(kiosk: Kiosk) -> None:
    kiosk.happens(events.ClosingTime(kiosk.now_s))
    assert kiosk.happens(events.EarLost(kiosk.now_s)) == []
    assert kiosk.happens(events.Opened(kiosk.now_s)) == [Show(Scene.OUT_OF_SERVICE)]
    assert kiosk.happens(events.ClosingTime(kiosk.now_s)) == [Show(Scene.CLOSED)]
    assert kiosk.happens(events.EarReady(kiosk.now_s)) == []
    assert kiosk.happens(events.Opened(kiosk.now_s)) == [Show(Scene.IDLE)]


# ---------------------------------------------------------------- stuck buttons


def test_a_stuck_record_button_ends_its_visit_is_reported_and_begins_no_other(kiosk: Kiosk) -> None:
    kiosk.presses()
    assert kiosk.time_passes(LIMITS.speech_max_s) == [StopListening("visit-1"), Show(Scene.FINISHING)]
    kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    kiosk.happens(events.Committed("visit-1", kiosk.now_s))
    assert kiosk.time_passes(LIMITS.thanks_s) == [Release("visit-1"), Show(Scene.IDLE)]
    assert kiosk.time_passes(LIMITS.stuck_s - LIMITS.thanks_s) == [TellStuck(frozenset({Button.RECORD}))]
    assert kiosk.time_passes(3600) == []
    assert deadline_s(kiosk.state, LIMITS) is None
    assert kiosk.releases() == [TellStuck(frozenset())]
    assert Listen("visit-2") in kiosk.presses()


def test_a_stuck_cancel_button_is_reported_and_blocks_no_visit(kiosk: Kiosk) -> None:
    kiosk.presses(Button.CANCEL)
    assert deadline_s(kiosk.state, LIMITS) == kiosk.now_s + LIMITS.stuck_s
    assert kiosk.time_passes(LIMITS.stuck_s) == [TellStuck(frozenset({Button.CANCEL}))]
    assert Listen("visit-2") in kiosk.presses()


def test_a_long_hold_is_not_stuck_while_the_recording_uses_it(kiosk: Kiosk) -> None:
    kiosk.presses()
    assert kiosk.time_passes(LIMITS.stuck_s + 1) == []
    assert deadline_s(kiosk.state, LIMITS) == LIMITS.speech_max_s


def test_a_button_that_is_down_when_its_panel_comes_can_be_stuck_and_begins_nothing(kiosk: Kiosk) -> None:
    assert kiosk.happens(events.FoundDown(Button.RECORD, kiosk.now_s)) == []
    assert kiosk.time_passes(LIMITS.stuck_s) == [TellStuck(frozenset({Button.RECORD}))]
    assert kiosk.state.phase == Idle()


# ---------------------------------------------------------------- defects


@pytest.mark.parametrize("prepare", [lambda kiosk: kiosk.taps(), to_finishing], ids=["recording", "finishing"])
def test_who_was_spoilt_a_visit_by_a_defect_is_told(kiosk: Kiosk, prepare) -> None:  # type: ignore[no-untyped-def]
    prepare(kiosk)
    assert kiosk.happens(events.Defect(kiosk.now_s)) == [Forget("visit-1"), Show(Scene.SORRY)]


def test_a_defect_takes_no_thanks_back(kiosk: Kiosk) -> None:
    to_thanks(kiosk)
    assert kiosk.happens(events.Defect(kiosk.now_s)) == []


# ---------------------------------------------------------------- whatever happens


def hears(kiosk: Kiosk, visit: str, durable: bool) -> None:
    """Give a transcript, and answer the commit that may follow at once, as the agent does."""
    demanded = kiosk.happens(events.Heard(visit, kiosk.now_s, words(visit)))
    if any(isinstance(effect, Commit) for effect in demanded):
        kiosk.happens((events.Committed if durable else events.NotCommitted)(visit, kiosk.now_s))


PLAY: dict[str, Callable[[Kiosk, str, bool], object]] = {
    "press": lambda kiosk, _visit, _fits: kiosk.presses(),
    "cancel": lambda kiosk, _visit, _fits: kiosk.presses(Button.CANCEL),
    "release": lambda kiosk, _visit, _fits: kiosk.releases(),
    "ended": lambda kiosk, visit, _fits: kiosk.happens(events.SpeechEnded(visit, kiosk.now_s)),
    "nothing": lambda kiosk, visit, _fits: kiosk.happens(events.NothingSaid(visit, kiosk.now_s)),
    "heard": hears,
    "no_words": lambda kiosk, visit, _fits: kiosk.happens(events.Heard(visit, kiosk.now_s, None)),
    "interrupted": lambda kiosk, visit, _fits: kiosk.happens(events.Interrupted(visit, kiosk.now_s)),
    "late": lambda kiosk, _visit, fits: hears(kiosk, kiosk.state.late[0].id if kiosk.state.late else "visit-0", fits),
    "failed": lambda kiosk, visit, _fits: kiosk.happens(events.NotTranscribed(visit, kiosk.now_s)),
    "lost": lambda kiosk, _visit, _fits: kiosk.happens(events.EarLost(kiosk.now_s)),
    "ready": lambda kiosk, _visit, _fits: kiosk.happens(events.EarReady(kiosk.now_s)),
    "closes": lambda kiosk, _visit, _fits: kiosk.happens(events.ClosingTime(kiosk.now_s)),
    "opens": lambda kiosk, _visit, _fits: kiosk.happens(events.Opened(kiosk.now_s)),
    "no_room": lambda kiosk, _visit, _fits: kiosk.presses(refusal="the disk is full"),
    "defect": lambda kiosk, _visit, _fits: kiosk.happens(events.Defect(kiosk.now_s)),
    "tick": lambda kiosk, _visit, _fits: kiosk.happens(events.Tick(kiosk.now_s)),
}

ACTIONS = st.lists(
    st.tuples(st.sampled_from(sorted(PLAY)), st.sampled_from([0.0, 0.1, 0.7, 3.0, 5.0, 61.0]), st.booleans()),
    max_size=60,
)


def play(kiosk: Kiosk, actions: list[tuple[str, float, bool]]) -> None:
    """Play random events, with a tick before each that is due."""
    for action, seconds, fits in actions:
        kiosk.now_s += seconds
        due_s = deadline_s(kiosk.state, LIMITS)
        if due_s is not None and kiosk.now_s >= due_s:
            kiosk.happens(events.Tick(kiosk.now_s))
        PLAY[action](kiosk, f"visit-{kiosk.visits}" if fits else "visit-0", fits)


@given(ACTIONS)
def test_whatever_happens_a_committed_feedback_is_released_or_taken_back_once(
    actions: list[tuple[str, float, bool]],
) -> None:
    kiosk = Kiosk()
    kiosk.happens(events.EarReady(0.0))
    play(kiosk, actions)
    kiosk.time_passes(1_000)
    committed = [effect.visit.id for effect in kiosk.demanded if isinstance(effect, Commit)]
    settled = [effect.visit for effect in kiosk.demanded if isinstance(effect, Release | TakeBack)]
    assert len(set(committed)) == len(committed)
    assert len(set(settled)) == len(settled)
    assert set(settled) <= set(committed)
    thanked = sum(effect == Show(Scene.THANKS) for effect in kiosk.demanded)
    assert thanked + kiosk.kept_late == len(settled)


@given(ACTIONS)
def test_whatever_happens_the_kiosk_comes_to_rest_by_itself(actions: list[tuple[str, float, bool]]) -> None:
    kiosk = Kiosk()
    kiosk.happens(events.EarReady(0.0))
    play(kiosk, actions)
    for _ in range(3 + len(Button)):
        due_s = deadline_s(kiosk.state, LIMITS)
        if due_s is None:
            break
        kiosk.now_s = max(kiosk.now_s, due_s)
        kiosk.happens(events.Tick(kiosk.now_s))
    rest = (Idle if kiosk.state.can_hear else OutOfService) if kiosk.state.is_open else Closed
    assert isinstance(kiosk.state.phase, rest)


@given(ACTIONS)
def test_whatever_happens_the_scene_shown_is_that_of_the_phase(actions: list[tuple[str, float, bool]]) -> None:
    kiosk = Kiosk()
    kiosk.happens(events.EarReady(0.0))
    play(kiosk, actions)
    expected = {
        Idle: Scene.IDLE,
        Recording: Scene.RECORDING,
        Finishing: Scene.FINISHING,
        Thanks: Scene.THANKS,
        OutOfService: Scene.OUT_OF_SERVICE,
        Closed: Scene.CLOSED,
    }
    phase = kiosk.state.phase
    assert kiosk.scene == (phase.scene if isinstance(phase, Notice) else expected[type(phase)])
