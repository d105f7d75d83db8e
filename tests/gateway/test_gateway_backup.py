"""A backup of a running gateway, and what a restoration brings back."""

import io
import json
import stat
import tarfile
from pathlib import Path

import pytest

from gateway import backup
from tests.gateway.support import GatewayProcess, KioskClient, Receiver, Shell, feedback_message, kill, wait_until
from tests.gateway.test_gateway_servers import connected, count_of


def send(kiosk: KioskClient) -> str:
    message = feedback_message()
    kiosk.send(message)
    assert kiosk.wait_for_receipt(message.id).outcome == "stored"
    return message.id


@pytest.mark.servers
def test_a_backup_of_a_running_gateway_serves_its_kiosks_and_receivers_elsewhere(
    tmp_path: Path, receiver: Receiver
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    gateway = GatewayProcess(tmp_path / "one")
    access = gateway.add_kiosk("shop-1")
    secret = tmp_path / "secret"
    gateway.cli("endpoint", "add", "hook", receiver.url, "--generate-secret", str(secret))
    gateway.start()
    file = tmp_path / "backup"
    with connected(access) as kiosk:
        before = send(kiosk)
        gateway.cli("backup", str(file))
        after = send(kiosk)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert gateway.stop() == 0
    assert "there already" in gateway.cli("backup", str(file), check=False).stderr

    other = GatewayProcess(tmp_path / "two")
    other.cli("restore", str(file))
    assert not (other.state / "gateway.sqlite3-wal").exists()
    other.start()
    with connected(access) as kiosk:
        later = send(kiosk)
        wait_until(lambda: later in {json.loads(body)["feedback"]["id"] for _, body in list(receiver.requests)})
    assert [count_of(other, key) for key in (before, after, later)] == [1, 0, 1]
    fingerprint = other.cli("endpoint", "list").stdout
    assert fingerprint == gateway.cli("endpoint", "list").stdout
    assert "cannot be decrypted" not in fingerprint
    assert other.stop() == 0


@pytest.mark.servers
def test_a_restoration_keeps_what_was_there_and_needs_the_gateway_stopped(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path)
    gateway.add_kiosk("shop-1")
    file = tmp_path / "backup"
    gateway.cli("backup", str(file))
    gateway.add_kiosk("shop-2")
    gateway.start()
    done = gateway.cli("restore", str(file), check=False)
    assert (done.returncode, "stop it first" in done.stderr) == (1, True)
    kill(gateway.pid)
    gateway.wait_for_death()
    said = wait_until(lambda: gateway.cli("restore", str(file), check=False).stdout)
    assert "what was there before is in" in said
    assert "shop-2" not in gateway.cli("kiosk", "list").stdout
    (kept,) = gateway.state.glob("before-restore-*")
    assert {"gateway.sqlite3", "tls"} <= {path.name for path in kept.iterdir()}
    (gateway.state / backup.UNFINISHED).touch()
    assert "was cut off" in gateway.cli("kiosk", "list", check=False).stderr
    gateway.cli("restore", str(file))
    assert "shop-1" in gateway.cli("kiosk", "list").stdout


def archive(path: Path, files: dict[str, bytes], *, link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
        if link is not None:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            made.addfile(entry)
    return path


MANIFEST = {"manifest.json": b'{"format": 1}'}


@pytest.mark.parametrize(
    ("files", "link", "words"),
    [
        ({}, None, "no backup"),
        (MANIFEST, None, "no backup"),
        ({"manifest.json": b"nonsense"}, None, "no backup"),
        ({"manifest.json": b'{"format": 2}'}, None, "later version"),
        ({**MANIFEST, "gateway.sqlite3": b"nonsense" * 1_000}, None, "cannot be restored"),
        (MANIFEST, "gateway.sqlite3", "no file"),
    ],
)
def test_what_is_no_backup_changes_nothing(shell: Shell, files: dict[str, bytes], link: str | None, words: str) -> None:
    state = shell.folder / "state"
    state.mkdir(mode=0o700)
    (state / "gateway.sqlite3").write_bytes(b"mine")
    path = archive(shell.folder / "backup", files, link=link)
    assert words in shell.fails("restore", str(path))
    assert (state / "gateway.sqlite3").read_bytes() == b"mine"
    assert {each.name for each in state.iterdir()} <= {"gateway.sqlite3", "run.lock"}


def test_a_file_that_is_missing_or_no_archive_is_one_sentence(shell: Shell) -> None:
    assert "no backup" in shell.fails("restore", str(shell.folder / "none"))
    (shell.folder / "text").write_text("text")
    assert "no backup" in shell.fails("restore", str(shell.folder / "text"))
    assert "no gateway" in shell.fails("backup", str(shell.folder / "new"))


def test_for_postgresql_its_own_tools_are_named(shell: Shell) -> None:
    shell.config.write_text(shell.config.read_text() + '[database]\nurl = "postgresql://u@db.example/shop"\n')
    for command in ("backup", "restore"):
        assert "pg_dump" in shell.fails(command, str(shell.folder / "file"))
