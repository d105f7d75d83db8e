"""The firmware's core: its frames, its looks, its size, and what no damaged frame can do to it; and the wiring page."""

import itertools
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cobs import cobs

from firmware_bridge import Scene
from firmware_bridge.messages import Button
from tests.firmware_bridge.firmware_bench import BUILD, ROOT, SOURCES, build

pytestmark = pytest.mark.servers

PROTOCOL_PAGE = (ROOT / "docs" / "panel-protocol.md").read_text(encoding="utf-8")
WIRING_PAGE = (ROOT / "docs" / "panel-wiring.md").read_text(encoding="utf-8")
RING, GREEN, RED = 1, 2, 4
FUZZ_FRAMES = 20_000


def table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below `heading`, without its head, and without backquotes."""
    section = page.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def ask(*questions: str) -> list[str]:
    """Return the core's answers."""
    answers = subprocess.run(
        [build() / "probe"], input="\n".join(questions) + "\n", stdout=subprocess.PIPE, text=True, check=True
    )
    return [line.strip() for line in answers.stdout.splitlines()]


def look(scene: Scene) -> list[tuple[int, int, int]]:
    """What the scene shows: lights, lamps of the bar and tone, in each fortieth of a second of its first two."""
    (answer,) = ask(f"look {scene.value}")
    samples = [sample.split(".") for sample in answer.split()]
    return [(int(lights), int(lamps), int(hertz)) for lights, lamps, hertz in samples]


def worked_examples() -> list[tuple[bytes, bytes]]:
    rows = table(PROTOCOL_PAGE, "### Worked examples")
    assert len(rows) >= 10
    return [(bytes.fromhex(body), bytes.fromhex(wire)) for _, body, wire in rows]


def test_the_crc_has_the_check_value_of_the_page() -> None:
    assert ask(f"crc {b'123456789'.hex()}") == ["29b1"]
    assert "**0x29B1**" in PROTOCOL_PAGE


def test_the_worked_frames_of_the_page_are_what_the_core_makes_and_reads() -> None:
    examples = worked_examples()
    made = ask(*(f"encode {body[0]} {body[1]} {body[2:-2].hex() or '-'}" for body, _ in examples))
    assert made == [wire.hex() for _, wire in examples]
    read = ask(*(f"decode {wire.hex()}" for _, wire in examples))
    assert read == [f"{body[0]} {body[1]} {body[2:-2].hex()};" for body, _ in examples]


def test_a_frame_of_any_length_survives_the_line_and_a_longer_one_is_dropped() -> None:
    payloads = [bytes(range(length)) for length in range(65)] + [b"\0" * 64, b"\xff" * 64]
    wires = ask(*(f"encode 3 7 {payload.hex() or '-'}" for payload in payloads))
    assert ask(*(f"decode {wire}" for wire in wires)) == [f"3 7 {payload.hex()};" for payload in payloads]
    assert ask(f"encode 3 7 {bytes(65).hex()}") == [""]
    overlong = b"\0" + cobs.encode(b"\x03\x07" + b"\x01" * 80) + b"\0"
    assert ask(f"decode {overlong.hex()}{wires[5]}") == [f"3 7 {payloads[5].hex()};"]


def test_a_single_wrong_bit_is_always_found() -> None:
    _, wire = worked_examples()[1]
    damaged = [
        wire[:at] + bytes([wire[at] ^ 1 << bit]) + wire[at + 1 :] for at in range(1, len(wire) - 1) for bit in range(8)
    ]
    assert set(ask(*(f"decode {one.hex()}" for one in damaged))) == {""}


def test_no_two_scenes_look_alike_even_to_an_eye_without_colours() -> None:
    def without_colours(scene: Scene) -> tuple[tuple[bool, bool, int], ...]:
        return tuple((bool(lights & RING), bool(lights & (GREEN | RED)), lamps) for lights, lamps, _ in look(scene))

    looks = {scene: without_colours(scene) for scene in Scene}
    alike = [(one.name, other.name) for one, other in itertools.combinations(Scene, 2) if looks[one] == looks[other]]
    assert alike == []
    assert all(len(samples) == 80 for samples in looks.values())


def test_only_scenes_that_invite_or_record_light_the_record_button() -> None:
    ring = {scene for scene in Scene if any(lights & RING for lights, _, _ in look(scene))}
    assert ring == {Scene.IDLE, Scene.OFFLINE, Scene.RECORDING, Scene.IDENTIFY}


def test_the_end_of_a_visit_is_told_by_sound_as_well_and_recording_is_silent() -> None:
    def notes(scene: Scene) -> list[int]:
        return [hertz for hertz, _ in itertools.groupby(hertz for _, _, hertz in look(scene)) if hertz]

    assert notes(Scene.THANKS) == sorted(notes(Scene.THANKS))
    assert notes(Scene.SORRY) == sorted(notes(Scene.SORRY), reverse=True)
    assert len(notes(Scene.THANKS)) == len(notes(Scene.SORRY)) == 4
    assert notes(Scene.RECORDING) == []
    ends = (Scene.THANKS, Scene.SORRY, Scene.DISCARDED, Scene.NOTHING_HEARD)
    assert len({tuple(notes(scene)) for scene in ends}) == len(ends)


def test_an_unknown_scene_looks_out_of_service() -> None:
    assert ask("look 200") == ask("look 0")


