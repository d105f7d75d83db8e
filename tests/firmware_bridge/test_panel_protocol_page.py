"""The page from which others write firmware says what the code does."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cobs import cobs

from firmware_bridge import messages, timing
from firmware_bridge.frame import MAX_BODY, MAX_ENCODED, MAX_PAYLOAD, FrameDecoder, crc16, encode
from firmware_bridge.messages import FROM_HOST, FROM_PANEL, PROTOCOL_VERSION, Button, Scene, from_frame, to_frame
from firmware_bridge.panel_link import PanelDescription, PanelLink
from firmware_bridge.wire import Message, layout

PAGE = (Path(__file__).parents[2] / "docs" / "panel-protocol.md").read_text(encoding="utf-8")
MESSAGES = {**FROM_HOST, **FROM_PANEL}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below `heading`, without its head, and without backquotes."""
    section = PAGE.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def examples() -> list[tuple[Message, int, bytes, bytes]]:
    names: dict[str, Any] = {**vars(messages), "frozenset": frozenset, "__builtins__": {}}
    found = []
    for text, body, wire in rows("### Worked examples"):
        source, number = text.rsplit("`, sequence ", 1)
        found.append((eval(source, names), int(number), bytes.fromhex(body), bytes.fromhex(wire)))
    return found


def test_every_worked_example_is_what_the_code_sends_and_reads() -> None:
    seen = set()
    for message, sequence, body, wire in examples():
        assert encode(to_frame(message, sequence)) == wire
        assert cobs.decode(wire[1:-1]) == body
        (frame,) = FrameDecoder().feed(wire)
        assert (from_frame(frame, MESSAGES), frame.sequence) == (message, sequence)
        seen.add(type(message))
    assert seen == set(MESSAGES.values())


def test_the_example_exchange_is_one_that_a_panel_takes_part_in() -> None:
    panel = PanelLink(PanelDescription(serial_number="KP-0001", firmware=(1, 2, 3), leds=3), 0.0)
    said, now_s = b"", 1.4
    for sender, wire, told in rows("### An example exchange"):
        (frame,) = FrameDecoder().feed(bytes.fromhex(wire))
        message = from_frame(frame, FROM_HOST if sender == "host" else FROM_PANEL)
        assert told.startswith(f"{type(message).__name__}` {frame.sequence}: ")
        if sender == "host":
            panel.feed(bytes.fromhex(wire), now_s)
            continue
        if isinstance(message, messages.ButtonEdge):
            now_s = message.uptime_ms / 1000
            (panel.press if message.pressed else panel.release)(message.button, now_s)
            panel.tick(now_s)
        said += panel.take_output()
        # The page leaves out the heartbeats, and nothing else.
        _, found, said = said.partition(bytes.fromhex(wire))
        assert found, told


def test_the_version_the_limits_and_the_crc_are_those_of_the_code() -> None:
    assert f"Protocol version: **{PROTOCOL_VERSION}**" in PAGE
    assert f"payload (0 to {MAX_PAYLOAD})" in PAGE
    assert f"A body is at most {MAX_BODY} bytes long" in PAGE
    assert f"is at most {MAX_ENCODED} bytes between its two zeros" in PAGE
    assert f"**0x{crc16(b'123456789'):04X}**" in PAGE
    residue = crc16(cobs.decode(encode(to_frame(messages.HostAck(), 3))[1:-1]))
    assert f"gets 0x{residue:04X} where the body is right" in PAGE


def test_the_times_and_limits_are_those_of_the_code() -> None:
    listed = {name: float(value) for name, value, _ in rows("## Times and limits")}
    assert listed == {name: value for name, value in vars(timing).items() if name.isupper()}


def test_the_types_are_those_of_the_code() -> None:
    listed = [(int(number, 16), name, direction) for number, name, direction, *_ in rows("## Messages")]
    assert listed == [
        (kind.TYPE, kind.__name__, "host to panel" if kind.TYPE in FROM_HOST else "panel to host")
        for kind in MESSAGES.values()
    ]


@pytest.mark.parametrize("kind", MESSAGES.values())
def test_the_payload_of_each_message_is_that_of_the_code(kind: type[Message]) -> None:
    listed = [(int(at), int(size), name) for at, size, name, _ in rows(f"### `{kind.__name__}` (0x{kind.TYPE:02x})")]
    offset, expected = 0, []
    for name, wire in layout(kind):
        expected.append((offset, wire.size, name))
        offset += wire.size
    assert listed == expected


@pytest.mark.parametrize(("heading", "kind"), [("### Buttons", Button), ("### Scenes", Scene)])
def test_the_buttons_and_scenes_are_those_of_the_code(heading: str, kind: type[Button | Scene]) -> None:
    listed = [(int(number), name) for number, name, *_ in rows(heading)]
    assert listed == [(member.value, member.name.lower()) for member in kind]


HARNESS = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char **words)
{
    for (int i = 1; i < count; i++) {
        uint8_t body[68], frame[71], length = 0, used;
        uint16_t crc = 0xFFFF;
        for (const char *at = words[i]; *at; at += 2) {
            char pair[3] = {at[0], at[1], 0};
            body[length++] = (uint8_t)strtoul(pair, NULL, 16);
        }
        for (uint8_t k = 0; k < length; k++)
            crc = crc16(crc, body[k]);
        used = frame_from_body(body, length, frame);
        printf("%04x ", crc);
        for (uint8_t k = 0; k < used; k++)
            printf("%02x", frame[k]);
        used = body_from_frame(frame + 1, (uint8_t)(used - 2));
        printf(" %d\\n", used == length && memcmp(frame + 1, body, length) == 0);
    }
    return 0;
}
"""


@pytest.mark.servers
def test_the_pages_c_code_compiles_without_warnings_and_makes_the_same_bytes(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    assert compiler is not None, "a C compiler is needed to check the page's code: install gcc"
    (code,) = re.findall(r"```c\n(.*?)```", PAGE, re.DOTALL)
    source, program = tmp_path / "page.c", tmp_path / "page"
    source.write_text(code + HARNESS)
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-fsanitize=address,undefined"]
    subprocess.run([compiler, *options, "-o", program, source], check=True)
    bodies = [body for _, _, body, _ in examples()] + [bytes(68), bytes(range(1, 69)), b"\x00\x01\x00\x01"]
    output = subprocess.run([program, *(body.hex() for body in bodies)], check=True, capture_output=True, text=True)
    assert output.stdout.splitlines() == [f"{crc16(body):04x} 00{cobs.encode(body).hex()}00 1" for body in bodies]
