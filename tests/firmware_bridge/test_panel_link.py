"""The host's side of the link, step by step, against hand-made frames."""

import itertools
import math

import pytest

from firmware_bridge.events import ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.frame import Frame, FrameDecoder, encode
from firmware_bridge.link import HostLink
from firmware_bridge.messages import (
    FROM_HOST,
    Button,
    ButtonEdge,
    Display,
    Hello,
    HostAck,
    HostHeartbeat,
    Identity,
    Level,
    PanelAck,
    PanelHeartbeat,
    Scene,
    SceneCommand,
    from_frame,
    to_frame,
)
from firmware_bridge.timing import HELLO_GAP_S, HELLO_REPEAT_S, LEVEL_GAP_S, LOST_S, REPEAT_S
from firmware_bridge.wire import Message

NOBODY: frozenset[Button] = frozenset()


class Bench:
    """A host link whose other end is the test."""

    def __init__(self) -> None:
        self.now_s = 50.0
        numbers = itertools.count(1)
        self.link = HostLink(lambda: next(numbers))
        self.decoder = FrameDecoder()

    def says(self, message: Message, sequence: int = 0) -> list[PanelEvent]:
        return self.link.feed(encode(to_frame(message, sequence)), self.now_s)

    def later(self, seconds: float) -> list[PanelEvent]:
        self.now_s += seconds
        return self.link.tick(self.now_s)

    def heard(self) -> list[tuple[Message, int]]:
        frames = self.decoder.feed(self.link.take_output())
        return [(from_frame(frame, FROM_HOST), frame.sequence) for frame in frames]

    def scenes(self) -> list[tuple[Scene, int]]:
        return [(message.scene, number) for message, number in self.heard() if isinstance(message, SceneCommand)]

    def identity(self, session: int, protocol: int = 1, held: frozenset[Button] = NOBODY) -> Identity:
        return Identity(protocol, session, (1, 0, 0), frozenset(Button), held, 0, 3, Display.NONE, "KP-7")

    def beat(self, session: int, uptime_ms: int = 1000, held: frozenset[Button] = NOBODY) -> list[PanelEvent]:
        return self.says(PanelHeartbeat(session, uptime_ms, held))


@pytest.fixture
def asking() -> Bench:
    bench = Bench()
    bench.link.open(bench.now_s)
    return bench


@pytest.fixture
def online(asking: Bench) -> Bench:
    asking.link.show(Scene.IDLE, asking.now_s)
    asking.says(asking.identity(session=1))
    assert (SceneCommand(Scene.IDLE), 1) in asking.heard()
    asking.says(PanelAck(), 1)
    return asking


def test_a_closed_link_sends_nothing_and_needs_no_tick() -> None:
    link = HostLink(lambda: 1)
    link.show(Scene.IDLE, 1.0)
    link.level(7, 1.0)
    assert link.next_deadline_s == math.inf
    assert link.tick(99.0) == []
    assert link.take_output() == b""


def test_an_open_port_is_asked_at_once_and_again_until_it_answers(asking: Bench) -> None:
    assert asking.heard() == [(Hello(1, 1), 0)]
    assert asking.later(HELLO_REPEAT_S / 2) == []
    assert asking.heard() == []
    asking.later(HELLO_REPEAT_S / 2)
    assert asking.heard() == [(Hello(1, 1), 0)]
    assert asking.says(asking.identity(session=1)) == [PanelOnline(asking.identity(session=1))]
    assert asking.link.identity == asking.identity(session=1)
    assert asking.link.problem is None


def test_a_heartbeat_of_a_panel_that_has_just_started_is_answered_at_once_but_not_in_a_flood(asking: Bench) -> None:
    asking.heard()
    asking.now_s += HELLO_GAP_S
    asking.beat(session=0)
    asking.beat(session=0)
    assert asking.heard() == [(Hello(1, 1), 0)]


def test_a_silent_port_is_reported_once_with_what_is_known_about_it(asking: Bench) -> None:
    assert asking.later(LOST_S) == [PanelOffline("nothing answers at the port")]
    assert asking.later(LOST_S) == []


def test_a_port_that_talks_something_else_is_reported_as_such(asking: Bench) -> None:
    asking.link.feed(b"+CSQ: 17,99\r\n\x00OK\r\n\x00", asking.now_s)
    (event,) = asking.later(LOST_S)
    assert isinstance(event, PanelOffline)
    assert "not the panel's protocol" in event.reason


