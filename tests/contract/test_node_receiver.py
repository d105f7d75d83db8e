"""The webhook against a real receiver: Node.js with Express, which verifies over the body as it wrote it again."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
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

pytestmark = pytest.mark.servers

FOLDER = Path(__file__).resolve().parent.parent / "webhook_receiver"
SECRET = "s3cr3t-ü-of-the-receiver"
OTHER = "another-secret-altogether"
MIN_BODIES = 500
EXAMPLES = 1_000
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


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    node = shutil.which("node")
    if node is None:
        pytest.fail("there is no `node` in PATH: install Node.js 18 or later")
    if not (FOLDER / "node_modules" / "express").is_dir():
        pytest.fail("the receiver's packages are missing: run `npm ci --prefix tests/webhook_receiver`")
    process = subprocess.Popen(
        [node, str(FOLDER / "server.mjs")],
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


def test_during_a_rotation_the_receivers_secret_has_to_stand_last(receiver: Receiver) -> None:
    assert receiver.post(BODY, OTHER, SECRET) == 200
    assert receiver.post(BODY, SECRET, OTHER) == 401


def test_the_ordinary_serialisation_of_python_would_be_refused(receiver: Receiver) -> None:
    tree = json.loads(BODY)
    assert receiver.post(json.dumps(tree).encode(), SECRET) == 401
    assert receiver.post(json.dumps(tree, separators=(",", ":")).encode(), SECRET) == 401


def test_one_changed_byte_is_refused(receiver: Receiver) -> None:
    @settings(max_examples=100, deadline=None, database=None)
    @given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
    def is_refused(place: int, change: int) -> None:
        timestamp_s = int(time.time())
        headers = {
            "Content-Type": CONTENT_TYPE,
            signature.SIGNATURE_HEADER: signature.sign(BODY, timestamp_s, [SECRET]),
        }
        changed = bytearray(BODY)
        changed[place] ^= change
        assert receiver.post_with(headers, bytes(changed)) in {400, 401}

    is_refused()
