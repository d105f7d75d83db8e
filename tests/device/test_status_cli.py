"""`kiosk status` as a technician types it."""

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.health import Health
from contract.messages import decode, encode
from device.cli.main import main
from device.spool import Outcome, Spool
from device.status_socket import StatusSocket
from tests.contract.example_health import WELL, with_part
from tests.device.records import a_record


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk.toml"
    path.write_text(f'state_dir = "{tmp_path}/state"\nruntime_dir = "{tmp_path}/run"\n')
    return path


@contextmanager
def agent(folder: Path, message: bytes) -> Iterator[None]:
    """Answer one that asks."""
    status = StatusSocket(folder)

    def answer() -> None:
        select.select([status], [], [], 10)
        status.answer(message)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        status.close()
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (WELL, 0),
        (with_part(WELL, "panel", state="absent"), 0),
        (with_part(WELL, "clock", state="degraded", problem="not synchronised"), 1),
        (with_part(WELL, "ear", state="failed", problem="no microphone"), 1),
    ],
)
def test_the_exit_status_tells_whether_all_is_well(
    config: Path, tmp_path: Path, health: Health, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with agent(tmp_path / "run", encode(health)):
        assert main(["status", "--config", str(config)]) == expected
    out, err = capsys.readouterr()
    assert out.startswith("kiosk berlin-mitte-01, 0.1.0")
    assert err == ""


def test_for_machines_it_is_the_whole_health(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with agent(tmp_path / "run", encode(WELL)):
        assert main(["status", "--json", "--config", str(config)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert decode(Health, line.encode()) == WELL


def test_it_fits_a_telephone(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "45")
    with agent(tmp_path / "run", encode(WELL)):
        main(["status", "--config", str(config)])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 45


def test_without_an_agent_it_says_what_the_spool_holds(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = Spool(tmp_path / "state" / "spool.sqlite3")
    for number in range(3):
        name = f"00000000-0000-4000-8000-{number:012d}"
        spool.add(a_record(name))
        spool.release(name)
    spool.settle([Outcome("00000000-0000-4000-8000-000000000001", stored=False, reason="not wanted")])
    spool.close()
    assert main(["status", "--config", str(config)]) == 3
    out, err = capsys.readouterr()
    assert out == "The spool holds 2 records for the gateway, and 1 that it refused.\n"
    assert "no kiosk runs" in err


def test_where_no_kiosk_has_ever_run_nothing_is_made_by_looking(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--config", str(config)]) == 3
    assert "has never run here" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "run").exists()


def test_an_agent_that_was_killed_is_none(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(tmp_path / "run" / "status.sock"))
    assert main(["status", "--config", str(config)]) == 3
    assert "no kiosk runs" in capsys.readouterr().err


def test_for_machines_there_is_nothing_on_standard_output_without_an_agent(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--json", "--config", str(config)]) == 3
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("answer", [b"", b"{}", json.dumps({"kiosk": "a"}).encode()])
def test_an_agent_that_cannot_tell_how_it_is_is_not_well(
    config: Path, tmp_path: Path, answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with agent(tmp_path / "run", answer):
        assert main(["status", "--config", str(config)]) == 1
    assert "its log says why" in capsys.readouterr().err


def test_an_agent_that_does_not_answer_is_not_well(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.cli.status.ANSWER_S", 0.2)
    status = StatusSocket(tmp_path / "run")
    assert main(["status", "--config", str(config)]) == 1
    assert "does not answer" in capsys.readouterr().err
    status.close()


def test_a_socket_of_another_user_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: Path, _timeout_s: float) -> bytes:
        raise PermissionError

    # Root, as whom tests may run, is refused nothing.
    monkeypatch.setattr("device.cli.status.ask", refuse)
    assert main(["status", "--config", str(config)]) == 2
    assert "with sudo" in capsys.readouterr().err