def test_a_panel_that_is_heard_but_does_not_answer_is_reported_as_such(asking: Bench) -> None:
    asking.later(1.0)
    asking.beat(session=0)
    (event,) = asking.later(LOST_S)
    assert isinstance(event, PanelOffline)
    assert "does not answer" in event.reason


def test_a_panel_of_another_protocol_version_is_refused_with_both_versions(asking: Bench) -> None:
    assert asking.says(asking.identity(session=1, protocol=2)) == []
    # Of another version nothing but the first byte is known, not even the length.
    asking.link.feed(encode(Frame(Identity.TYPE, 0, b"\x02")), asking.now_s)
    (event,) = asking.later(LOST_S)
    assert isinstance(event, PanelOffline)
    assert "protocol 2 and this program 1" in event.reason
    assert not asking.link.online
    assert asking.heard()[-1] == (Hello(1, 1), 0)


def test_an_answer_to_an_earlier_session_does_not_make_a_panel(asking: Bench) -> None:
    assert asking.says(asking.identity(session=99)) == []
    assert not asking.link.online


def test_a_second_answer_to_the_same_question_changes_nothing(online: Bench) -> None:
    assert online.says(online.identity(session=1)) == []
    assert online.scenes() == []


def test_a_scene_is_repeated_until_it_is_acknowledged(online: Bench) -> None:
    online.link.show(Scene.RECORDING, online.now_s)
    assert online.scenes() == [(Scene.RECORDING, 2)]
    for _ in range(3):
        online.later(REPEAT_S)
        assert online.scenes() == [(Scene.RECORDING, 2)]
    online.says(PanelAck(), 2)
    online.later(REPEAT_S)
    assert online.scenes() == []
    assert online.link.repeats == 3


def test_a_newer_scene_supersedes_one_that_is_not_acknowledged(online: Bench) -> None:
    online.link.show(Scene.FINISHING, online.now_s)
    online.link.show(Scene.THANKS, online.now_s)
    online.scenes()
    online.says(PanelAck(), 2)
    online.later(REPEAT_S)
    assert online.scenes() == [(Scene.THANKS, 3)]
    online.says(PanelAck(), 3)
    online.later(REPEAT_S)
    assert online.scenes() == []


def test_the_scene_that_is_shown_already_is_not_sent_again(online: Bench) -> None:
    online.link.show(Scene.IDLE, online.now_s)
    assert online.scenes() == []


def test_a_repeated_event_has_one_effect_and_every_copy_is_acknowledged(online: Bench) -> None:
    press = ButtonEdge(Button.RECORD, True, 1500)
    assert online.says(press, 9) == [ButtonPressed(Button.RECORD)]
    assert online.says(press, 9) == []
    assert online.says(press, 9) == []
    assert [item for item in online.heard() if item[0] == HostAck()] == [(HostAck(), 9)] * 3
    assert online.link.counters.duplicate_events == 2
    assert online.says(ButtonEdge(Button.RECORD, False, 1600), 10) == [ButtonReleased(Button.RECORD)]


def test_the_panels_time_of_an_edge_is_passed_on(online: Bench) -> None:
    (event,) = online.says(ButtonEdge(Button.RECORD, True, 1500), 1)
    assert isinstance(event, ButtonPressed)
    assert event.panel_ms == 1500


def test_an_event_that_is_not_understood_is_acknowledged_or_it_would_come_for_ever(online: Bench) -> None:
    online.heard()
    assert online.link.feed(encode(Frame(ButtonEdge.TYPE, 4, b"\x63\x01\x00\x00\x00\x00")), online.now_s) == []
    assert online.heard() == [(HostAck(), 4)]
    assert online.link.counters.bad_payloads == 1


def test_an_event_outside_a_session_is_neither_believed_nor_acknowledged(asking: Bench) -> None:
    asking.heard()
    assert asking.says(ButtonEdge(Button.RECORD, True, 1), 1) == []
    assert asking.heard() == []
    assert asking.link.counters.stray == 1


def test_an_unknown_type_is_passed_over_and_counted(online: Bench) -> None:
    assert online.link.feed(encode(Frame(0xEE, 0, b"new")), online.now_s) == []
    assert online.link.counters.unknown_types == 1
    assert online.link.online


