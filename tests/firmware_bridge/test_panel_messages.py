"""Messages: fields to payload and back, and what happens to payloads that no version of ours would send."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.frame import MAX_PAYLOAD, Frame
from firmware_bridge.messages import (
    FROM_HOST,
    FROM_PANEL,
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
    UnknownTypeError,
    from_frame,
    to_frame,
)
from firmware_bridge.wire import Message, MessageError, layout

U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
BUTTONS = st.frozensets(st.sampled_from(Button))
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, U8, U32),
    st.builds(HostHeartbeat, U32),
    st.builds(SceneCommand, st.sampled_from(Scene), U8),
    st.builds(Level, U8),
    st.just(HostAck()),
    st.builds(Identity, U8, U32, st.tuples(U8, U8, U8), BUTTONS, BUTTONS, U16, U8, st.sampled_from(Display), PRINTABLE),
    st.builds(PanelHeartbeat, U32, U32, BUTTONS),
    st.builds(ButtonEdge, st.sampled_from(Button), st.booleans(), U32),
    st.just(PanelAck()),
)
ALL = {**FROM_HOST, **FROM_PANEL}


@settings(max_examples=200)
@given(MESSAGES, U8, st.binary(max_size=10))
def test_a_message_comes_back_also_with_bytes_of_a_later_version_behind_it(
    message: Message, sequence: int, more: bytes
) -> None:
    frame = to_frame(message, sequence)
    assert frame.sequence == sequence
    assert from_frame(frame, ALL) == message
    whole = frame.payload.ljust(sum(wire.size for _, wire in layout(type(message))), b"\0")
    assert from_frame(Frame(frame.type, sequence, whole + more), ALL) == message


@given(MESSAGES.filter(lambda message: not isinstance(message, SceneCommand)))
def test_a_shortened_payload_is_an_error_that_names_the_missing_field(message: Message) -> None:
    payload = message.to_payload()
    if payload:
        with pytest.raises(MessageError, match=fields(message)[-1].name):
            type(message).from_payload(payload[:-1])


def test_a_scene_that_answers_nothing_is_what_an_older_panel_knows() -> None:
    assert SceneCommand(Scene.THANKS).to_payload() == b"\x04"
    assert SceneCommand(Scene.THANKS, answers=3).to_payload() == b"\x04\x03"


def test_a_scene_of_an_older_host_answers_no_press_and_one_without_a_scene_is_an_error() -> None:
    assert SceneCommand.from_payload(b"\x04") == SceneCommand(Scene.THANKS, answers=0)
    with pytest.raises(MessageError, match="scene"):
        SceneCommand.from_payload(b"")


@given(st.integers(0, 255), st.binary(max_size=MAX_PAYLOAD))
def test_any_payload_is_a_message_or_a_message_error(kind: int, payload: bytes) -> None:
    for known in (FROM_HOST, FROM_PANEL):
        try:
            message = from_frame(Frame(kind, 0, payload), known)
        except MessageError:
            continue
        assert kind == message.TYPE


def test_a_side_does_not_know_the_messages_that_it_sends_itself() -> None:
    assert not FROM_HOST.keys() & FROM_PANEL.keys()
    assert all(kind & 0x80 for kind in FROM_PANEL)
    assert not any(kind & 0x80 for kind in FROM_HOST)
    with pytest.raises(UnknownTypeError, match="0x01"):
        from_frame(to_frame(Hello(1, 2)), FROM_PANEL)


@pytest.mark.parametrize("kind", ALL.values())
def test_every_message_fits_into_a_frame(kind: type[Message]) -> None:
    assert sum(wire.size for _, wire in layout(kind)) <= MAX_PAYLOAD


def identity(**changes: Any) -> Identity:
    values: dict[str, Any] = {
        "protocol": 1,
        "session": 5,
        "firmware": (1, 2, 3),
        "buttons": frozenset(Button),
        "held": frozenset(),
        "missed_presses": 0,
        "leds": 3,
        "display": Display.NONE,
        "serial_number": "KP-1",
    }
    return Identity(**{**values, **changes})


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (identity(serial_number="x" * 17), "Identity.serial_number: .* 16 printable"),
        (identity(serial_number="naïve"), "Identity.serial_number"),
        (identity(missed_presses=70000), "Identity.missed_presses"),
        (identity(firmware=(1, 2, 300)), "Identity.firmware"),
        (Level(256), "Level.level"),
        (Hello(1, -1), "Hello.session"),
    ],
)
def test_a_value_that_its_field_cannot_carry_is_refused_by_name(message: Message, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        message.to_payload()


def test_a_serial_number_from_the_line_can_not_forge_a_log_line() -> None:
    payload = bytearray(identity(serial_number="A" * 16).to_payload())
    payload[-16:] = b"A\n\x1b[2J\xff\x00hidden  "
    assert Identity.from_payload(bytes(payload)).serial_number == "A??[2J?"


def test_what_a_later_panel_may_have_more_does_not_make_its_identity_unreadable() -> None:
    payload = bytearray(identity().to_payload())
    payload[8:10] = b"\xff\xff"
    payload[15] = 77
    read = Identity.from_payload(bytes(payload))
    assert read.buttons == frozenset(Button)
    assert read.display is Display.OTHER


def test_an_unknown_scene_or_button_is_an_error() -> None:
    with pytest.raises(MessageError, match=r"SceneCommand\.scene"):
        SceneCommand.from_payload(b"\xfe")
    with pytest.raises(MessageError, match=r"ButtonEdge\.button"):
        ButtonEdge.from_payload(b"\x63\x01\x00\x00\x00\x00")
