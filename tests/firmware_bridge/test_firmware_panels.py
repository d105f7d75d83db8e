"""One behaviour, three panels: the virtual one, the firmware's core on this machine, and the AVR program emulated."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import (
    Button,
    ButtonPressed,
    ButtonReleased,
    PanelBridge,
    PanelOffline,
    PanelOnline,
    Scene,
)
from firmware_bridge.messages import ButtonEdge, HostAck, PanelAck, SceneCommand
from tests.firmware_bridge.firmware_bench import Inbox, Line, Panel, PlainHost, running

pytestmark = pytest.mark.servers

NAMES = {button: button.name.lower() for button in Button}
EDGES = [event for button in Button for event in (ButtonPressed(button), ButtonReleased(button))]
BAR_LAMPS = 6

with_pins = pytest.mark.parametrize("kind", ["host", "avr"])


@pytest.fixture(params=["virtual", "host", "avr"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def panel(kind: str, tmp_path: Path) -> Iterator[Panel]:
    panel = Panel(kind, tmp_path / "panel")
    try:
        panel.wait_for(event="plugged")
        yield panel
    finally:
        panel.end()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def bridge(panel: Panel, inbox: Inbox) -> Iterator[PanelBridge]:
    """A bridge with a panel that is online and shows *idle*."""
    with running(panel.link, inbox) as bridge:
        bridge.show(Scene.IDLE)
        panel.wait_for(scene="idle")
        yield bridge


@pytest.fixture
def host(panel: Panel) -> Iterator[PlainHost]:
    host = PlainHost(panel.link)
    yield host
    host.close()


def press_and_release(panel: Panel, inbox: Inbox, button: Button, before: int = 0) -> None:
    panel.say(f"press {NAMES[button]}")
    inbox.wait_for(ButtonPressed, before + 1)
    panel.say(f"release {NAMES[button]}")
    inbox.wait_for(ButtonReleased, before + 1)


def shows(lines: list[Line], **wanted: object) -> bool:
    """Whether the lights are like that now."""
    lights = [line for line in lines if line["event"] == "lights"]
    return bool(lights) and wanted.items() <= lights[-1].items()


def passes(lines: list[Line], scene: Scene, phases: list[Line]) -> bool:
    """Whether the lights have gone through these phases, in this order, since the scene began."""
    begins = [at for at, line in enumerate(lines) if line.get("scene") == scene.name.lower()]
    if not begins:
        return False
    before = [line for line in lines[: begins[-1]] if line["event"] == "lights"][-1:]
    return in_order(before + lines[begins[-1] :], phases)


def in_order(lines: list[Line], phases: list[Line]) -> bool:
    """Whether the lights have gone through these phases, in this order."""
    lights = iter([line for line in lines if line["event"] == "lights"])
    return all(any(is_phase(line, phase) for line in lights) for phase in phases)


def is_phase(line: Line, phase: Line) -> bool:
    # A tone is made of whole ticks of a timer, so that its frequency is only nearly the wanted one.
    return all(abs(line[key] - value) < 20 if key == "tone_hz" else line[key] == value for key, value in phase.items())


def test_a_panel_says_who_it_is(bridge: PanelBridge, inbox: Inbox, kind: str) -> None:
    identity = inbox.wait_for(PanelOnline).identity
    assert identity.serial_number == ("VIRTUAL-1" if kind == "virtual" else "KP-0001")
    assert identity.buttons == frozenset(Button)
    assert identity.held == frozenset()
    assert identity.missed_presses == 0


def test_each_press_and_each_release_of_each_button_arrives_once(
    panel: Panel, bridge: PanelBridge, inbox: Inbox
) -> None:
    for count, button in enumerate(Button):
        press_and_release(panel, inbox, button, count)
    assert inbox.buttons() == EDGES


@with_pins
@pytest.mark.usefixtures("bridge")
def test_a_contact_that_bounces_makes_one_press(panel: Panel, inbox: Inbox) -> None:
    panel.say("bounce record")
    inbox.wait_for(ButtonPressed)
    panel.say("release record")
    inbox.wait_for(ButtonReleased)
    press_and_release(panel, inbox, Button.CANCEL, 1)
    assert inbox.buttons() == EDGES[:4]


def test_a_panel_that_is_plugged_in_again_shows_the_newest_scene(
    panel: Panel, bridge: PanelBridge, inbox: Inbox
) -> None:
    panel.say("unplug")
    inbox.wait_for(PanelOffline)
    bridge.show(Scene.OFFLINE)
    before = panel.mark()
    plugged_s = time.monotonic()
    panel.say("plug")
    panel.wait_for(before, scene="offline")
    assert time.monotonic() - plugged_s < 2.0
    press_and_release(panel, inbox, Button.RECORD)


def test_a_panel_that_restarts_is_noticed_and_shows_the_scene_again(
    panel: Panel, bridge: PanelBridge, inbox: Inbox
) -> None:
    before = panel.mark()
    panel.say("reboot")
    inbox.wait_for(PanelOffline)
    panel.wait_for(before, scene="idle")
    press_and_release(panel, inbox, Button.RECORD)
    assert inbox.buttons() == EDGES[:2]


def test_rubbish_in_both_directions_costs_no_press_and_makes_none(
    panel: Panel, host: PlainHost, bridge: PanelBridge, inbox: Inbox
) -> None:
    for count, button in enumerate(Button):
        panel.say("rubbish 300")
        os.write(host.fd, os.urandom(300))
        press_and_release(panel, inbox, button, count)
    assert inbox.buttons() == EDGES


def test_the_level_is_shown_while_recording(panel: Panel, bridge: PanelBridge, kind: str) -> None:
    bridge.show(Scene.RECORDING)
    panel.wait_for(scene="recording")
    bridge.level(255)
    if kind == "virtual":
        panel.wait_for(level=255)
        return
    panel.wait_for(event="lights", ring=True, bar=2**BAR_LAMPS - 1)
    panel.wait(lambda lines: shows(lines, ring=True, bar=0))
    before = panel.mark()
    bridge.level(128)
    panel.wait_for(before, event="lights", ring=True, bar=2**4 - 1)


@with_pins
def test_a_level_means_nothing_in_another_scene(panel: Panel, bridge: PanelBridge) -> None:
    before = panel.mark()
    bridge.level(255)
    bridge.show(Scene.THANKS)
    panel.wait_for(scene="thanks")
    assert all(line["bar"] == 0 for line in panel.lines[before:] if "bar" in line and not line["green"])


def press_unseen(panel: Panel, host: PlainHost, button: Button) -> None:
    """Press and release a button outside any session: a question of another version tells when, and begins none."""
    panel.say(f"press {NAMES[button]}")
    while button not in host.hello(session=1, protocol=99).held:
        pass
    panel.say(f"release {NAMES[button]}")
    while button in host.hello(session=1, protocol=99).held:
        pass


def test_a_panel_whose_host_falls_silent_is_out_of_service_and_counts_what_nobody_saw(
    panel: Panel, host: PlainHost, inbox: Inbox
) -> None:
    with running(panel.link, inbox) as bridge:
        bridge.show(Scene.IDLE)
        panel.wait_for(scene="idle")
    before = panel.mark()
    panel.wait_for(before, scene="out_of_service")
    press_unseen(panel, host, Button.RECORD)
    with running(panel.link, inbox) as bridge:
        bridge.show(Scene.CLOSED)
        panel.wait_for(before, scene="closed")
    assert inbox.wait_for(PanelOnline, 2).identity.missed_presses == 1
    assert inbox.buttons() == []


def test_presses_without_a_host_are_counted_and_never_come_late(panel: Panel, host: PlainHost, inbox: Inbox) -> None:
    host.hello(session=1, protocol=99)
    press_unseen(panel, host, Button.RECORD)
    press_unseen(panel, host, Button.REPLY)
    with running(panel.link, inbox):
        assert inbox.wait_for(PanelOnline).identity.missed_presses == 2
        press_and_release(panel, inbox, Button.RECORD)
    assert inbox.buttons() == EDGES[:2]


def test_without_a_session_no_button_event_is_sent(panel: Panel, host: PlainHost) -> None:
    host.hello(session=1, protocol=99)
    panel.say("press record")
    assert host.look_for(ButtonEdge, 0.2) is None
    assert host.hello(session=1, protocol=99).held == {Button.RECORD}


def test_a_button_that_is_down_when_a_session_begins_is_told_and_makes_no_press(
    panel: Panel, host: PlainHost, inbox: Inbox
) -> None:
    host.hello(session=1, protocol=99)
    panel.say("press language")
    while not host.hello(session=1, protocol=99).held:
        pass
    with running(panel.link, inbox):
        assert inbox.wait_for(PanelOnline).identity.held == {Button.LANGUAGE}
        panel.say("press record")
        inbox.wait_for(ButtonPressed)
    assert inbox.buttons() == [ButtonPressed(Button.RECORD)]


def test_a_press_that_is_not_acknowledged_is_repeated_under_its_number_and_given_up_after_two_seconds(
    panel: Panel, host: PlainHost
) -> None:
    host.hello(session=7)
    panel.say("press record")
    first, sequence = host.next(ButtonEdge)
    start_s = time.monotonic()
    copies = 0
    while (again := host.look_for(ButtonEdge, 0.5)) is not None:
        assert again == (first, sequence)
        copies += 1
        last_s = time.monotonic()
    assert copies >= 10
    assert 1.5 < last_s - start_s < 2.5
    assert host.hello(session=7).missed_presses == 1


def test_an_acknowledgement_of_another_number_is_passed_over(panel: Panel, host: PlainHost) -> None:
    host.hello(session=7)
    panel.say("press record")
    _, sequence = host.next(ButtonEdge)
    host.send(HostAck(), (sequence + 1) % 256)
    assert host.next(ButtonEdge)[1] == sequence
    host.send(HostAck(), sequence)
    panel.say("release record")
    while (edge := host.next(ButtonEdge))[1] == sequence:
        pass
    assert edge[1] == (sequence + 1) % 256
    assert not edge[0].pressed


def test_eight_events_are_kept_and_further_presses_are_counted(panel: Panel, host: PlainHost) -> None:
    host.hello(session=7)
    for verb, held in (("press", len(Button)), ("release", 0), ("press", len(Button))):
        panel.say(*(f"{verb} {name}" for name in NAMES.values()))
        while len(host.hello(session=7).held) != held:
            pass
    edges: list[tuple[Button, bool]] = []
    sequences: list[int] = []
    while len(edges) < 8:
        edge, sequence = host.next(ButtonEdge)
        host.send(HostAck(), sequence)
        if sequence not in sequences:
            sequences.append(sequence)
            edges.append((edge.button, edge.pressed))
    assert edges == [(button, pressed) for pressed in (True, False) for button in Button]
    assert host.hello(session=7).missed_presses == len(Button)


def test_a_scene_is_acknowledged_each_time_and_begins_once(panel: Panel, host: PlainHost) -> None:
    host.hello(session=7)
    for sequence in (5, 5, 6):
        host.send(SceneCommand(Scene.THANKS), sequence)
        assert host.next(PanelAck)[1] == sequence
    panel.wait_for(scene="thanks")
    host.send(SceneCommand(Scene.CLOSED), 7)
    panel.wait_for(scene="closed")
    assert [line["scene"] for line in panel.lines if line.get("scene") in ("thanks", "closed")] == ["thanks", "closed"]


def test_a_scene_that_it_does_not_know_is_acknowledged_and_shown_as_out_of_service(
    panel: Panel, host: PlainHost
) -> None:
    host.hello(session=7)
    host.send(SceneCommand(Scene.IDLE), 1)
    panel.wait_for(scene="idle")
    before = panel.mark()
    unknown = SceneCommand(Scene.IDLE)
    object.__setattr__(unknown, "scene", 200)
    host.send(unknown, 2)
    while host.next(PanelAck)[1] != 2:
        pass
    panel.wait_for(before, scene="out_of_service")


def test_without_a_session_it_obeys_and_acknowledges_nothing(panel: Panel, host: PlainHost) -> None:
    assert host.hello(session=7, protocol=2).session == 7
    host.send(SceneCommand(Scene.IDLE), 1)
    host.hello(session=7)
    host.send(SceneCommand(Scene.CLOSED), 2)
    assert host.next(PanelAck)[1] == 2
    assert not any(line.get("scene") == "idle" for line in panel.lines)


@with_pins
@pytest.mark.usefixtures("bridge")
def test_the_lights_at_the_pins_are_those_of_the_scene(panel: Panel, bridge: PanelBridge) -> None:
    dark = {"ring": False, "green": False, "red": False, "bar": 0}
    looks: dict[Scene, list[Line]] = {
        Scene.THANKS: [{"green": True, "bar": 63, "tone_hz": hertz} for hertz in (520, 660, 780, 1050, 0)],
        Scene.SORRY: [{"red": True}, {"red": False}],
        Scene.FINISHING: [{"bar": 2**lamp} for lamp in range(BAR_LAMPS)],
        Scene.OFFLINE: [{"ring": True, "green": True, "red": True}],
        Scene.CLOSED: [dark],
        Scene.IDENTIFY: [{"ring": True, "green": True, "red": True, "bar": 63}, dark],
    }
    for scene, phases in looks.items():
        bridge.show(scene)
        panel.wait(lambda lines, scene=scene, phases=phases: passes(lines, scene, phases))  # type: ignore[misc]


@with_pins
@pytest.mark.usefixtures("bridge")
def test_a_press_that_changes_nothing_is_answered_at_the_pins_also_twice(panel: Panel, bridge: PanelBridge) -> None:
    bridge.show(Scene.CLOSED)
    panel.wait_for(scene="closed")
    answer = [{"red": True, "tone_hz": 260}, {"red": False, "tone_hz": 0}] * 2
    for _ in range(2):
        before = panel.mark()
        bridge.answer()
        panel.wait(lambda lines, before=before: in_order(lines[before:], answer))  # type: ignore[misc]
    assert len([line for line in panel.lines if line.get("scene") == "closed"]) == 1


@pytest.mark.parametrize("kind", ["avr"])
@pytest.mark.usefixtures("bridge")
def test_a_firmware_that_hangs_is_restarted_by_its_watchdog(panel: Panel, inbox: Inbox) -> None:
    before = panel.mark()
    panel.say("hang")
    inbox.wait_for(PanelOffline)
    panel.wait_for(before, scene="idle")
    press_and_release(panel, inbox, Button.RECORD)


@pytest.mark.parametrize("kind", ["host"])
def test_a_command_that_it_does_not_know_does_no_harm(panel: Panel, bridge: PanelBridge, inbox: Inbox) -> None:
    panel.say("pres record", "press rcord", "rubbish many", "", "x" * 500)
    press_and_release(panel, inbox, Button.RECORD)