def test_a_line_that_echoes_does_not_answer_itself(asking: Bench) -> None:
    for _ in range(8):
        assert asking.link.feed(asking.link.take_output(), asking.now_s) == []
        asking.now_s += HELLO_REPEAT_S
        asking.link.tick(asking.now_s)
    assert not asking.link.online


def test_a_rebooted_panel_is_found_again_and_its_first_sequence_number_counts(online: Bench) -> None:
    online.says(ButtonEdge(Button.CANCEL, True, 5000), 1)
    assert online.beat(session=0, uptime_ms=3) == [PanelOffline("the panel has restarted", frozenset({Button.CANCEL}))]
    assert online.heard()[-1] == (Hello(1, 2), 0)
    assert online.says(online.identity(session=2)) == [PanelOnline(online.identity(session=2))]
    assert online.scenes() == [(Scene.IDLE, 2)]
    assert online.says(ButtonEdge(Button.CANCEL, True, 200), 1) == [ButtonPressed(Button.CANCEL)]


def test_a_panel_that_had_lost_the_kiosk_is_not_called_restarted(online: Bench) -> None:
    online.beat(session=1, uptime_ms=4000)
    assert online.beat(session=0, uptime_ms=8000) == [PanelOffline("the panel had lost the kiosk")]


def test_a_silent_panel_is_lost_with_the_buttons_that_were_down(online: Bench) -> None:
    online.says(ButtonEdge(Button.RECORD, True, 1), 1)
    (event,) = online.later(LOST_S)
    assert event == PanelOffline(f"nothing was heard from the panel for {LOST_S:.0f} s", frozenset({Button.RECORD}))
    assert online.heard()[-1] == (Hello(1, 2), 0)


def test_a_closed_port_is_reported_once_however_often_it_fails(online: Bench) -> None:
    assert online.link.close("unplugged") == [PanelOffline("unplugged")]
    assert online.link.close("it does not exist") == []
    assert online.link.problem == "it does not exist"
    online.link.open(online.now_s)
    assert online.later(LOST_S) == []


def test_a_scene_asked_for_without_a_panel_is_sent_when_one_comes(online: Bench) -> None:
    online.link.close("unplugged")
    online.link.show(Scene.CLOSED, online.now_s)
    online.link.open(online.now_s)
    assert online.scenes() == []
    online.says(online.identity(session=2))
    assert online.scenes() == [(Scene.CLOSED, 2)]


def test_a_button_that_is_down_when_the_panel_comes_is_no_press_and_its_release_is_told(asking: Bench) -> None:
    identity = asking.identity(session=1, held=frozenset({Button.RECORD}))
    assert asking.says(identity) == [PanelOnline(identity)]
    assert asking.beat(session=1, held=frozenset({Button.RECORD})) == []
    assert asking.says(ButtonEdge(Button.RECORD, False, 900), 1) == [ButtonReleased(Button.RECORD)]
    assert asking.says(ButtonEdge(Button.RECORD, True, 950), 2) == [ButtonPressed(Button.RECORD)]


def test_a_button_that_was_down_when_the_panel_came_can_be_pressed_though_its_release_is_lost(asking: Bench) -> None:
    asking.says(asking.identity(session=1, held=frozenset({Button.RECORD})))
    assert asking.says(ButtonEdge(Button.RECORD, True, 950), 1) == [ButtonPressed(Button.RECORD)]
    assert asking.says(ButtonEdge(Button.RECORD, False, 990), 2) == [ButtonReleased(Button.RECORD)]


def test_a_button_that_was_down_when_the_panel_came_is_told_when_it_goes(asking: Bench) -> None:
    asking.says(asking.identity(session=1, held=frozenset({Button.RECORD, Button.CANCEL})))
    assert asking.beat(session=1, held=frozenset({Button.CANCEL})) == [ButtonReleased(Button.RECORD)]
    (event,) = asking.link.close("pulled")
    assert event == PanelOffline("pulled", frozenset({Button.CANCEL}))


