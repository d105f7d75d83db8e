"""The panel's side of the link: what the protocol demands of every firmware, rule by rule."""

from firmware_bridge.frame import Frame, FrameDecoder, encode
from firmware_bridge.messages import (
    FROM_PANEL,
    NO_SESSION,
    Button,
    ButtonEdge,
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
from firmware_bridge.panel_link import (
    HostChanged,
    LevelShown,
    PanelDescription,
    PanelHappening,
    PanelLink,
    PressAnswered,
    SceneShown,
)
from firmware_bridge.timing import EVENT_LIFETIME_S, HEARTBEAT_S, LOST_S, OUTBOX_EVENTS, REPEAT_S
from firmware_bridge.wire import Message


class Bench:
    """A panel whose host is the test."""

    def __init__(self, held: frozenset[Button] = frozenset()) -> None:
        self.now_s = 10.0
        self.panel = PanelLink(PanelDescription(), self.now_s, held)
        self.decoder = FrameDecoder()

    def says(self, message: Message, sequence: int = 0) -> list[PanelHappening]:
        return self.panel.feed(encode(to_frame(message, sequence)), self.now_s)

    def later(self, seconds: float) -> list[PanelHappening]:
        self.now_s += seconds
        return self.panel.tick(self.now_s)

    def heard(self) -> list[tuple[Message, int]]:
        self.panel.tick(self.now_s)
        frames = self.decoder.feed(self.panel.take_output())
        return [(from_frame(frame, FROM_PANEL), frame.sequence) for frame in frames]

    def edges(self) -> list[tuple[Button, bool, int]]:
        return [(item.button, item.pressed, number) for item, number in self.heard() if isinstance(item, ButtonEdge)]

    def missed(self) -> int:
        self.says(Hello(1, self.panel.session or 77))
        return next(item for item, _ in reversed(self.heard()) if isinstance(item, Identity)).missed_presses


def with_host() -> Bench:
    bench = Bench()
    bench.says(Hello(1, 7))
    bench.says(SceneCommand(Scene.IDLE), 1)
    bench.heard()
    return bench


def test_a_panel_starts_out_of_service_and_says_at_once_that_it_has_no_host() -> None:
    bench = Bench()
    assert bench.panel.scene is Scene.OUT_OF_SERVICE
    assert bench.heard() == [(PanelHeartbeat(NO_SESSION, 0, frozenset()), 0)]
    bench.later(HEARTBEAT_S)
    assert bench.heard() == [(PanelHeartbeat(NO_SESSION, 500, frozenset()), 0)]


def test_without_a_session_only_a_question_is_answered() -> None:
    bench = Bench()
    bench.heard()
    for message in (SceneCommand(Scene.IDLE), Level(9), HostHeartbeat(7), HostAck()):
        assert bench.says(message, 1) == []
    assert bench.heard() == []
    assert bench.panel.scene is Scene.OUT_OF_SERVICE


def test_the_same_question_again_is_answered_and_changes_nothing() -> None:
    bench = with_host()
    bench.panel.press(Button.RECORD, bench.now_s)
    assert bench.says(Hello(1, 7)) == []
    assert bench.panel.scene is Scene.IDLE
    assert bench.edges() == [(Button.RECORD, True, 1)]


def test_a_new_session_drops_what_the_old_one_had_not_heard() -> None:
    bench = with_host()
    bench.panel.press(Button.RECORD, bench.now_s)
    assert HostChanged(online=True) in bench.says(Hello(1, 8))
    assert bench.panel.scene is Scene.OUT_OF_SERVICE
    bench.heard()
    bench.later(REPEAT_S)
    assert bench.edges() == []
    assert bench.missed() == 1


def test_a_host_of_another_protocol_version_gets_an_answer_and_no_session() -> None:
    bench = Bench()
    bench.heard()
    bench.says(Hello(2, 7))
    ((answer, _),) = bench.heard()
    assert isinstance(answer, Identity)
    assert (answer.protocol, answer.session) == (1, 7)
    assert bench.panel.session == NO_SESSION


def test_a_scene_is_shown_once_and_acknowledged_every_time() -> None:
    bench = with_host()
    assert bench.says(SceneCommand(Scene.THANKS), 5) == [SceneShown(Scene.THANKS)]
    assert bench.says(SceneCommand(Scene.THANKS), 5) == []
    assert bench.heard() == [(PanelAck(), 5), (PanelAck(), 5)]


def test_an_unknown_scene_is_acknowledged_and_neither_invites_nor_claims_to_record() -> None:
    bench = with_host()
    bench.says(SceneCommand(Scene.RECORDING), 2)
    bench.heard()
    bench.panel.feed(encode(Frame(SceneCommand.TYPE, 3, b"\x63")), bench.now_s)
    assert bench.heard() == [(PanelAck(), 3)]
    assert bench.panel.scene is Scene.OUT_OF_SERVICE


def test_a_panel_without_heartbeats_of_its_host_goes_out_of_service_and_says_so() -> None:
    bench = with_host()
    bench.later(LOST_S - 0.1)
    assert bench.says(HostHeartbeat(7)) == []
    assert bench.later(LOST_S - 0.1) == []
    assert bench.later(0.1) == [SceneShown(Scene.OUT_OF_SERVICE), HostChanged(online=False)]
    bench.later(HEARTBEAT_S)
    assert isinstance(bench.heard()[-1][0], PanelHeartbeat)
    assert bench.panel.session == NO_SESSION


def test_the_heartbeat_of_another_session_does_not_keep_a_panel_in_service() -> None:
    bench = with_host()
    for _ in range(7):
        bench.later(HEARTBEAT_S)
        bench.says(HostHeartbeat(8))
    assert bench.panel.scene is Scene.OUT_OF_SERVICE


def test_events_go_one_at_a_time_and_are_repeated_until_acknowledged() -> None:
    bench = with_host()
    bench.panel.press(Button.RECORD, bench.now_s)
    bench.panel.release(Button.RECORD, bench.now_s)
    assert bench.edges() == [(Button.RECORD, True, 1)]
    bench.later(REPEAT_S)
    assert bench.edges() == [(Button.RECORD, True, 1)]
    bench.says(HostAck(), 9)
    assert bench.edges() == []
    bench.says(HostAck(), 1)
    assert bench.edges() == [(Button.RECORD, False, 2)]
    bench.says(HostAck(), 1)
    bench.says(HostAck(), 2)
    bench.later(REPEAT_S)
    assert bench.edges() == []


def test_a_press_without_a_host_is_counted_and_never_sent() -> None:
    bench = Bench()
    bench.panel.press(Button.RECORD, bench.now_s)
    bench.panel.release(Button.RECORD, bench.now_s)
    assert bench.missed() == 1
    bench.later(1.0)
    assert bench.edges() == []


def test_a_press_that_cannot_be_delivered_in_time_is_dropped_and_counted() -> None:
    bench = with_host()
    bench.panel.press(Button.RECORD, bench.now_s)
    assert bench.edges() == [(Button.RECORD, True, 1)]
    bench.later(EVENT_LIFETIME_S)
    bench.says(HostHeartbeat(7))
    bench.heard()
    bench.later(REPEAT_S)
    assert bench.edges() == []
    assert bench.missed() == 1
    bench.panel.release(Button.RECORD, bench.now_s)
    assert bench.edges() == [(Button.RECORD, False, 2)]


def test_a_full_outbox_drops_further_presses_and_counts_them() -> None:
    bench = with_host()
    for _ in range(OUTBOX_EVENTS // 2 + 3):
        bench.panel.press(Button.RECORD, bench.now_s)
        bench.panel.release(Button.RECORD, bench.now_s)
    delivered = []
    for number in range(1, OUTBOX_EVENTS + 5):
        delivered += bench.edges()
        bench.says(HostAck(), number)
    assert delivered == [(Button.RECORD, number % 2 == 1, number) for number in range(1, OUTBOX_EVENTS + 1)]
    assert bench.missed() == 3


def test_a_button_that_is_down_at_the_start_is_listed_and_makes_no_event() -> None:
    bench = Bench(held=frozenset({Button.CANCEL}))
    bench.says(Hello(1, 7))
    answers = bench.heard()
    assert [item.held for item, _ in answers if isinstance(item, Identity)] == [frozenset({Button.CANCEL})]
    assert not [item for item, _ in answers if isinstance(item, ButtonEdge)]


def test_levels_are_shown_as_they_come() -> None:
    bench = with_host()
    assert bench.says(Level(80)) == [LevelShown(80)]


def test_a_press_is_answered_once_in_the_scene_that_is_shown() -> None:
    bench = with_host()
    answer = [PressAnswered(Scene.IDLE)]
    assert bench.says(SceneCommand(Scene.IDLE, 1), 2) == answer
    assert bench.says(SceneCommand(Scene.IDLE, 1), 2) == []
    assert bench.says(SceneCommand(Scene.IDLE, 2), 3) == answer
    assert bench.says(SceneCommand(Scene.IDLE, 0), 4) == []
    assert bench.says(SceneCommand(Scene.IDLE, 2), 5) == answer


def test_another_scene_is_answer_enough() -> None:
    bench = with_host()
    assert bench.says(SceneCommand(Scene.SORRY, 7), 2) == [SceneShown(Scene.SORRY)]
    assert bench.says(SceneCommand(Scene.SORRY, 7), 2) == []
