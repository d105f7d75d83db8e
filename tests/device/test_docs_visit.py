"""The page about the visit is what the code does."""

import re
import typing
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from device.settings import VisitSettings
from device.visit import table
from device.visit.effects import Why
from device.visit.limits import Limits
from device.visit.states import Phase, name_of
from device.visit.transitions import PHASES, transitions
from firmware_bridge import Scene

PAGE = table.PAGE.read_text(encoding="utf-8")


def test_the_page_and_the_drawing_are_up_to_date() -> None:
    assert table.main(["--check"]) == 0


def test_a_page_that_is_out_of_date_is_found_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, drawing = tmp_path / "visit.md", tmp_path / "visit.svg"
    page.write_text(PAGE.replace("a recording begins", "nothing happens"), encoding="utf-8")
    monkeypatch.setattr(table, "PAGE", page)
    monkeypatch.setattr(table, "DRAWING", drawing)
    assert table.main(["--check"]) == 1
    assert "visit.md is out of date: run `python -m device.visit.table`" in capsys.readouterr().err
    assert table.main([]) == 0
    assert table.main(["--check"]) == 0
    assert page.read_text(encoding="utf-8") == PAGE
    assert drawing.read_text(encoding="utf-8") == table.DRAWING.read_text(encoding="utf-8")


def test_a_page_without_its_marks_is_named() -> None:
    with pytest.raises(ValueError, match="no section 'limits'"):
        table.written("# The visit\n")


def test_every_phase_has_its_table_and_every_way_out_is_in_it() -> None:
    assert set(PHASES) == {name_of(phase) for phase in typing.get_args(Phase)}
    ways = {(one.phase, one.outcome.then) for one in transitions()}
    for phase in ("idle", "recording", "finishing", "thanks", "notice", "closed", "out_of_service"):
        assert {to for of, to in ways if of == phase and to != phase}, f"no way out of {phase}"
    assert ("finishing", "thanks") in ways
    assert ("idle", "thanks") not in ways


def test_every_press_of_record_or_cancel_is_in_the_table_of_every_phase_with_its_answer() -> None:
    answered = {
        (one.phase, button)
        for one in transitions()
        for button in ("record", "cancel")
        if one.happening.startswith(f"*{button}* is pressed")
        and (one.outcome.shown is not None or one.outcome.why is not None)
    }
    assert answered == {(phase, button) for phase in PHASES for button in ("record", "cancel")}


def test_every_scene_of_a_visit_is_shown_somewhere() -> None:
    shown = {one.outcome.shown for one in transitions()} - {None}
    assert shown == set(Scene) - {Scene.OFFLINE, Scene.IDENTIFY}


def test_the_reasons_and_limits_that_the_page_names_are_those_of_the_code() -> None:
    (reasons,) = re.findall(r"`reason`: (.*) \|", PAGE)
    assert set(re.findall(r"`(\w+)`", reasons)) == {why.value for why in Why}
    for name in re.findall(r"`(\w+_s)`", PAGE.split("<!-- limits -->")[0]):
        assert hasattr(Limits(), name), name
    for name in re.findall(r"`visit\.(\w+)`", PAGE):
        assert getattr(VisitSettings(), name) == getattr(Limits(), name)
        assert getattr(msgspec.convert({name: 33.0}, VisitSettings).limits(), name) == 33.0


def test_the_drawing_is_a_picture_as_wide_as_a_phone_whose_text_stays_within_it() -> None:
    root = ET.fromstring(table.DRAWING.read_text(encoding="utf-8"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width <= 380
    texts = [node for node in root.iter() if node.tag.endswith("}text")]
    assert len(texts) > 40
    for node in texts:
        assert float(node.attrib["x"]) + 6.5 * len(node.text or "") < width, node.text
        assert float(node.attrib["y"]) < height
