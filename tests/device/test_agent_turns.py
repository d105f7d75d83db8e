"""The agent's loop, turn by turn: what it publishes and counts, and what cannot stop it."""

import logging
from datetime import UTC, datetime

import pytest

from audio import protocol as ear_events
from device.agent import TURN_S, Agent
from device.clock import Stamp
from device.debts import RETRY_S
from device.defects import LOG_EVERY_S
from device.event_feed import Value
from device.hours import LOOK_S, WEEKDAYS, parse
from device.visit.limits import Limits
from device.visit.states import Finishing, OutOfService, Recording, Thanks
from firmware_bridge import Button, ButtonPressed, Scene
from tests.device.kiosk_world import READY, FakeClock, World

LIMITS = Limits()
WORDS = "a visitor's words"
SHOP = parse("Europe/Berlin", {day: ["09:00-18:00"] for day in WEEKDAYS}, {})


@pytest.fixture
def world() -> World:
    """A kiosk that waits for a visitor."""
    world = World(LIMITS)
    world.ear_is_ready()
    return world


def at(world: World, text: str) -> World:
    """Set the wall clock, in UTC."""
    world.clock.wall_s = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    return world


def shop(text: str) -> World:
    """A kiosk with opening hours that starts at a time, in UTC; Berlin is an hour ahead."""
    world = World(LIMITS, SHOP)
    at(world, text).ear_is_ready()
    world.time_passes(LOOK_S)
    return world


def speak(world: World) -> str:
    """Tap, speak, and have the words come."""
    world.tap()
    visit = world.ear.begun[-1]
    world.time_passes(2.0)
    world.happens(ear_events.SpeechEnded(visit=visit))
    world.ear.hear(visit, "hello")
    world.happens()
    return visit


def last(world: World, event: str) -> dict[str, Value]:
    return [line for line in world.feed.lines if line["event"] == event][-1]


# ---------------------------------------------------------------- what is told


def test_a_visit_is_counted_as_it_goes(world: World) -> None:
    speak(world)
    assert isinstance(world.phase, Thanks)
    world.time_passes(1.5)
    stats = world.agent.stats()
    assert (stats.phase, stats.scene, stats.visits, stats.thanked) == ("thanks", "thanks", 1, 1)
    assert stats.last_thanks_s == pytest.approx(1.5)
    world.tap(Button.CANCEL)
    world.time_passes(5.0)
    world.tap()
    world.happens(ear_events.Failed(visit=world.ear.begun[-1], reason="it broke"))
    stats = world.agent.stats()
    assert (stats.visits, stats.thanked, stats.taken_back, stats.failed, stats.turned_away) == (2, 1, 1, 1, 0)
    assert (stats.language, stats.stuck_buttons, stats.defects) == ("en", (), 0)


def test_stats_can_be_had_before_the_agent_runs() -> None:
    world = World(LIMITS)
    clock = world.clock
    agent = Agent(
        spool=world.spool,
        feed=world.feed,
        clock=clock,
        limits=LIMITS,
        agent_version="1",
        consent_version=None,
        monotonic=clock.monotonic,
    )
    stats = agent.stats()
    assert (stats.phase, stats.scene, stats.last_thanks_s) == ("out_of_service", "out_of_service", None)


def test_a_scene_is_published_with_its_visit_and_its_end(world: World) -> None:
    visit = speak(world)
    told = last(world, "scene")
    assert (told["scene"], told["visit"]) == ("thanks", visit)
    assert told["until_s"] == pytest.approx(world.clock.now_s + LIMITS.thanks_s)
    world.time_passes(LIMITS.thanks_s)
    assert last(world, "scene") == {"event": "scene", "scene": "idle", "visit": None, "until_s": None}


@pytest.mark.parametrize("refuses", ["the disk is full"])
def test_who_cannot_be_kept_is_told_before_a_word_is_said(world: World, refuses: str) -> None:
    world.spool.refuses = refuses
    world.tap()
    assert (world.panel.told[-1], world.ear.begun) == (Scene.SORRY, [])
    assert last(world, "turned_away") == {"event": "turned_away", "button": "record", "reason": "no_room"}
    assert world.agent.stats().turned_away == 1
    assert world.agent.stats().failed == 0


def test_play_is_answered_and_counted(world: World) -> None:
    speak(world)
    for _ in range(3):
        world.tap()
    assert world.panel.told[-3:] == [None, None, None]
    assert world.agent.stats().turned_away == 3
    assert last(world, "turned_away")["reason"] == "too_soon"
    world.time_passes(LIMITS.interval_s)
    world.tap()
    assert len(world.ear.begun) == 2