@pytest.mark.parametrize("seed", [1, 2])
def test_no_stream_of_damaged_frames_makes_the_core_deaf(seed: int) -> None:
    run = subprocess.run([build() / "fuzz", str(FUZZ_FRAMES), str(seed)], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith(f"{FUZZ_FRAMES} frames, ")


def sections(limit_flash: int, limit_ram: int) -> subprocess.CompletedProcess[str]:
    sizes = subprocess.run(["avr-size", "-A", build() / "panel.elf"], capture_output=True, text=True, check=True)
    script: list[str | Path] = [
        "-v",
        f"max_flash={limit_flash}",
        "-v",
        f"max_ram={limit_ram}",
        "-f",
        SOURCES / "size_check.awk",
    ]
    return subprocess.run(["awk", *script], check=False, input=sizes.stdout, capture_output=True, text=True)


def test_the_program_fits_and_one_that_does_not_is_refused() -> None:
    fits = sections(8192, 1024)
    assert fits.returncode == 0
    found = re.fullmatch(r"flash (\d+) of 8192 bytes, static RAM (\d+) of 1024 bytes\n", fits.stdout)
    assert found is not None
    flash, ram = map(int, found.groups())
    assert sections(flash, ram).returncode == 0
    for limits in ((flash - 1, ram), (flash, ram - 1)):
        refused = sections(*limits)
        assert refused.returncode == 1
        assert "too large" in refused.stderr


def test_the_program_takes_no_memory_at_run_time() -> None:
    symbols = subprocess.run(["avr-nm", build() / "panel.elf"], capture_output=True, text=True, check=True).stdout
    assert " main" in symbols
    assert not re.search(r" (malloc|calloc|realloc|free)$", symbols, re.MULTILINE)


@pytest.mark.parametrize("serial_number", ["", "KP-00000000000001", 'KP"1', "KP 1"])
def test_a_serial_number_that_cannot_be_sent_is_refused(serial_number: str, tmp_path: Path) -> None:
    made = subprocess.run(
        ["make", "-C", SOURCES, f"BUILD={tmp_path}", f"SERIAL_NUMBER={serial_number}", "avr"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode != 0
    assert "1 to 16 letters" in made.stderr
    assert not (tmp_path / "panel.elf").exists()


def test_building_leaves_nothing_among_the_sources() -> None:
    build()
    assert {path.suffix for path in SOURCES.iterdir()} <= {".c", ".h", ".awk", ""}
    assert (BUILD / "panel.hex").exists()


def test_the_pins_of_the_wiring_page_are_those_of_the_firmware() -> None:
    code = (SOURCES / "hal_avr.c").read_text(encoding="utf-8")
    defined = dict(re.findall(r"^#define PIN_(\w+) (P[BCD]\d)$", code, re.MULTILINE))
    parts = {f"{button.name.lower()} button": button.name for button in Button}
    parts |= {"ring light": "RING", "status light, green": "GREEN", "status light, red": "RED", "piezo sounder": "TONE"}
    parts |= {f"level bar, lamp {lamp}": f"BAR_{lamp}" for lamp in range(1, 7)}
    rows = table(WIRING_PAGE, "## Pins")
    wired = {parts[part.removesuffix(" (lowest)")]: chip for chip, _, part, _ in rows}
    assert wired == defined
    picture = (ROOT / "docs" / "panel-wiring.svg").read_text(encoding="utf-8")
    for chip, board, _, _ in rows:
        kind, number = chip[1], int(chip[2])
        assert board == {"B": f"D{number + 8}", "C": f"A{number}", "D": f"D{number}"}[kind]
        assert f"{board} ({chip})" in picture


def test_the_wiring_page_tells_of_each_scene_and_flashes_what_the_build_makes() -> None:
    assert [name for name, *_ in table(WIRING_PAGE, "## What it shows")] == [scene.name.lower() for scene in Scene]
    flashed = re.findall(r"flash:w:(\S+):i", WIRING_PAGE)
    assert flashed
    assert {ROOT / path for path in flashed} == {build() / "panel.hex"}


def test_the_picture_names_every_pin_of_the_table() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "panel-wiring.svg").getroot()
    words = " ".join(picture.itertext())
    rows = re.findall(r"^\| (P[BCD]\d) \| ([AD]\d+) \|", WIRING_PAGE, re.MULTILINE)
    assert len(rows) == 14
    assert [f"{board} ({chip})" in words for chip, board in rows] == [True] * len(rows)


@pytest.mark.parametrize("scene", Scene)
def test_a_press_that_changes_nothing_is_answered_by_light_and_sound_in_every_scene(scene: Scene) -> None:
    (printed,) = ask(f"answered {scene.value}")
    samples = [tuple(int(part) for part in sample.split(".")) for sample in printed.split()]
    # Four seconds after its beginning a scene is where it was at first, without its notes.
    plain = [(lights, lamps) for lights, lamps, _ in look(scene)]
    answered = [(lights, lamps) for lights, lamps, _ in samples]
    differs = [one != other for one, other in zip(answered, plain, strict=True)]
    assert [is_other for is_other, _ in itertools.groupby(differs)] == [True, False, True, False]
    notes = [hertz for hertz, _ in itertools.groupby(hertz for _, _, hertz in samples)]
    assert notes == ([0] if scene is Scene.RECORDING else [260, 0, 260, 0])
    assert not any((one ^ other) & RING for (one, _), (other, _) in zip(answered, plain, strict=True))
