"""The local receiver: what it makes of a webhook, over real sockets, and as a command."""

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import signature
from gateway.cli import listen
from gateway.listener import MAX_BODY_BYTES, MAX_CONNECTIONS, MAX_REMEMBERED_IDS, Inbox, Listener, Webhook

SECRET = "whsec_a-secret-of-the-test"
BODY = '{"event":"feedback.new","feedback":{"id":"0b8f","transcript":"schön ✨"}}'.encode()
NOW_S = 1_736_937_000


def signed(
    body: bytes = BODY, *, secret: str = SECRET, now_s: float | None = None, id_: str = "wh_1"
) -> dict[str, str]:
    timestamp_s = int(time.time() if now_s is None else now_s)
    return {
        "Content-Type": "application/json",
        "Webhook-Id": id_,
        "Webhook-Timestamp": str(timestamp_s),
        "Webhook-Signature": signature.sign(body, timestamp_s, [secret]),
    }


# What one request is worth


def test_a_signed_webhook_is_verified_and_answered_with_200() -> None:
    webhook = Inbox(SECRET).judge(signed(now_s=NOW_S), BODY, NOW_S)
    assert (webhook.verified, webhook.reason, webhook.status, webhook.verdict) == (True, None, 200, "verified")
    assert (webhook.event, webhook.feedback, webhook.webhook_id) == ("feedback.new", "0b8f", "wh_1")
    assert webhook.body == BODY.decode()
    assert webhook.received_at == datetime.fromtimestamp(NOW_S, UTC)


def test_header_names_count_in_any_case() -> None:
    headers = {name.lower(): value for name, value in signed(now_s=NOW_S).items()}
    assert Inbox(SECRET).judge(headers, BODY, NOW_S).verified


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ({}, BODY, "no Webhook-Signature header"),
        (signed(now_s=NOW_S, secret="another-secret"), BODY, "another secret"),
        (signed(now_s=NOW_S), BODY + b" ", "raw bytes"),
        (signed(now_s=NOW_S - 301), BODY, "+301 s"),
        (signed(now_s=NOW_S) | {"Webhook-Signature": "v1=abc"}, BODY, "malformed"),
    ],
)
def test_what_does_not_verify_is_answered_with_401_and_the_reason(
    headers: dict[str, str], body: bytes, told: str
) -> None:
    webhook = Inbox(SECRET).judge(headers, body, NOW_S)
    assert (webhook.verified, webhook.status) == (False, 401)
    assert webhook.reason is not None
    assert told in webhook.reason


def test_without_a_secret_nothing_is_verified_and_200_is_answered() -> None:
    webhook = Inbox(None).judge(signed(now_s=NOW_S), BODY, NOW_S)
    assert (webhook.verified, webhook.status) == (False, 200)
    assert webhook.verdict == "not verified: no secret given"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'"feedback.new"', b"9" * 5000])
def test_a_body_that_is_no_json_object_is_answered_with_400(body: bytes) -> None:
    webhook = Inbox(SECRET).judge(signed(body, now_s=NOW_S), body, NOW_S)
    assert (webhook.status, webhook.event, webhook.feedback) == (400, None, None)
    assert webhook.verified
    assert webhook.reason == "the body is no JSON object"


def test_a_webhook_id_that_came_before_is_a_repetition() -> None:
    inbox = Inbox(SECRET)
    flags = [
        inbox.judge(signed(now_s=NOW_S, id_=id_), BODY, NOW_S).repeated for id_ in ("wh_1", "wh_2", "wh_1", "wh_1")
    ]
    assert flags == [False, False, True, True]
    assert [inbox.judge({}, BODY, NOW_S).repeated for _ in range(2)] == [False, False]


def test_no_more_ids_are_remembered_than_fit() -> None:
    inbox = Inbox(None)
    for number in range(MAX_REMEMBERED_IDS + 1):
        inbox.judge({"Webhook-Id": str(number)}, b"{}", NOW_S)
    assert not inbox.judge({"Webhook-Id": "0"}, b"{}", NOW_S).repeated
    assert inbox.judge({"Webhook-Id": str(MAX_REMEMBERED_IDS)}, b"{}", NOW_S).repeated


