"""`kiosk panel`: what a technician sees, against virtual panels; errors are one sentence."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device.cli import main as cli
from device.cli.panel import listing
from firmware_bridge import Button, Candidate, PanelBridge, Scene
from firmware_bridge.panel_link import PanelDescription
from firmware_bridge.virtual_panel import Faults, VirtualPanel

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
PATIENCE_S = 10.0


@pytest.fixture
def port(tmp_path: Path) -> Path:
    return tmp_path / "panel"


@pytest.fixture
def panel(port: Path) -> Iterator[VirtualPanel]:
    description = PanelDescription("KP-7", (1, 4, 2), frozenset({Button.RECORD, Button.CANCEL}))
    with VirtualPanel(port, description) as panel:
        yield panel


@pytest.fixture
def other_host(panel: VirtualPanel, port: Path) -> Iterator[PanelBridge]:
    bridge = PanelBridge(str(port), lambda event: None)
    bridge.show(Scene.IDLE)
    bridge.start()
    panel.wait_for_scene(Scene.IDLE, PATIENCE_S)
    yield bridge
    bridge.stop()


def tap_when_asked(panel: VirtualPanel, *buttons: Button) -> threading.Thread:
    """Tap these buttons, each a while after the panel has a host and shows that it is ready."""

    def tap() -> None:
        panel.wait_for_scene(Scene.IDLE, PATIENCE_S, since=0)
        for button in buttons:
            panel.press(button)
            time.sleep(0.05)
            panel.release(button)
            time.sleep(0.15)

    thread = threading.Thread(target=tap)
    thread.start()
    return thread


def test_list_tells_of_each_port_who_answers_or_why_nobody_does(
    panel: VirtualPanel, port: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    master, slave = pty.openpty()
    silent = os.ttyname(slave)
    monkeypatch.setattr(
        listing, "list_candidates", lambda: [Candidate(silent, "Some modem"), Candidate("/dev/nothing")]
    )
    assert cli.main(["panel", "list", "--port", str(port)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(port),
        "  panel KP-7, firmware 1.4.2, protocol 1",
        "  buttons: record, cancel",
        silent,
        "  Some modem",
        # A terminal that is not raw echoes what it is asked, and only a panel's frames are believed.
        "  nothing answers at the port",
        "/dev/nothing",
        "  does not exist: plug the panel in, or correct the panel's port in the configuration",
    ]
    os.close(master)
    os.close(slave)


def test_list_is_readable_for_machines_and_names_ports_in_use(
    other_host: PanelBridge, port: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "list_candidates", list)
    assert cli.main(["panel", "list", "--json", "--port", str(port)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["path"], found["serial_number"]) == (str(port), None)
    assert found["reason"].startswith("is in use")
    assert other_host.stats().sessions == 1


def test_a_machine_without_ports_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "list_candidates", list)
    assert cli.main(["panel", "list"]) == 0
    assert capsys.readouterr().out == "there is no serial port for a panel here: plug the panel in\n"


def test_identify_lets_the_panel_blink_and_leaves_it(
    panel: VirtualPanel, port: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["panel", "identify", "--port", str(port), "--seconds", "0.1"]) == 0
    assert [shown.scene for shown in panel.scenes][-2:] == [Scene.IDENTIFY, Scene.OUT_OF_SERVICE]
    assert "panel KP-7, firmware 1.4.2, protocol 1; it blinks for 0.1 s" in capsys.readouterr().out


def test_a_working_panel_passes_its_test(panel: VirtualPanel, port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tapping = tap_when_asked(panel, Button.RECORD, Button.CANCEL)
    status = cli.main(["panel", "test", "--port", str(port), "--pace", "0.01", "--timeout", "5"])
    tapping.join()
    output = capsys.readouterr().out
    assert status == 0, output
    assert output.endswith("\nPASSED: the panel works\n")
    assert output.count("pressed and released") == 2
    assert "0 sent again" in output
    shown = [entry.scene for entry in panel.scenes]
    assert set(Scene) == set(shown)


def test_a_button_that_is_not_pressed_fails_the_test_and_the_wrong_one_is_named(
    panel: VirtualPanel, port: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tapping = tap_when_asked(panel, Button.CANCEL)
    status = cli.main(["panel", "test", "--port", str(port), "--pace", "0", "--timeout", "0.4"])
    tapping.join()
    assert status == 1
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict == ("FAILED: record: not pressed within 0.4 s, but cancel; cancel: not pressed within 0.4 s")


def test_a_stuck_button_fails_the_test(panel: VirtualPanel, port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def push() -> None:
        panel.wait_for_scene(Scene.IDLE, PATIENCE_S, since=0)
        panel.press(Button.RECORD)

    pushing = threading.Thread(target=push)
    pushing.start()
    assert cli.main(["panel", "test", "--port", str(port), "--pace", "0", "--timeout", "0.4"]) == 1
    pushing.join()
    assert "record: not released within 0.4 s: is it stuck?" in capsys.readouterr().out


def test_a_line_that_loses_many_scenes_fails_the_test(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with VirtualPanel(port, faults=Faults(drop=0.2), seed=1):
        status = cli.main(["panel", "test", "--no-buttons", "--port", str(port), "--pace", "0"])
    assert status == 1
    assert "of 50 scenes had to be sent again: look at the cable" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("situation", ["in use", "missing"])
@pytest.mark.parametrize("command", ["identify", "monitor", "test"])
def test_a_port_that_cannot_be_used_is_one_sentence(
    command: str, situation: str, request: pytest.FixtureRequest, port: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if situation == "in use":
        request.getfixturevalue("other_host")
    assert cli.main(["panel", command, "--port", str(port)]) == 1
    said = capsys.readouterr()
    (line,) = filter(None, (said.out + said.err).splitlines())
    assert line.startswith(("kiosk: ", "FAILED: "))
    assert ("is in use" if situation == "in use" else "does not exist") in line


def test_without_a_port_that_of_the_settings_is_used(
    panel: VirtualPanel, port: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "kiosk.toml"
    settings.write_text(f'[panel]\nport = "{port}"\n')
    assert cli.main(["panel", "identify", "--config", str(settings), "--seconds", "0"]) == 0
    settings.write_text('[panel]\nprot = "x"\n')
    assert cli.main(["panel", "identify", "--config", str(settings)]) == 2
    assert "prot" in capsys.readouterr().err


@pytest.mark.servers
def test_monitor_shows_both_directions_and_damage_and_bytes(panel: VirtualPanel, port: Path) -> None:
    command = [sys.executable, "-m", "device.cli.main", "panel", "monitor", "--hex", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []

        def read_until(found: Callable[[str], bool]) -> None:
            for line in process.stdout or ():
                lines.append(line.rstrip("\n"))
                if found(lines[-1]):
                    return
            pytest.fail(f"only {lines}")

        read_until(lambda line: " - panel KP-7" in line)
        panel.send_raw(b"\x00nonsense\x00")
        read_until(lambda line: line.endswith(" < damaged: no frame"))
        panel.press(Button.RECORD)
        read_until(lambda line: "< ButtonEdge #1 button=record pressed=true" in line)
        read_until(lambda line: line.endswith("> HostAck #1"))
        panel.unplug()
        read_until(lambda line: "- no panel: " in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == ""
    assert any("> Hello protocol=1 session=" in line for line in lines)
    assert f"{' ' * 15}00 6e 6f 6e 73 65 6e 73 65 00" in lines
    assert all(len(line) <= 80 for line in lines if not line.startswith(str(port)))
