"""Health by part, metrics for Prometheus, and the trace of one feedback."""

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import pytest

from contract.topics import Channel
from gateway.errors import GatewayError
from gateway.feedback.models import Feedback
from gateway.kiosks.models import Kiosk
from gateway.loop import Loop
from gateway.monitoring import health, metrics, server
from gateway.monitoring.health import Health
from gateway.monitoring.server import MAX_REQUESTS, Monitor
from gateway.webhooks.models import Endpoint
from tests.gateway.support import (
    NOW,
    GatewayProcess,
    Receiver,
    Shell,
    feedback_message,
    kill,
    make_kiosk,
    reply_message,
    wait_until,
)
from tests.gateway.test_gateway_outbox import enqueue
from tests.gateway.test_gateway_servers import connected

_SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"\})? [-+0-9.e]+$')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextmanager
def served(look: Callable[[], Health], text: Callable[[], str] = lambda: "") -> Iterator[int]:
    port = free_port()
    loop = Loop("monitor", Monitor("127.0.0.1", port, health=look, metrics=text).turn, at_end=lambda: None)
    loop.start()

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    wait_until(answers)
    try:
        yield port
    finally:
        loop.ask_to_stop()
        assert loop.join(10)


def samples(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            assert _SAMPLE.match(line), line
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def test_health_names_each_part_and_what_is_wrong_with_it() -> None:
    def broken() -> str | None:
        raise RuntimeError("with a secret")

    parts: dict[str, health.Look] = {"good": lambda: None, "bad": lambda: "it waits", "broken": broken}
    with served(lambda: health.look(parts)) as port:
        status, text = get(port, "/healthz")
        assert status == 503
        assert json.loads(text) == {
            "ok": False,
            "parts": {
                "good": {"ok": True},
                "bad": {"ok": False, "problem": "it waits"},
                "broken": {"ok": False, "problem": "it cannot be looked at: RuntimeError"},
            },
        }
        del parts["bad"], parts["broken"]
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/elsewhere")[0] == 404


def test_slow_clients_hold_no_more_than_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.5)
    with served(lambda: Health({})) as port, ExitStack() as stack:
        for _ in range(MAX_REQUESTS + 3):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)).sendall(b"GET /healthz HTTP/1.1\r\n")

        def answers() -> bool:
            try:
                return get(port, "/healthz")[0] == 200
            except OSError:
                return False

        wait_until(answers)


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monitor = Monitor("127.0.0.1", taken.getsockname()[1], health=lambda: Health({}), metrics=str)
        with pytest.raises(GatewayError, match="--monitoring-port"):
            monitor.turn(threading.Event())


def test_a_part_says_that_it_fails_and_that_it_hangs() -> None:
    act: list[Callable[[], None]] = [lambda: None]
    release = threading.Event()

    def fail() -> None:
        raise GatewayError("it waits for something")

    def hang() -> None:
        release.wait(30)

    loop = Loop("part", lambda stop: (act[0](), stop.wait(0.01))[0], at_end=lambda: None, longest_s=0.3)
    loop.start()
    wait_until(lambda: loop.problem() is None)
    act[0] = fail
    wait_until(lambda: loop.problem() == "it waits for something")
    act[0] = lambda: None
    wait_until(lambda: loop.problem() is None)
    act[0] = hang
    wait_until(lambda: "not moved" in (loop.problem() or ""))
    assert loop.hangs
    release.set()
    loop.ask_to_stop()
    assert loop.join(10)
    assert loop.problem() == "its thread has ended"


def test_labels_and_help_cannot_break_the_format() -> None:
    text = metrics.render([metrics.by("x", "gauge", "one\ntwo", "part", {'a"b\\c\nd': 1})])
    assert text == '# HELP voiseback_x one\\ntwo\n# TYPE voiseback_x gauge\nvoiseback_x{part="a\\"b\\\\c\\nd"} 1\n'


def test_the_metrics_count_what_waits(each_database: str, shop: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    # The test's own connection has to outlive the look.
    monkeypatch.setattr(metrics, "own_connection", nullcontext)
    Endpoint.objects.create(name="hook", url="https://example.org/", created_at=NOW)
    enqueue()
    found = samples(metrics.render(metrics.of_database(NOW)))
    assert found["voiseback_feedback_waiting"] == Feedback.objects.count() == 1
    assert found["voiseback_deliveries_due"] == found["voiseback_deliveries_pending"] == 1
    assert found['voiseback_kiosks{state="offline"}'] == 1
    assert found["voiseback_quarantine_entries"] == 0


@pytest.mark.servers
def test_a_running_gateway_tells_how_it_is_and_a_trace_tells_what_happened(tmp_path: Path, receiver: Receiver) -> None:
    port = free_port()
    gateway = GatewayProcess(tmp_path, extra="retry_delays_s = [1]\n", port=port)
    access = gateway.add_kiosk("shop-1")
    gateway.cli("endpoint", "add", "hook", receiver.url)
    receiver.answers = [(500, {})]
    gateway.start()
    message = feedback_message(transcript="unmistakable words")
    with connected(access) as kiosk:
        kiosk.send(message)
        kiosk.send(reply_message(message.id, user_email="unmistakable@example.org"), Channel.REPLY)
        kiosk.publish(f"voiseback/v1/kiosks/shop-1/{Channel.FEEDBACK}", f'{{"id":"{message.id}"}}'.encode())
        wait_until(lambda: len(receiver.requests) == 3)
    wait_until(lambda: len(gateway.logged("webhook delivered")) == 2)
    status, text = get(port, "/healthz")
    assert (status, json.loads(text)["ok"]) == (200, True)
    parts = {"database", "broker", "subscribe", "commit", "disk", "analyse", "deliver", "retention"}
    assert parts <= set(json.loads(text)["parts"])
    found = samples(get(port, "/metrics")[1])
    assert found['voiseback_messages_total{outcome="stored"}'] == 2
    assert found['voiseback_messages_total{outcome="refused"}'] == 1
    assert found["voiseback_quarantine_entries"] == 1
    assert found["voiseback_commits_total"] >= 1
    assert found['voiseback_part_up{part="broker"}'] == 1
    kill(gateway.broker_pid)
    wait_until(lambda: get(port, "/healthz")[0] == 503)
    wait_until(lambda: get(port, "/healthz")[0] == 200, 30)

    told = gateway.cli("trace", message.id).stdout
    assert "unmistakable" not in told
    steps = [json.loads(line) for line in gateway.cli("trace", message.id, "--json").stdout.splitlines()]
    tried = [(step["event"], step["status"]) for step in steps if step["what"] == "webhook attempted"]
    assert tried == [("feedback.new", 500), ("feedback.new", 200), ("feedback.wants_reply", 200)]
    assert sum(step["what"] == "webhook delivered" for step in steps) == 2
    assert {"analysed", "an e-mail address came in", "a message with this id was refused"} <= {s["what"] for s in steps}
    gateway.cli("erase", "--feedback", message.id)
    (only,) = gateway.cli("trace", message.id, "--json").stdout.splitlines()
    assert json.loads(only)["what"] == "erased"
    assert gateway.stop() == 0


@pytest.mark.django_db(transaction=True)
def test_of_an_unknown_id_the_trace_says_so(shell: Shell) -> None:
    make_kiosk("shop-1")
    assert "still on its kiosk" in shell.fails("trace", feedback_message().id)
    assert "no feedback id" in shell.fails("trace", "17", status=2)