def test_a_forced_status_changes_the_answer_and_not_the_verdict() -> None:
    webhook = Inbox(SECRET, 503).judge(signed(now_s=NOW_S), BODY, NOW_S)
    assert (webhook.status, webhook.verified) == (503, True)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["Webhook-Id", "Webhook-Signature", "X"]), st.text(max_size=30)),
    st.binary(max_size=60) | st.text(max_size=30).map(lambda text: json.dumps({"event": text, "feedback": 1}).encode()),
)
def test_whatever_comes_is_judged_described_and_printable(headers: dict[str, str], body: bytes) -> None:
    webhook = Inbox(SECRET).judge(headers, body, NOW_S)
    assert webhook.status in {400, 401}
    line = listen.as_line(webhook)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["headers"] == headers
    assert all(char.isprintable() or char == "\n" for char in listen.describe(webhook))


# Over sockets


class Reports:
    def __init__(self) -> None:
        self.webhooks: list[Webhook] = []

    def __call__(self, webhook: Webhook) -> None:
        self.webhooks.append(webhook)


@contextlib.contextmanager
def listening(
    secret: str | None = SECRET, status: int | None = None, deadline_s: float = 10.0
) -> Iterator[tuple[str, int, Reports]]:
    reports = Reports()
    with Listener(Inbox(secret, status), reports, request_deadline_s=deadline_s) as listener:
        address = urlsplit(listener.url)
        assert address.hostname
        assert address.port
        yield address.hostname, address.port, reports