def test_a_press_is_answered_in_the_scene_that_is_shown_and_not_after_a_reconnection(online: Bench) -> None:
    online.link.show(Scene.IDLE, online.now_s, answers=1)
    assert (SceneCommand(Scene.IDLE, 1), 2) in online.heard()
    online.says(PanelAck(), 2)
    online.link.show(Scene.IDLE, online.now_s, answers=1)
    assert online.scenes() == []
    online.link.close("pulled")
    online.link.show(Scene.IDLE, online.now_s, answers=2)
    online.link.open(online.now_s)
    online.says(online.identity(session=2))
    assert (SceneCommand(Scene.IDLE), 3) in online.heard()


def test_a_release_that_the_panel_had_to_drop_is_made_good_by_its_heartbeat(online: Bench) -> None:
    online.says(ButtonEdge(Button.RECORD, True, 100), 1)
    assert online.beat(session=1, held=frozenset({Button.RECORD})) == []
    assert online.beat(session=1, uptime_ms=2500) == [ButtonReleased(Button.RECORD)]
    assert online.says(ButtonEdge(Button.RECORD, False, 2400), 3) == []


def test_levels_are_rate_limited_the_latest_wins_and_a_new_scene_ends_them(online: Bench) -> None:
    online.heard()
    for value in (10, 20, 300):
        online.link.level(value, online.now_s)
    assert online.heard() == [(Level(10), 0)]
    assert online.link.next_deadline_s <= online.now_s + LEVEL_GAP_S
    online.later(LEVEL_GAP_S)
    assert online.heard() == [(Level(255), 0)]
    online.link.level(30, online.now_s)
    online.link.show(Scene.FINISHING, online.now_s)
    online.later(LEVEL_GAP_S)
    assert Level(30) not in [message for message, _ in online.heard()]


def test_a_host_says_that_it_is_there_all_the_time(online: Bench) -> None:
    beats = 0
    for _ in range(100):
        online.now_s = online.link.next_deadline_s
        online.link.tick(online.now_s)
        online.beat(session=1)
        beats += (HostHeartbeat(1), 0) in online.heard()
    assert beats == 100


def test_the_round_trip_is_measured_and_smoothed_but_not_for_a_repeated_scene(online: Bench) -> None:
    measured = online.link.round_trip
    assert (measured.last_s, measured.smoothed_s) == (0.0, 0.0)
    for number, took_s in ((2, 0.008), (3, 0.016)):
        online.link.show(Scene(number), online.now_s)
        online.now_s += took_s
        online.says(PanelAck(), number)
    assert measured.last_s == pytest.approx(0.016)
    assert measured.smoothed_s == pytest.approx(0.001 + (0.016 - 0.001) / 8)
    online.link.show(Scene.CLOSED, online.now_s)
    online.later(REPEAT_S)
    online.says(PanelAck(), 4)
    assert online.link.counters.scenes_acknowledged == 4
    assert measured.last_s == pytest.approx(0.016)


def test_an_older_event_that_was_overtaken_is_a_repetition_and_the_next_one_is_not(online: Bench) -> None:
    assert online.says(ButtonEdge(Button.RECORD, True, 10), 254) == [ButtonPressed(Button.RECORD)]
    assert online.says(ButtonEdge(Button.RECORD, False, 20), 255) == [ButtonReleased(Button.RECORD)]
    assert online.says(ButtonEdge(Button.RECORD, True, 10), 254) == []
    assert online.says(ButtonEdge(Button.RECORD, True, 30), 0) == [ButtonPressed(Button.RECORD)]
    assert online.link.counters.duplicate_events == 1


def test_an_older_heartbeat_that_was_overtaken_releases_nothing_and_a_wrapped_uptime_is_newer(online: Bench) -> None:
    online.says(ButtonEdge(Button.RECORD, True, 2**32 - 10), 1)
    assert online.beat(session=1, uptime_ms=2**32 - 20) == []
    assert online.beat(session=1, uptime_ms=5) == [ButtonReleased(Button.RECORD)]


def test_an_older_scene_that_was_shown_last_is_corrected_once(online: Bench) -> None:
    online.link.show(Scene.RECORDING, online.now_s)
    online.link.show(Scene.THANKS, online.now_s)
    assert online.scenes()[-1] == (Scene.THANKS, 3)
    online.says(PanelAck(), 3)
    online.says(PanelAck(), 3)
    assert online.scenes() == []
    online.says(PanelAck(), 2)
    assert online.scenes() == [(Scene.THANKS, 4)]
    online.says(PanelAck(), 4)
    assert online.scenes() == []