def test_a_cancel_with_nothing_to_cancel_is_answered_and_turns_nobody_away(world: World) -> None:
    world.tap(Button.CANCEL)
    assert world.panel.told[-1] is None
    assert world.agent.stats().turned_away == 0


# ---------------------------------------------------------------- opening hours


def test_a_closed_kiosk_says_when_it_opens_and_answers_a_press() -> None:
    world = shop("2026-12-01T05:00")
    assert world.agent.stats().phase == "closed"
    assert last(world, "scene")["scene"] == "closed"
    assert last(world, "hours") == {"event": "hours", "is_open": False, "changes_at": "2026-12-01T09:00+01:00"}
    world.tap()
    assert (world.panel.told[-1], world.ear.begun) == (None, [])
    assert last(world, "turned_away")["reason"] == "closed"
    assert world.agent.stats().phase == "closed"


def test_a_kiosk_opens_on_the_second_and_closes_after_the_visit() -> None:
    world = shop("2026-12-01T07:59:00")
    world.time_passes(29.9)
    assert world.agent.stats().phase == "closed"
    world.time_passes(0.2)
    assert world.agent.stats().phase == "idle"
    at(world, "2026-12-01T16:59:00")
    world.time_passes(LOOK_S + 25.0)
    world.tap()
    world.time_passes(10.0)
    assert isinstance(world.phase, Recording)
    visit = world.ear.begun[-1]
    world.happens(ear_events.SpeechEnded(visit=visit))
    world.ear.hear(visit, "hello")
    world.happens()
    assert isinstance(world.phase, Thanks)
    world.time_passes(LIMITS.thanks_s)
    assert world.agent.stats().phase == "closed"
    assert world.spool.released == [visit]


def test_a_clock_that_jumps_is_noticed_within_half_a_minute() -> None:
    world = shop("2026-12-01T12:00")
    at(world, "2026-12-01T23:00")
    world.time_passes(LOOK_S)
    assert world.agent.stats().phase == "closed"
    world.clock.synchronised = False
    world.time_passes(LOOK_S)
    assert world.agent.stats().phase == "idle"


def test_a_jump_of_a_year_in_the_middle_of_a_visit_does_not_touch_it(world: World) -> None:
    world.tap()
    world.jump(366 * 86400)
    world.time_passes(LIMITS.speech_max_s - 1)
    assert isinstance(world.phase, Recording)
    world.jump(-2 * 366 * 86400)
    world.time_passes(1)
    assert isinstance(world.phase, Finishing)


# ---------------------------------------------------------------- stuck buttons


def test_a_stuck_button_is_published_counted_and_forgotten_when_it_is_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.press()
    world.time_passes(LIMITS.speech_max_s + LIMITS.finishing_max_s + LIMITS.notice_s + LIMITS.stuck_s)
    assert world.agent.stats().stuck_buttons == ("record",)
    assert last(world, "stuck_buttons")["buttons"] == "record"
    world.time_passes(3600)
    assert isinstance(world.phase, OutOfService)
    world.ear_is_ready()
    assert (world.agent.stats().phase, len(world.ear.begun)) == ("idle", 1)
    world.release()
    assert world.agent.stats().stuck_buttons == ()
    assert last(world, "stuck_buttons")["buttons"] == ""
    told = [record.levelname for record in caplog.records if "record button" in record.message]
    assert told == ["WARNING", "INFO"]


def test_a_button_that_is_down_when_the_panel_is_plugged_in_begins_nothing_and_is_reported(world: World) -> None:
    world.unplug()
    world.press()
    world.plug()
    world.time_passes(LIMITS.stuck_s)
    assert world.ear.begun == []
    assert world.agent.stats().stuck_buttons == ("record",)
    world.release()
    world.tap()
    assert len(world.ear.begun) == 1


# ---------------------------------------------------------------- the loop


def test_the_loop_turns_at_least_once_a_second(world: World) -> None:
    assert world.agent._wait_s() <= TURN_S
    before = world.turns
    world.turn(None)
    world.turn(ear_events.Level(dbfs=-20.0, peak=0.5))
    assert world.turns == before + 2


def test_a_flood_of_events_does_not_stop_the_clock(world: World) -> None:
    world.tap()
    for _ in range(100):
        world.clock.pass_to(world.clock.now_s + LIMITS.speech_max_s / 100)
        world.turn(ear_events.Level(dbfs=-20.0, peak=0.5))
    assert isinstance(world.phase, Finishing)