def post(
    host: str, port: int, body: bytes = BODY, headers: dict[str, str] | None = None, method: str = "POST"
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request(method, "/any/path?at=all", body, signed(body) if headers is None else headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def talk(host: str, port: int, request: bytes) -> bytes:
    """Send raw bytes and return all that comes back until the other side closes."""
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        return answer


def test_a_webhook_is_reported_before_it_is_answered() -> None:
    with listening() as (host, port, reports):
        assert post(host, port) == (200, "verified\n")
        (webhook,) = reports.webhooks
    assert webhook.verified
    assert webhook.headers["Webhook-Id"] == "wh_1"
    assert abs(webhook.received_at.timestamp() - time.time()) < 60


def test_a_refused_webhook_is_reported_and_told_why() -> None:
    with listening() as (host, port, reports):
        status, sentence = post(host, port, headers={"Webhook-Id": "wh_1"})
        assert status == 401
        assert "no Webhook-Signature header" in sentence
        assert [webhook.verified for webhook in reports.webhooks] == [False]


def test_a_header_sent_twice_is_joined_as_other_servers_join_it() -> None:
    one = signed()["Webhook-Signature"]
    head = f"POST / HTTP/1.1\r\nContent-Length: {len(BODY)}\r\nWebhook-Signature: {one}\r\nwebhook-signature: {one}\r\n"
    with listening() as (host, port, reports):
        assert b" 401 " in talk(host, port, head.encode() + b"\r\n" + BODY)
        assert reports.webhooks[0].headers["Webhook-Signature"] == f"{one}, {one}"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"])
def test_anything_but_post_is_answered_with_405(method: str) -> None:
    with listening() as (host, port, reports):
        assert post(host, port, method=method)[0] == 405
        assert reports.webhooks == []


def test_the_answer_405_names_what_is_allowed() -> None:
    with listening() as (host, port, _):
        assert b"\r\nAllow: POST\r\n" in talk(host, port, b"GET / HTTP/1.1\r\n\r\n")


def test_a_body_of_one_mebibyte_is_taken_and_one_byte_more_is_answered_with_413() -> None:
    largest = b'{"x":"' + b"y" * (MAX_BODY_BYTES - 8) + b'"}'
    with listening() as (host, port, reports):
        assert post(host, port, largest)[0] == 200
        assert post(host, port, largest + b" ")[0] == 413
        assert len(reports.webhooks) == 1


def test_a_sender_of_far_too_much_reads_the_answer_413_and_no_reset_connection() -> None:
    with listening() as (host, port, reports):
        for _ in range(3):
            assert post(host, port, b" " * (3 * MAX_BODY_BYTES))[0] == 413
        assert reports.webhooks == []


@pytest.mark.parametrize(
    ("length", "status"),
    [("9" * 5000, 413), ("-1", 411), ("+5", 411), ("٣", 411), ("", 411), ("1e3", 411), ("99999999999999", 413)],
)
def test_a_content_length_that_is_no_length_is_refused(length: str, status: int) -> None:
    request = f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()
    with listening(deadline_s=0.5) as (host, port, reports):
        assert f" {status} ".encode() in talk(host, port, request)
        assert reports.webhooks == []


def test_a_chunked_body_is_asked_for_its_length() -> None:
    request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with listening() as (host, port, _):
        assert b" 411 " in talk(host, port, request)


@pytest.mark.parametrize("status", [204, 304, 302, 410, 429, 500])
def test_a_forced_status_is_answered_whatever_came(status: int) -> None:
    with listening(status=status) as (host, port, reports):
        assert post(host, port)[0] == status
        assert post(host, port, b"no json")[0] == status
        assert [webhook.status for webhook in reports.webhooks] == [status, status]


@pytest.mark.parametrize("beginning", [b"", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"])
def test_a_request_that_never_ends_is_closed_at_the_deadline(beginning: bytes) -> None:
    with listening(deadline_s=0.3) as (host, port, reports):
        begin_s = time.monotonic()
        talk(host, port, beginning)
        assert time.monotonic() - begin_s < 5
        assert reports.webhooks == []


def test_a_request_that_drips_is_closed_at_the_deadline() -> None:
    with listening(deadline_s=0.5) as (host, port, reports):
        begin_s = time.monotonic()
        with socket.create_connection((host, port), timeout=20) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
            connection.settimeout(0.05)
            closed = False
            while not closed and time.monotonic() - begin_s < 10:
                try:
                    connection.sendall(b" ")
                    closed = connection.recv(1) == b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    closed = True
        assert closed
        assert time.monotonic() - begin_s < 5
        assert reports.webhooks == []


def test_connections_beyond_the_limit_are_closed_and_do_not_starve_the_next() -> None:
    with listening() as (host, port, _), contextlib.ExitStack() as open_ones:
        for _ in range(MAX_CONNECTIONS):
            open_ones.enter_context(socket.create_connection((host, port), timeout=20))
        with contextlib.suppress(ConnectionError):
            assert talk(host, port, b"") == b""
        open_ones.close()
        deadline_s = time.monotonic() + 10
        answer = b""
        while b" 405 " not in answer and time.monotonic() < deadline_s:
            with contextlib.suppress(ConnectionError):
                answer = talk(host, port, b"GET / HTTP/1.1\r\n\r\n")
        assert b" 405 " in answer


def test_a_client_that_goes_away_ends_nothing() -> None:
    with listening() as (host, port, reports):
        for _ in range(3):
            with socket.create_connection((host, port)) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert post(host, port)[0] == 200
        assert len(reports.webhooks) == 1


def test_webhooks_at_once_are_reported_one_at_a_time() -> None:
    with listening() as (host, port, reports):
        senders = [
            threading.Thread(target=post, args=(host, port), kwargs={"headers": signed(id_=f"wh_{number}")})
            for number in range(16)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert {webhook.webhook_id for webhook in reports.webhooks} == {f"wh_{number}" for number in range(16)}
        assert not any(webhook.repeated for webhook in reports.webhooks)


# What is printed


def judged(body: bytes, **headers: str) -> Webhook:
    return Inbox(None).judge(headers, body, NOW_S)


def test_what_could_steer_a_terminal_is_escaped() -> None:
    hostile = json.dumps({"event": "\x1b]0;title\x07\x9b2J\u202e", "feedback": {"id": "a\nb"}}).encode()
    shown = listen.describe(judged(hostile, **{"Webhook-Id": "\x1b[31m"}))
    assert "\x1b" not in shown
    assert "\\x1b]0;title\\x07\\x9b2J\\u202e" in shown
    assert "feedback a\\nb" in shown.splitlines()[0]
    assert "Webhook-Id \\x1b[31m" in shown.splitlines()[0]


def test_a_webhook_is_described_by_a_headline_and_its_pretty_body() -> None:
    lines = listen.describe(judged(BODY, **{"Webhook-Id": "wh_1"})).splitlines()
    assert lines[0] == (
        "2025-01-15 10:30:00Z  feedback.new  feedback 0b8f  Webhook-Id wh_1  answered 200  "
        "not verified: no secret given"
    )
    assert lines[1:3] == ["    {", '      "event": "feedback.new",']
    assert '        "transcript": "schön ✨"' in lines


def test_a_json_line_holds_all_that_came() -> None:
    line = json.loads(listen.as_line(Inbox(SECRET).judge(signed(now_s=NOW_S), BODY, NOW_S)))
    assert line == {
        "received_at": "2025-01-15T10:30:00.000Z",
        "webhook_id": "wh_1",
        "event": "feedback.new",
        "feedback": "0b8f",
        "verified": True,
        "reason": None,
        "repeated": False,
        "body": BODY.decode(),
        "headers": signed(now_s=NOW_S),
    }


# The command


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    listen.add_parser(parser.add_subparsers())
    return parser.parse_args(["listen", *words])


@pytest.mark.parametrize("port", ["65536", "-1", "x", "٣", "1e3"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(f"--port={port}")
    assert "is no port: give a number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("status", ["100", "600", "ok"])
def test_a_status_that_is_none_is_refused(status: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--status", status)
    assert "is no status code" in capsys.readouterr().err


def test_a_port_in_use_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with listening() as (_, port, _):
        assert listen.run(parse("--port", str(port))) == 1
    assert capsys.readouterr().err == (
        f"kiosk-gateway listen: port {port} on 127.0.0.1 is in use: choose another with --port\n"
    )


@pytest.mark.parametrize("content", [b"", b"\n", b" secret\n", b"secret \n", b"a\x00b", b"\xff", b"x" * 5000])
def test_a_secret_file_that_holds_no_secret_is_one_sentence(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert listen.run(parse("--secret-file", str(path))) == 1
    error = capsys.readouterr().err
    assert str(path) in error
    assert error.count("\n") == 1


def test_a_secret_file_that_is_missing_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listen.run(parse("--secret-file", str(tmp_path / "none"))) == 1
    assert "none: cannot be read: No such file or directory" in capsys.readouterr().err


def test_two_ways_to_give_the_secret_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--secret", "x", "--secret-file", "y")
    assert "not allowed with" in capsys.readouterr().err


COMMAND = """
import argparse, sys
from gateway.cli import listen
parser = argparse.ArgumentParser()
listen.add_parser(parser.add_subparsers())
args = parser.parse_args()
status = args.run(args)
assert not [name for name in sys.modules if name.split(".")[0] == "django"]
sys.exit(status)
"""


@contextlib.contextmanager
def command(*words: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    kept = {name: value for name, value in os.environ.items() if name != listen.SECRET_VARIABLE}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "listen", *words],
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def first_address(process: "subprocess.Popen[str]") -> tuple[str, int]:
    assert process.stdout is not None
    address = urlsplit(json.loads(process.stdout.readline())["listening"])
    assert address.hostname
    assert address.port
    return address.hostname, address.port


@pytest.mark.servers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_each_webhook_as_a_line_and_ends_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\r\n", encoding="utf-8", newline="")
    with command("--json", "--secret-file", str(path)) as process:
        host, port = first_address(process)
        assert post(host, port)[0] == 200
        assert post(host, port, headers=signed(secret="another-one"))[0] == 401
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["verified"], line["repeated"]) for line in lines] == [(True, False), (False, True)]


@pytest.mark.servers
def test_a_secret_in_argv_works_with_one_warning() -> None:
    with command("--json", "--secret", SECRET) as process:
        assert post(*first_address(process))[0] == 200
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert err.count("\n") == 1
    assert "other users of this machine can see --secret" in err
    assert SECRET not in err


@pytest.mark.servers
def test_the_secret_may_come_from_the_environment() -> None:
    with command("--json", **{listen.SECRET_VARIABLE: SECRET}) as process:
        assert post(*first_address(process))[0] == 200
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert json.loads(out)["verified"]
    assert err == ""


@pytest.mark.servers
def test_for_a_reader_the_first_line_tells_the_address_even_where_only_ascii_can_be_printed() -> None:
    with command("--status", "503", PYTHONIOENCODING="ascii") as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().split()[2])
        assert address.hostname
        assert address.port
        assert post(address.hostname, address.port)[0] == 503
        process.terminate()
        out, _ = process.communicate(timeout=20)
    assert "answered 503" in out
    assert '"transcript": "sch\\xf6n \\u2728"' in out


@pytest.mark.servers
def test_a_reader_that_goes_away_ends_the_command() -> None:
    with command("--json") as process:
        host, port = first_address(process)
        assert process.stdout is not None
        process.stdout.close()
        assert post(host, port)[0] == 200
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
