"""The visit's machine, as its visitor sees it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.protocol import Transcript
from device.clock import Stamp
from device.visit import effects, events
from device.visit.effects import Commit, Forget, Listen, Release, ReplaceEar, Show, StopListening, TakeBack
from device.visit.limits import Limits
from device.visit.machine import deadline_s, step
from device.visit.states import Idle, OutOfService, Recording, State, Visit, scene_of
from firmware_bridge import Button, Scene

LIMITS = Limits(
    hold_s=0.6, speech_max_s=60, finishing_max_s=10, interrupted_max_s=3, thanks_s=4, notice_s=3, interval_s=1
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

    def presses(self, button: Button = Button.RECORD) -> list[effects.Effect]:
        self.visits += 1
        return self.happens(events.Pressed(button, self.now_s, a_visit(f"visit-{self.visits}")))

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
    to_thanks(kiosk).after(LIMITS.interval_s)
    assert kiosk.presses() == [Release("visit-1"), Show(Scene.RECORDING), Listen("visit-2")]


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
    assert kiosk.presses() == [Show(Scene.SORRY)]
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
    kiosk.after(LIMITS.interval_s).happens(events.EarReady(kiosk.now_s))
    kiosk.taps()
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
    to_thanks(kiosk).after(LIMITS.interval_s)
    kiosk.taps()
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


def test_a_press_that_changes_nothing_puts_the_lights_out_for_a_moment(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    assert kiosk.presses() == [Show(Scene.CLOSED)]
    assert deadline_s(kiosk.state, LIMITS) == kiosk.now_s + LIMITS.blink_s
    assert kiosk.time_passes(LIMITS.blink_s) == [Show(Scene.FINISHING)]


def test_a_second_press_within_the_answer_to_the_first_is_seen_too(kiosk: Kiosk) -> None:
    assert kiosk.presses(Button.CANCEL) == [Show(Scene.CLOSED)]
    assert kiosk.presses(Button.CANCEL) == [Show(Scene.IDLE)]


def test_a_visit_that_could_not_be_kept_does_not_begin(kiosk: Kiosk) -> None:
    pressed = events.Pressed(Button.RECORD, 0.0, a_visit("visit-1"), "the disk is full")
    assert kiosk.happens(pressed) == [Show(Scene.SORRY)]
    assert kiosk.happens(pressed) == [Show(Scene.CLOSED)]
    assert kiosk.time_passes(LIMITS.notice_s) == [Show(Scene.IDLE)]


def test_no_visit_begins_within_the_interval_after_another(kiosk: Kiosk) -> None:
    to_thanks(kiosk).after(LIMITS.interval_s - 0.1)
    assert kiosk.presses() == [Show(Scene.CLOSED)]
    assert kiosk.time_passes(LIMITS.blink_s) == [Show(Scene.THANKS)]
    assert kiosk.presses() == [Release("visit-1"), Show(Scene.RECORDING), Listen("visit-3")]


def test_closing_time_lets_a_visit_end(kiosk: Kiosk) -> None:
    to_finishing(kiosk)
    assert kiosk.happens(events.Opening(is_open=False)) == []
    kiosk.happens(events.Heard("visit-1", kiosk.now_s, words("visit-1")))
    assert kiosk.happens(events.Committed("visit-1", kiosk.now_s)) == [Show(Scene.THANKS)]
    assert kiosk.time_passes(LIMITS.thanks_s) == [Release("visit-1"), Show(Scene.CLOSED)]
    assert kiosk.presses() == [Show(Scene.OUT_OF_SERVICE)]
    assert kiosk.time_passes(LIMITS.answer_s) == [Show(Scene.CLOSED)]
    assert kiosk.happens(events.Opening(is_open=True)) == [Show(Scene.IDLE)]


@pytest.mark.parametrize("prepare", [lambda kiosk: kiosk.taps(), to_finishing], ids=["recording", "finishing"])
def test_a_defect_ends_its_visit_with_sorry(kiosk: Kiosk, prepare) -> None:  # type: ignore[no-untyped-def]
    prepare(kiosk)
    assert kiosk.happens(events.Defect(kiosk.now_s)) == [Forget("visit-1"), Show(Scene.SORRY)]


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
    for _ in range(4):
        due_s = deadline_s(kiosk.state, LIMITS)
        if due_s is None:
            break
        kiosk.now_s = max(kiosk.now_s, due_s)
        kiosk.happens(events.Tick(kiosk.now_s))
    assert isinstance(kiosk.state.phase, Idle if kiosk.state.can_hear else OutOfService)


@given(ACTIONS)
def test_whatever_happens_the_scene_shown_is_that_of_the_phase(actions: list[tuple[str, float, bool]]) -> None:
    kiosk = Kiosk()
    kiosk.happens(events.EarReady(0.0))
    play(kiosk, actions)
    answer = kiosk.state.answer
    assert kiosk.scene == (scene_of(kiosk.state.phase) if answer is None else answer.scene)