def test_a_release_that_the_disk_does_not_take_is_done_later(world: World) -> None:
    visit = speak(world)
    world.spool.changes_fail = True
    world.time_passes(60.0)
    assert (world.agent.stats().phase, world.spool.released) == ("idle", [])
    world.spool.changes_fail = False
    world.time_passes(RETRY_S)
    assert world.spool.released == [visit]


def test_a_visitors_wish_to_take_it_back_outlives_a_bad_disk(world: World, caplog: pytest.LogCaptureFixture) -> None:
    visit = speak(world)
    world.spool.changes_fail = True
    world.tap(Button.CANCEL)
    assert world.panel.told[-1] is Scene.DISCARDED
    world.time_passes(3600.0)
    world.spool.changes_fail = False
    world.time_passes(RETRY_S)
    assert (world.spool.taken_back, world.spool.released) == ([visit], [])
    assert [record.levelname for record in caplog.records if record.name == "device.debts"] == ["WARNING"]


def test_an_owed_change_that_fails_by_a_defect_keeps_no_core_busy_and_stands_in_no_others_way(world: World) -> None:
    world.spool.changes_fail = True
    visits = [speak(world)]
    world.time_passes(LIMITS.thanks_s)
    visits.append(speak(world))
    world.time_passes(LIMITS.thanks_s)
    world.spool.changes_fail = False
    world.trouble.armed = {"release"}
    world.time_passes(3 * RETRY_S)
    assert world.spool.released == visits[1:]


# ---------------------------------------------------------------- defects


@pytest.mark.parametrize("name", ["finish", "add"])
def test_a_defect_in_a_visit_is_told_to_its_visitor_and_the_next_one_is_served(world: World, name: str) -> None:
    world.trouble.armed = {name}
    speak(world)
    assert world.panel.told[-1] is Scene.SORRY
    assert world.ear.recording == set()
    assert (world.agent.stats().defects, world.agent.stats().failed) == (1, 1)
    world.time_passes(LIMITS.notice_s)
    visit = speak(world)
    assert world.thanked == [visit]


def test_a_feed_that_fails_disturbs_no_visit(world: World) -> None:
    world.trouble.armed = {"publish"}
    assert speak(world) in world.thanked
    assert world.agent.stats().defects == 1


def test_a_defect_elsewhere_leaves_the_visit_alone(world: World) -> None:
    world.tap()
    world.trouble.armed = {"level"}
    world.happens(ear_events.Level(dbfs=-20.0, peak=0.5))
    assert isinstance(world.phase, Recording)
    assert world.agent.stats().defects == 1


def test_a_press_that_cannot_be_taken_is_answered(world: World) -> None:
    world.trouble.armed = {"now"}
    world.press()
    assert world.panel.told[-1] is None
    assert (world.ear.begun, world.agent.stats().turned_away) == ([], 1)


def test_a_machine_that_fails_at_everything_comes_to_rest_and_keeps_no_core_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tap()

    def broken(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("device.agent.step", broken)
    world.agent._turn(ear_events.SpeechEnded(visit=world.ear.begun[-1]))
    assert world.agent.stats().phase == "idle"
    assert world.ear.recording == set()
    for _ in range(3):
        world.agent._turn(None)
        assert world.agent._wait_s() > 0 or world.agent._due_s() > world.clock.now_s
    monkeypatch.undo()
    world.trouble.struck["step"] = world.agent.stats().defects
    world.time_passes(2.0)
    world.release()
    world.tap()
    assert isinstance(world.phase, Recording)


def test_the_log_of_defects_is_bounded_and_keeps_what_was_said_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeClock):
        def now(self) -> Stamp:
            raise ValueError(WORDS)

    world = World(LIMITS)
    world.clock.__class__ = Broken
    for _ in range(1000):
        world.agent._turn(ButtonPressed(Button.RECORD))
    assert world.agent.stats().defects == 1000
    (logged,) = [record for record in caplog.records if record.name == "device.defects"]
    assert "device/intake.py" in logged.message
    assert "ValueError" in logged.message
    assert WORDS not in caplog.text
    world.clock.now_s += LOG_EVERY_S
    world.agent._turn(ButtonPressed(Button.RECORD))
    assert "(999 more since it was logged last)" in caplog.records[-1].message


def test_an_on_turn_that_fails_does_not_end_the_loop(world: World) -> None:
    def broken() -> None:
        raise AssertionError

    world.agent._on_turn = broken
    world.agent._turn(READY)
    world.agent._turn(ButtonPressed(Button.RECORD))
    assert isinstance(world.phase, Recording)
