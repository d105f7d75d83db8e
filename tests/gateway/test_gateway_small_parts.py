"""Presence, logging, loops, the state directory, secrets at rest, endpoints' names and URLs."""

import json
import logging
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from gateway import state
from gateway.errors import GatewayError, UsageError
from gateway.kiosks import registry
from gateway.kiosks.presence import Presence, step
from gateway.logs import JsonFormatter, ServiceFormatter, TextFormatter
from gateway.loop import Backoff, Loop
from gateway.webhooks import endpoints
from gateway.webhooks.secrets import open_box
from tests.gateway.support import status_message, wait_until

ONLINE = Presence(online=True, session=7, agent_version="0.1.0", address="10.0.0.7")


def test_the_will_of_the_present_connection_takes_a_kiosk_offline() -> None:
    assert not step(ONLINE, status_message(state="offline", session=7)).online


def test_the_will_of_an_older_connection_changes_nothing() -> None:
    assert step(ONLINE, status_message(state="offline", session=6)) == ONLINE


def test_a_kiosk_that_counts_from_the_beginning_again_is_believed_to_be_online() -> None:
    after = step(ONLINE, status_message(session=1, agent_version="0.2.0", address=None))
    assert after == Presence(online=True, session=1, agent_version="0.2.0", address="")


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "gateway.x", "levelname": "INFO", "msg": "feedback %s", "args": ("stored",), "created": 1.5, **extra}
    )
    assert made.getMessage() == "feedback stored"
    return made


def test_a_json_line_carries_the_extra_fields_at_its_top_level() -> None:
    line = json.loads(JsonFormatter().format(record(feedback="a-1", ms=3)))
    assert line == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "INFO",
        "logger": "gateway.x",
        "message": "feedback stored",
        "feedback": "a-1",
        "ms": 3,
    }


def test_a_json_line_stays_one_line_whatever_is_in_it() -> None:
    text = JsonFormatter().format(record(said="a\nb\u2028c\ud800", time="forged", odd=object()))
    assert "\n" not in text
    assert "\u2028" not in text
    assert json.loads(text)["time"] == "1970-01-01T00:00:01.500Z"


def test_a_traceback_is_a_field() -> None:
    try:
        int("x")
    except ValueError:
        line = json.loads(JsonFormatter().format(record(exc_info=sys.exc_info())))
    assert "ValueError: invalid" in line["exception"]


def test_a_text_line_shows_the_fields_and_cannot_be_forged_by_a_line_break() -> None:
    text = TextFormatter().format(record(kiosk="shop-1", said='a "b"\nc', ms=3))
    assert text == '1970-01-01T00:00:01.500Z INFO gateway.x: feedback stored kiosk=shop-1 said="a \\"b\\"\\nc" ms=3'


def test_a_line_for_the_journal_has_a_priority_instead_of_time_and_level() -> None:
    text = ServiceFormatter().format(record(levelno=logging.INFO, kiosk="shop-1"))
    assert text == "<6>gateway.x: feedback stored kiosk=shop-1"


def test_a_loop_survives_what_a_turn_raises_and_tells_once(caplog: pytest.LogCaptureFixture) -> None:
    turns = []
    ended = threading.Event()

    def turn(_stop: threading.Event) -> None:
        turns.append(1)
        if len(turns) < 3:
            raise RuntimeError("not yet")

    loop = Loop("part", turn, at_end=ended.set)
    with caplog.at_level("INFO"):
        loop.start()
        wait_until(lambda: "part works again" in caplog.text)
        loop.ask_to_stop()
        assert loop.join(5)
    assert ended.is_set()
    assert sum("goes on after a pause" in each.getMessage() for each in caplog.records) == 1


def test_waits_double_to_a_bound_and_are_never_shorter_than_said() -> None:
    backoff = Backoff(1.0, 4.0)
    waits = [backoff.next_s() for _ in range(5)]
    for wait_s, plain_s in zip(waits, [1, 2, 4, 4, 4], strict=True):
        assert plain_s <= wait_s <= plain_s * 1.5
    backoff.reset()
    assert backoff.next_s() <= 1.5


def test_the_state_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "state"
    state.prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    state.write_atomically(folder / "key", b"1")
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / state.DATABASE).stat().st_mode) == 0o600


def test_a_state_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(GatewayError, match="chmod"):
        state.prepare(tmp_path)


def test_a_state_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GatewayError, match="state_dir"):
        state.prepare(tmp_path / "file" / "state")


def test_a_file_made_once_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert state.write_once(path, lambda: b"first") == b"first"
    assert state.write_once(path, lambda: b"second") == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
    path.write_bytes(b"")
    with pytest.raises(GatewayError, match="empty"):
        state.write_once(path, lambda: b"third")


def test_of_two_gateways_on_one_state_directory_the_second_is_refused(tmp_path: Path) -> None:
    with state.exclusive(tmp_path):
        code = (
            "import sys, pathlib, gateway.state as s\n"
            "try:\n    s.exclusive(pathlib.Path(sys.argv[1])).__enter__()\n"
            "except Exception as e: print(e)"
        )
        done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert "another gateway runs" in done.stdout
    with state.exclusive(tmp_path):
        pass


def test_what_root_writes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    state.prepare(folder)
    state.write_atomically(folder / "key", b"1")
    state.make_folder(folder / "tls")
    assert {each.stat().st_uid for each in folder.iterdir()} == {65534}


def test_a_secret_can_be_opened_with_the_key_file_and_not_without(tmp_path: Path) -> None:
    sealed = open_box(tmp_path).seal("grüße und geheimnisse")
    assert b"geheim" not in sealed
    assert open_box(tmp_path).open(sealed) == "grüße und geheimnisse"
    (tmp_path / state.ENDPOINT_KEYS).write_bytes(Fernet.generate_key())
    with pytest.raises(GatewayError, match="cannot be decrypted"):
        open_box(tmp_path).open(sealed)


def test_a_new_key_can_be_put_before_the_old_one(tmp_path: Path) -> None:
    sealed = open_box(tmp_path).seal("a secret")
    path = tmp_path / state.ENDPOINT_KEYS
    path.write_bytes(Fernet.generate_key() + b"\n" + path.read_bytes())
    assert open_box(tmp_path).open(sealed) == "a secret"


def test_a_damaged_key_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / state.ENDPOINT_KEYS).write_text("not a key\n")
    with pytest.raises(GatewayError, match="damaged"):
        open_box(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/hook",
        "ftp://example.org/",
        "https://",
        "https:///path",
        "https://exa mple.org/",
        "https://example.org/\r\nX: y",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://user:pass@example.org/",
        "https://user@example.org/",
        "https://example.org/#part",
        "https://bücher.example/",
        "https://[::1/",
        "https://example.org/" + "a" * 2_000,
    ],
)
def test_a_url_that_cannot_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        endpoints.check_url(url)


@pytest.mark.parametrize("url", ["https://example.org", "http://10.0.0.7:8080/hook?a=b", "https://[2001:db8::1]/x"])
def test_a_url_that_can_be_sent_to_is_accepted(url: str) -> None:
    endpoints.check_url(url)


@pytest.mark.parametrize("url", ["k/1", "javascript:alert(1)", "https://", "https://a b/", "https://[::1"])
def test_a_page_url_must_be_a_web_address(url: str) -> None:
    with pytest.raises(UsageError):
        registry.check_page_url(url)
