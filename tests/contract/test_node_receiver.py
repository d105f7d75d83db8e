"""The webhook against real receivers: Node.js with Express 4 and 5, Stripe's library, and Python with the contract.

`VOISEBACK_RECEIVER_BODIES` says how many random bodies each gets; `make receivers` sets it to 3,000.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract import signature
from contract.text import clean
from contract.webhook import (
    CONTENT_TYPE,
    MAX_BODY_BYTES,
    MAX_EMOTION_CHARS,
    MAX_PAGE_URL_CHARS,
    MAX_SUMMARY_CHARS,
    FeedbackNew,
    FeedbackWantsReply,
    Payload,
    serialise,
)
from gateway.listener import Inbox, Listener

pytestmark = pytest.mark.servers

FOLDER = Path(__file__).resolve().parent.parent / "webhook_receiver"
SECRET = "s3cr3t-ü-of-the-receiver"
OTHER = "another-secret-altogether"
EXAMPLES = int(os.environ.get("VOISEBACK_RECEIVER_BODIES", "300"))
MIN_BODIES = EXAMPLES // 2
ANSWER_S = 20


@dataclass
class Receiver:
    """The running receiver, over one kept connection."""

    url: str
    session: requests.Session

    def post(self, body: bytes, *secrets: str) -> int:
        timestamp_s = int(time.time())
        headers = {
            "Content-Type": CONTENT_TYPE,
            signature.TIMESTAMP_HEADER: str(timestamp_s),
            signature.SIGNATURE_HEADER: signature.sign(body, timestamp_s, secrets),
        }
        return self.post_with(headers, body)

    def post_with(self, headers: dict[str, str], body: bytes) -> int:
        with self.session.post(self.url, data=body, headers=headers, timeout=ANSWER_S) as response:
            return response.status_code


REWRITING = ["express 5 rewritten", "express 4 rewritten"]
RAW = ["express 5 raw", "express 4 raw", "express 5 stripe", "express 4 stripe", "python"]
MANNERS = [*REWRITING, *RAW]
"""The first verify what they have written again, and read the last ``v1``; the others verify the raw body and any."""


@pytest.fixture(scope="module")
def receivers() -> Iterator[Callable[[str], Receiver]]:
    """Gives each receiver, started when it is wanted first."""
    with contextlib.ExitStack() as stack:

        @cache
        def get(manner: str) -> Receiver:
            if manner == "python":
                return stack.enter_context(python_receiver())
            return stack.enter_context(node_receiver(*manner.split()[1:]))

        yield get


@pytest.fixture(params=MANNERS)
def receiver(receivers: Callable[[str], Receiver], request: pytest.FixtureRequest) -> Receiver:
    return receivers(request.param)


@contextlib.contextmanager
def python_receiver() -> Iterator[Receiver]:
    """Verify with `contract.signature`."""
    with Listener(Inbox(SECRET), lambda _webhook: None) as listener, requests.Session() as session:
        session.trust_env = False
        yield Receiver(listener.url, session)


@contextlib.contextmanager
def node_receiver(version: str, manner: str) -> Iterator[Receiver]:
    node = shutil.which("node")
    if node is None:
        pytest.fail("there is no `node` in PATH: install Node.js 18 or later")
    if not (FOLDER / "node_modules" / "stripe").is_dir():
        pytest.fail("the receiver's packages are missing: run `npm ci --prefix tests/webhook_receiver`")
    process = subprocess.Popen(
        [node, str(FOLDER / "server.mjs"), version, manner],
        env=os.environ | {"VOISEBACK_WEBHOOK_SECRET": SECRET, "NODE_ENV": "test"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, requests.Session() as session:
        session.trust_env = False
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the receiver ended with status {process.wait(ANSWER_S)} before it listened"
            yield Receiver(f"http://127.0.0.1:{json.loads(line)['port']}/webhook", session)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(ANSWER_S) == 0
        finally:
            process.kill()


characters = st.characters(exclude_categories=[]) | st.sampled_from(
    "\0\b\t\n\f\r\x1b\x7f\x9b\"\\/<>&'\u2028\u2029\ufeff\ufffd\ufffe\uffff\ud800\udc00\ud83d\ude00\u200d\u202eéß€漢😀👩🏽"
    "e\u0301\u0344\ufb2c\u1100\u1161"
)
"""All of Unicode, lone surrogates and NUL too, and more often what serialisers disagree about."""
texts = st.text(characters, max_size=80)
cleaned = st.none() | texts.map(lambda text: clean(text, MAX_SUMMARY_CHARS))
sentiments = st.sampled_from(["positive", "negative", "neutral", "mixed", None])
categories = st.sampled_from(["bug", "feature_request", "praise", "churn_risk", "question", "other", None])
page_urls = texts.map(lambda text: clean(f"https://shop.example/{text}", MAX_PAGE_URL_CHARS))
created = st.sampled_from(["2025-01-15T10:30:00Z", "1970-01-01T00:00:00Z"])

payloads: st.SearchStrategy[Payload] = st.builds(
    FeedbackNew,
    id=st.uuids().map(str),
    transcript=cleaned,
    sentiment=sentiments,
    category=categories,
    summary=cleaned,
    emotion=st.none() | texts.map(lambda text: clean(text, MAX_EMOTION_CHARS)),
    intensity=st.sampled_from(["mild", "moderate", "strong", None]),
    is_testimonial_candidate=st.booleans(),
    page_url=page_urls,
    created_at=created,
) | st.builds(
    FeedbackWantsReply,
    id=st.uuids().map(str),
    user_email=texts.map(lambda text: clean(f"{text}@shop.example", 254)),
    wants_reply=st.just(value=True),
    transcript=cleaned,
    sentiment=sentiments,
    category=categories,
    summary=cleaned,
    page_url=page_urls,
    created_at=created,
)


def words_of(payload: Payload) -> tuple[str | None, ...]:
    """Return the free text, so that two bodies do not count as distinct for their id alone."""
    last = payload.emotion if isinstance(payload, FeedbackNew) else payload.user_email
    return payload.transcript, payload.summary, payload.page_url, last


def test_every_text_that_was_cleaned_is_accepted(receiver: Receiver) -> None:
    accepted: set[tuple[str | None, ...]] = set()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(payloads)
    def is_accepted(payload: Payload) -> None:
        assert receiver.post(serialise(payload), SECRET) == 200
        accepted.add(words_of(payload))

    is_accepted()
    assert len(accepted) >= MIN_BODIES


PAYLOAD = FeedbackNew(
    id="0b8f7e2c-4a53-4d0e-9c61-2f3d5a7b9c01",
    transcript='Schön! "Wirklich"\n\\o/ ✨\u2028',
    sentiment="positive",
    category="praise",
    summary=None,
    emotion=None,
    intensity="strong",
    is_testimonial_candidate=True,
    page_url="https://shop.example/",
    created_at="2025-01-15T10:30:00Z",
)
BODY = serialise(PAYLOAD)


def test_a_body_of_the_largest_size_is_accepted(receiver: Receiver) -> None:
    tail = b'","sentiment"'
    largest = BODY.replace(tail, b"x" * (MAX_BODY_BYTES - len(BODY)) + tail)
    assert len(largest) == MAX_BODY_BYTES
    assert receiver.post(largest, SECRET) == 200


def test_another_secret_is_refused(receiver: Receiver) -> None:
    assert receiver.post(BODY, OTHER) == 401


def test_a_webhook_without_a_signature_is_refused(receiver: Receiver) -> None:
    assert receiver.post_with({"Content-Type": CONTENT_TYPE}, BODY) == 401


@pytest.mark.parametrize("manner", REWRITING)
def test_during_a_rotation_the_secret_of_a_simple_receiver_has_to_stand_last(
    receivers: Callable[[str], Receiver], manner: str
) -> None:
    assert receivers(manner).post(BODY, OTHER, SECRET) == 200
    assert receivers(manner).post(BODY, SECRET, OTHER) == 401


@pytest.mark.parametrize("manner", RAW)
def test_during_a_rotation_the_others_take_any_body_with_the_secret_in_any_place(
    receivers: Callable[[str], Receiver], manner: str
) -> None:
    receiver = receivers(manner)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(payloads, st.permutations([SECRET, OTHER]))
    def is_accepted(payload: Payload, secrets: list[str]) -> None:
        assert receiver.post(serialise(payload), *secrets) == 200

    is_accepted()


@pytest.mark.parametrize("manner", REWRITING)
def test_the_ordinary_serialisation_of_python_would_be_refused_by_those_that_write_it_again(
    receivers: Callable[[str], Receiver], manner: str
) -> None:
    receiver = receivers(manner)
    tree = json.loads(BODY)
    assert receiver.post(json.dumps(tree).encode(), SECRET) == 401
    assert receiver.post(json.dumps(tree, separators=(",", ":")).encode(), SECRET) == 401


def test_one_flipped_bit_of_the_body_or_the_signature_is_refused(receiver: Receiver) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.data())
    def is_refused(data: st.DataObject) -> None:
        timestamp_s = int(time.time())
        header = signature.sign(BODY, timestamp_s, [SECRET])
        parts = [bytearray(BODY), bytearray(header.encode())]
        # In the header only the hexadecimal digits: other damage makes it malformed, which a simple receiver fails at.
        which, first = data.draw(st.sampled_from([(0, 0), (1, len(header) - 64)]))
        place = data.draw(st.integers(first, len(parts[which]) - 1))
        parts[which][place] ^= 1 << data.draw(st.integers(0, 7 if which == 0 else 2))
        headers = {"Content-Type": CONTENT_TYPE, signature.SIGNATURE_HEADER: parts[1].decode("latin-1")}
        assert receiver.post_with(headers, bytes(parts[0])) in {400, 401, 500}

    is_refused()
