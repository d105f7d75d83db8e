"""One press becomes a verified webhook."""

import hashlib
import hmac
import json
import time
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from demo.happenings import Happening
from demo.sentences import SENTENCES, SPEECH
from demo.store import Store
from gateway.analysis.embedded import embedded_engine
from tests.conftest import MakeStore

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

WAIT_S = 40.0
WAV = SPEECH / "flowers.wav"
WORDS = SENTENCES[WAV]


def one_visit(store: Store) -> tuple[str, int]:
    """Press, speak, and wait until all is done; return the feedback's id and where its happenings begin."""
    mark = store.visit(WAV)
    visit: str = store.happenings.wait_for("receiver", "webhook", since=mark, timeout_s=WAIT_S).fields["feedback"]
    store.happenings.wait_for("kiosk", "receipt", visit=visit, since=mark, timeout_s=WAIT_S)
    store.happenings.wait_for("gateway", "webhook delivered", feedback=visit, since=mark, timeout_s=WAIT_S)
    return visit, mark


def expected_body(visit: str, created_at: str) -> bytes:
    analysis = embedded_engine().analyse(WORDS)

    def quoted(value: str | None) -> str:
        return "null" if value is None else f'"{value}"'

    return (
        '{"event":"feedback.new","feedback":{'
        f'"id":"{visit}",'
        f'"transcript":"{WORDS}",'
        f'"sentiment":{quoted(analysis.sentiment)},'
        f'"category":{quoted(analysis.category)},'
        f'"summary":{quoted(analysis.summary)},'
        f'"emotion":{quoted(analysis.emotion)},'
        f'"intensity":{quoted(analysis.intensity)},'
        f'"is_testimonial_candidate":{str(analysis.is_testimonial_candidate).lower()},'
        '"page_url":"https://localhost/k/front-door",'
        f'"created_at":"{created_at}"'
        "}}"
    ).encode()


def check_signature(headers: dict[str, str], body: bytes, secret: str) -> None:
    """Recompute the signature from the description alone, without the product's code."""
    timestamp = headers["Webhook-Timestamp"]
    assert timestamp.isdecimal()
    assert abs(time.time() - int(timestamp)) < 60
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["Webhook-Signature"] == f"t={timestamp},v1={mac}"


def check_order(store: Store, visit: str, mark: int) -> None:
    def first(source: str, name: str, **fields: Any) -> Happening:
        return store.happenings.find(source, name, since=mark, **fields)[0]

    on_the_kiosk = [
        first("kiosk", "pressed", button="record"),
        first("kiosk", "scene", scene="recording", visit=visit),
        first("kiosk", "first_sound", visit=visit),
        first("kiosk", "scene", scene="finishing", visit=visit),
        first("kiosk", "heard", visit=visit, text=WORDS),
        first("kiosk", "committed", visit=visit),
        first("kiosk", "scene", scene="thanks", visit=visit),
        first("kiosk", "scene", scene="idle"),
        first("kiosk", "receipt", visit=visit, stored=True),
    ]
    beyond = [
        first("kiosk", "committed", visit=visit),
        first("gateway", "feedback stored", feedback=visit),
        first("gateway", "feedback analysed", feedback=visit),
        first("receiver", "webhook", feedback=visit),
    ]
    # Speech activity and the recogniser hear side by side: either may be the first to say so.
    words = [
        first("kiosk", "scene", scene="recording", visit=visit),
        first("kiosk", "partial", visit=visit),
        first("kiosk", "heard", visit=visit, text=WORDS),
    ]
    for way in (on_the_kiosk, words, beyond):
        for earlier, later in pairwise(way):
            # Times are told in milliseconds by the gateway's log.
            assert earlier.at <= later.at + 0.001, f"{earlier.name} is not before {later.name}"
    panel = [one.fields["scene"] for one in store.happenings.find("panel", "scene", since=mark)]
    assert panel[:4] == ["recording", "finishing", "thanks", "idle"]


def test_one_press_becomes_a_verified_webhook(make_store: MakeStore) -> None:
    store = make_store()
    store.start()
    visit, mark = one_visit(store)

    webhooks = store.happenings.find("receiver", "webhook", since=mark)
    assert len(webhooks) == 1
    webhook = webhooks[0].fields
    assert webhook["verified"]
    assert not webhook["repeated"]
    body = webhook["body"].encode()
    created_at = json.loads(body)["feedback"]["created_at"]
    assert body == expected_body(visit, created_at)
    pressed = store.happenings.wait_for("kiosk", "pressed", since=mark, timeout_s=WAIT_S)
    assert 0 <= pressed.at - datetime.fromisoformat(created_at).timestamp() < 2

    headers = webhook["headers"]
    assert headers["Content-Type"] == "application/json"
    assert headers["Webhook-Id"] == webhook["webhook_id"]
    check_signature(headers, body, store.secret_file.read_text().strip())
    check_order(store, visit, mark)
    assert store.spooled() == []


def test_what_the_visitor_takes_back_never_leaves_the_kiosk(make_store: MakeStore) -> None:
    store = make_store(thanks_s=5.0)
    store.start()
    mark = store.visit(WAV)
    store.happenings.wait_for("panel", "scene", scene="thanks", since=mark, timeout_s=WAIT_S)
    store.press("cancel")
    store.happenings.wait_for("panel", "scene", scene="discarded", since=mark, timeout_s=WAIT_S)
    assert store.spooled() == []
    taken_back = store.happenings.wait_for("kiosk", "taken_back", since=mark, timeout_s=WAIT_S).fields["visit"]

    visit, _ = one_visit(store)
    assert visit != taken_back
    assert {one.fields["feedback"] for one in store.happenings.find("receiver", "webhook")} == {visit}


def test_words_are_in_no_log(make_store: MakeStore) -> None:
    store = make_store()
    store.start()
    one_visit(store)
    for name in ("kiosk", "gateway"):
        log = (store.folder / "logs" / f"{name}.log").read_text()
        assert log
        assert "flowers" not in log
        assert store.secret_file.read_text().strip() not in log
