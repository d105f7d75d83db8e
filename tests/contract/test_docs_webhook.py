"""The page on webhooks says what the code does, and its programs run."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast, get_args, get_origin

import msgspec
import pytest
import requests
from msgspec import inspect

from contract import signature
from contract.text import MAX_TRANSCRIPT_CHARS
from contract.webhook import (
    CONTENT_TYPE,
    MAX_BODY_BYTES,
    MAX_EMOTION_CHARS,
    MAX_PAGE_URL_CHARS,
    MAX_SUMMARY_CHARS,
    Event,
    FeedbackNew,
    FeedbackWantsReply,
    Payload,
    event_of,
    serialise,
)
from gateway import configuration
from gateway.cli import listen, main
from gateway.listener import Inbox, Listener, Webhook
from gateway.webhooks import retry
from tests.contract.markdown_page import bare, section

PAGE = "webhook-contract.md"
RECEIVER = Path(__file__).resolve().parent.parent / "webhook_receiver"
KINDS: dict[str, type[Payload]] = {"`feedback.new`": FeedbackNew, "`feedback.wants_reply`": FeedbackWantsReply}
SECRET = "a-secret-of-this-test"
OTHER = "another-secret-altogether"
ANSWER_S = 20


def examples() -> list[bytes]:
    return [code.rstrip("\n").encode() for code in section(PAGE).code("json")]


def payload_of(body: bytes) -> Payload:
    tree = json.loads(body)
    if tree["event"] == Event.FEEDBACK_NEW:
        return msgspec.convert(tree["feedback"], FeedbackNew, strict=True)
    return msgspec.convert(tree["feedback"], FeedbackWantsReply, strict=True)


# What is sent


@pytest.mark.parametrize("body", examples())
def test_each_example_is_the_very_bytes_that_are_sent(body: bytes) -> None:
    assert serialise(payload_of(body)) == body


def test_the_examples_show_both_events_and_every_null() -> None:
    payloads = [payload_of(body) for body in examples()]
    assert {event_of(payload) for payload in payloads} == set(Event)
    nulls = {field for payload in payloads for field, value in msgspec.structs.asdict(payload).items() if value is None}
    assert nulls == {"transcript", "sentiment", "category", "summary", "emotion", "intensity"}


@pytest.mark.parametrize("heading", KINDS)
def test_each_event_has_its_fields_in_order_with_type_and_null(heading: str) -> None:
    def described(info: inspect.Type) -> tuple[str, str]:
        if isinstance(info, inspect.UnionType):
            (one,) = [member for member in info.types if not isinstance(member, inspect.NoneType)]
            return described(one)[0], "yes"
        if isinstance(info, inspect.LiteralType):
            return ", ".join(sorted(map(str, info.values))), "no"
        return {inspect.StrType: "string", inspect.BoolType: "boolean"}[type(info)], "no"

    info = inspect.type_info(KINDS[heading])
    assert isinstance(info, inspect.StructType)
    rows = section(PAGE, heading).rows("field")
    found = [(bare(row[0]), ", ".join(sorted(bare(row[1]).split(", "))), row[2]) for row in rows]
    assert found == [(field.name, *described(field.type)) for field in info.fields]


def test_the_choices_stand_in_the_order_of_the_code() -> None:
    rows = {bare(row[0]): bare(row[1]) for row in section(PAGE, "`feedback.new`").rows("field")}
    for field, annotation in FeedbackNew.__annotations__.items():
        choices = next((part for part in get_args(annotation) if get_origin(part) is Literal), None)
        if choices is not None:
            assert rows[field] == ", ".join(get_args(choices))


def test_the_bounds_are_those_of_the_code() -> None:
    rows = {bare(row[0]): row[3] for row in section(PAGE, "`feedback.new`").rows("field")}
    bounds = {
        "transcript": MAX_TRANSCRIPT_CHARS,
        "summary": MAX_SUMMARY_CHARS,
        "emotion": MAX_EMOTION_CHARS,
        "page_url": MAX_PAGE_URL_CHARS,
    }
    for field, most in bounds.items():
        assert f"at most {most:,} characters" in rows[field]
    assert f"at most {MAX_BODY_BYTES:,} bytes" in section(PAGE, "The request").text
    assert f"up to {signature.MAX_SIGNATURES}" in section(PAGE, "Verifying").text
    assert f"more than **{signature.TOLERANCE_S} s**" in section(PAGE, "Verifying").text
    assert f"at least {signature.MIN_SECRET_CHARS} characters" in section(PAGE, "Exchanging the secret").text


def test_the_headers_are_those_of_the_code() -> None:
    rows = section(PAGE, "The request").rows("header")
    assert [bare(row[0]) for row in rows] == [
        "Content-Type",
        signature.ID_HEADER,
        signature.TIMESTAMP_HEADER,
        signature.SIGNATURE_HEADER,
    ]
    assert bare(rows[0][2]) == CONTENT_TYPE


def test_the_example_of_a_signature_is_that_of_the_first_example() -> None:
    text = section(PAGE, "Verifying").text
    stated = re.search(r"`(whsec_\w+)` and the timestamp `(\d+)`", text)
    assert stated is not None
    header = f"{signature.SIGNATURE_HEADER}: {signature.sign(examples()[0], int(stated[2]), [stated[1]])}\n"
    assert header in section(PAGE, "Verifying").code()


# When it is sent again


def seconds(words: str) -> int:
    units = {"s": 1, "min": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", words))


def test_the_repetitions_are_the_gateways_defaults() -> None:
    rows = section(PAGE, "Repetitions").rows("attempt")
    delays_s = configuration.WebhookSettings().retry_delays_s
    assert [int(row[0]) for row in rows] == list(range(1, len(delays_s) + 2))
    assert [seconds(row[1]) for row in rows] == [0, *delays_s]
    assert [seconds(row[2]) for row in rows] == [sum(delays_s[:number]) for number in range(len(rows))]


def test_the_bounds_of_waiting_are_the_gateways() -> None:
    text = section(PAGE, "Repetitions").text
    assert f"Up to {retry.JITTER_SHARE:.0%}".replace("%", " %") in text
    assert f"at most {retry.MAX_JITTER_S / 60:.0f} min" in text
    assert f"`Retry-After` makes a wait longer, up to {retry.MAX_RETRY_AFTER_S / 3600:.0f} h" in text
    assert f"within {configuration.WebhookSettings().deadline_s:.0f} s" in section(PAGE, "Answering").text


@pytest.mark.parametrize(
    ("status", "decision"),
    [(200, retry.Accepted), (299, retry.Accepted), (410, retry.Gone), (302, retry.RetryAfter), (401, retry.RetryAfter)],
)
def test_an_answer_has_the_consequence_that_the_page_tells(status: int, decision: type[object]) -> None:
    rows = [bare(row[0]) for row in section(PAGE, "Answering").rows("answer")]
    assert [row.split()[0].rstrip(",") for row in rows] == ["2xx", "410", "everything"]
    found = retry.decide(status=status, failed=False, number=1, delays_s=[5], retry_after_s=None, chance=0)
    assert isinstance(found, decision)


def test_the_settings_that_the_page_shows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    (content,) = section(PAGE, "Trying everything on your own machine").code("toml")
    path.write_text(content, encoding="utf-8")
    assert [str(network) for network in configuration.load(path).webhooks.networks()] == ["127.0.0.1/32"]


# The programs of the page

Verify = Callable[..., bool]


@pytest.fixture(scope="module")
def verify() -> Verify:
    (code,) = section(PAGE, "Python").code("python")
    names: dict[str, object] = {}
    exec(compile(code, PAGE, "exec"), names)
    return cast("Verify", names["verify"])


BODY = examples()[0]


def test_the_python_of_the_page_accepts_what_the_gateway_signs(verify: Verify) -> None:
    now_s = int(time.time())
    for body in examples():
        assert verify(body, signature.sign(body, now_s, [SECRET]), SECRET)
    assert verify(BODY, signature.sign(BODY, now_s, [OTHER, SECRET]), SECRET)
    assert verify(BODY, signature.sign(BODY, now_s, [SECRET, OTHER]), SECRET)
    assert verify(BODY, signature.sign(BODY, now_s - 290, [SECRET]), SECRET)


def test_the_python_of_the_page_refuses_everything_else(verify: Verify) -> None:
    now_s = int(time.time())
    good = signature.sign(BODY, now_s, [SECRET])
    assert not verify(BODY + b" ", good, SECRET)
    assert not verify(BODY, good, OTHER)
    assert not verify(BODY, signature.sign(BODY, now_s, [""]), "")
    for skew_s in (-310, 310):
        assert not verify(BODY, signature.sign(BODY, now_s + skew_s, [SECRET]), SECRET)
    for header in (None, "", good.upper(), f"{good}\n", good.replace(",", ", "), good[:-1], f"t={'9' * 5000},v1=x"):
        assert not verify(BODY, header, SECRET)


@contextlib.contextmanager
def node_program(code: str, folder: Path) -> Iterator[str]:
    """Run a receiver of the page; yield its URL."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("there is no `node` in PATH: install Node.js 18 or later")
    if not (RECEIVER / "node_modules" / "express").is_dir():
        pytest.fail("the receiver's packages are missing: run `npm ci --prefix tests/webhook_receiver`")
    (folder / "node_modules").symlink_to(RECEIVER / "node_modules")
    program = folder / "receiver.mjs"
    program.write_text(code, encoding="utf-8")
    process = subprocess.Popen(
        [node, str(program)],
        env=os.environ | {"VOISEBACK_WEBHOOK_SECRET": SECRET, "PORT": "0", "NODE_ENV": "test"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().removeprefix("listening on port ").strip()
            assert port.isdigit(), "the program of the page did not start"
            yield f"http://127.0.0.1:{port}/webhook"
        finally:
            process.kill()


def post(url: str, body: bytes, header: str | None, webhook_id: str = "wh_1") -> int:
    headers = {"Content-Type": CONTENT_TYPE, signature.ID_HEADER: webhook_id}
    if header is not None:
        headers[signature.SIGNATURE_HEADER] = header
    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, data=body, headers=headers, timeout=ANSWER_S).status_code


@pytest.mark.servers
def test_the_receiver_over_the_raw_body_believes_what_it_should(tmp_path: Path) -> None:
    with node_program(section(PAGE, "Node.js").code("js")[0], tmp_path) as url:
        now_s = int(time.time())
        good = signature.sign(BODY, now_s, [SECRET])
        for number, body in enumerate(examples()):
            assert post(url, body, signature.sign(body, now_s, [SECRET]), f"wh_{number}") == 200
        assert post(url, BODY, good, "wh_0") == 200
        assert post(url, BODY, signature.sign(BODY, now_s, [SECRET, OTHER])) == 200
        assert post(url, BODY, signature.sign(BODY, now_s, [OTHER, SECRET])) == 200
        assert post(url, BODY, signature.sign(BODY, now_s, [OTHER])) == 401
        assert post(url, BODY + b" ", good) == 401
        assert post(url, BODY, signature.sign(BODY, now_s - 310, [SECRET])) == 401
        assert post(url, b"", good) == 401
        for header in (None, "t=1", good.replace(",", ", "), good.upper(), f"t={now_s},v1=00"):
            assert post(url, BODY, header) == 401


@pytest.mark.servers
def test_the_receiver_that_writes_the_body_again_believes_what_it_should(tmp_path: Path) -> None:
    with node_program(section(PAGE, "Node.js").code("js")[1], tmp_path) as url:
        now_s = int(time.time())
        for body in examples():
            assert post(url, body, signature.sign(body, now_s, [SECRET])) == 200
        assert post(url, BODY, signature.sign(BODY, now_s, [OTHER, SECRET])) == 200
        assert post(url, BODY, signature.sign(BODY, now_s, [SECRET, OTHER])) == 401
        assert post(url, BODY, signature.sign(BODY, now_s, [OTHER])) == 401
        assert post(url, BODY, None) == 401
        # What the page warns of, so that the warning stays true.
        assert post(url, BODY, signature.sign(BODY, 1, [SECRET])) == 200
        assert post(url, BODY, "t=1") == 500


def shell_blocks() -> list[str]:
    return section(PAGE, "Trying everything on your own machine").code("sh")


def test_every_command_of_the_page_is_one_that_the_program_understands() -> None:
    lines = [line for block in shell_blocks() for line in block.splitlines() if line.startswith("kiosk-gateway ")]
    assert len(lines) == 5
    parser = main.make_parser()
    for line in lines:
        args = parser.parse_args(shlex.split(line)[1:])
        assert getattr(args, "port", 8099) == 8099
        assert getattr(args, "url", "http://127.0.0.1:8099/") == "http://127.0.0.1:8099/"


def test_the_listeners_line_looks_as_the_page_shows_it() -> None:
    (shown,) = section(PAGE, "Trying everything on your own machine").code()
    body = re.search(r"^body='(.*)'$", shell_blocks()[1], re.MULTILINE)
    assert body is not None
    moment = datetime(2025, 1, 15, 10, 30, 5, tzinfo=UTC)
    timestamp_s = int(moment.timestamp())
    header = signature.sign(body[1].encode(), timestamp_s, [SECRET])
    headers = {signature.ID_HEADER: "trial-1", signature.SIGNATURE_HEADER: header}
    webhook = Inbox(SECRET).judge(headers, body[1].encode(), timestamp_s)
    assert listen.describe(webhook).splitlines(keepends=True)[0] == shown


@pytest.mark.servers
def test_a_webhook_signed_by_hand_as_the_page_shows_is_verified(tmp_path: Path) -> None:
    for tool in ("curl", "openssl"):
        if shutil.which(tool) is None:
            pytest.fail(f"there is no `{tool}` in PATH, which the page uses: install it")
    (make_secret,) = [line for line in shell_blocks()[0].splitlines() if line.startswith("printf")]
    webhooks: list[Webhook] = []
    with Listener(Inbox("a-secret-for-the-trial"), webhooks.append) as listener:
        script = f"{make_secret}\n{shell_blocks()[1]}".replace("http://127.0.0.1:8099/", listener.url)
        assert listener.url in script
        subprocess.run(
            ["sh", "-euc", script],
            cwd=tmp_path,
            env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            check=True,
            capture_output=True,
            timeout=ANSWER_S,
        )
    (webhook,) = webhooks
    assert webhook.verified
    assert webhook.webhook_id == "trial-1"


def test_the_reasons_in_the_troubleshooting_are_those_that_are_told() -> None:
    quoted = re.findall(r'"([^"]+)"', section(PAGE, "Troubleshooting").text)
    now_s = time.time()
    good = signature.sign(BODY, int(now_s), [SECRET])
    told = []
    for header, secret, at_s in (
        (good, OTHER, now_s),
        (good, SECRET, now_s + 400),
        ("x", SECRET, now_s),
        (None, SECRET, now_s),
    ):
        with pytest.raises(signature.SignatureError) as caught:
            signature.verify(BODY, header, secret, now_s=at_s)
        told.append(str(caught.value))
    assert len(quoted) == len(told)
    for phrase, sentence in zip(quoted, told, strict=True):
        assert all(part.strip() in sentence for part in phrase.split("…"))
