"""The uplink over TLS to a real broker, through everything that networks and brokers do."""

import functools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from benchmarks.private_broker import KIOSK_ID, PrivateBroker, ReceiptingGateway
from contract import messages, topics
from contract.credentials import BrokerCredentials
from contract.messages import Feedback, Receipt, Status
from contract.topics import Channel
from device import connection, dialling
from device import uplink as uplink_module
from device.backoff import Backoff
from device.connection import KEEPALIVE_S, Connection, ConnectionHandler, noticed_within_s
from device.delivery import Window
from device.spool import Spool
from device.uplink import Uplink, UplinkEvent
from tests.device.clocks import SetClock
from tests.device.proxy import Proxy
from tests.device.records import a_record
from tests.gateway.support import raw_server, wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


class Kiosk:
    """A spool and an uplink, without the rest."""

    def __init__(self, folder: Path, credentials: BrokerCredentials, *, keepalive_s: int = KEEPALIVE_S) -> None:
        self.credentials = credentials
        self.spool = Spool(folder / "spool.sqlite3")
        self.events: list[UplinkEvent] = []
        self.numbers = iter(range(1, 1_000_000))

        def make_link(session: int, on_event: ConnectionHandler) -> Connection:
            return Connection(
                self.credentials, session=session, agent_version="0", on_event=on_event, keepalive_s=keepalive_s
            )

        self.uplink = Uplink(
            self.spool,
            SetClock(),
            kiosk=KIOSK_ID,
            make_link=make_link,
            on_event=self.events.append,
            start_number=self.spool.begin(),
            backoff=Backoff(first_s=0.1, ceiling_s=0.3, floor_s=0.05),
            refused_backoff=Backoff(first_s=0.1, ceiling_s=0.3, floor_s=0.05),
        )

    def says(self) -> str:
        name = f"00000000-0000-4000-8000-{next(self.numbers):012d}"
        self.spool.add(a_record(name))
        self.spool.release(name)
        self.uplink.wake()
        return name

    def wait_until_online(self, connections: int = 1) -> None:
        wait_until(lambda: self.uplink.stats().online and self.uplink.stats().connections >= connections, 30)

    def wait_for_reason(self, words: str) -> str:
        def reason() -> str | None:
            said = self.uplink.stats().reason
            return said if said is not None and words in said else None

        return wait_until(reason, 30)

    def wait_until_empty(self) -> None:
        wait_until(lambda: not self.spool.depth(), 30)

    def __enter__(self) -> "Kiosk":
        self.uplink.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.uplink.stop()
        self.spool.close()


def statuses(gateway: ReceiptingGateway) -> list[Status]:
    found = topics.topic(KIOSK_ID, Channel.STATUS)
    return [messages.decode(Status, payload) for topic, payload in list(gateway.others) if topic == found]


def test_a_silent_connection_is_noticed_within_half_a_minute_by_the_shipped_keepalive() -> None:
    assert noticed_within_s(KEEPALIVE_S) <= 30
    assert 1.5 * KEEPALIVE_S <= 30, "the broker's side"


def test_a_connection_that_goes_silent_is_noticed_in_time_and_everything_arrives_over_the_next(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    with Proxy(broker.port) as proxy, Kiosk(tmp_path, broker.credentials(port=proxy.port), keepalive_s=2) as kiosk:
        kiosk.wait_until_online()
        first = kiosk.says()
        kiosk.wait_until_empty()
        proxy.go_silent()
        silent_s = time.monotonic()
        second = kiosk.says()
        kiosk.wait_for_reason("Keep alive")
        assert time.monotonic() - silent_s <= noticed_within_s(2) + 0.5
        kiosk.wait_until_online(2)
        kiosk.wait_until_empty()
        assert gateway.ids() == [first, second]


def test_a_connection_that_is_reset_in_the_middle_loses_nothing_and_keeps_the_order(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    with Proxy(broker.port) as proxy, Kiosk(tmp_path, broker.credentials(port=proxy.port)) as kiosk:
        names = [kiosk.says() for _ in range(200)]
        for resets in range(1, 4):
            gateway.wait_for(lambda resets=resets: len(gateway.ids()) >= 50 * resets)  # type: ignore[misc]
            proxy.reset()
        kiosk.wait_until_empty()
        assert kiosk.uplink.stats().connections >= 2
        assert gateway.ids() == names


def test_a_broker_that_is_killed_between_its_acknowledgement_and_the_receipt_loses_nothing(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The gateway may be back after the kiosk: what is sent in between is lost, and sent again.
    monkeypatch.setattr(uplink_module, "Window", lambda: Window(timeout_s=1.0))
    gateway.answer = lambda _feedback: []
    with Kiosk(tmp_path, broker.credentials()) as kiosk:
        names = [kiosk.says() for _ in range(10)]
        gateway.wait_for(lambda: len(gateway.came) == 10)
        broker.kill()
        kiosk.wait_for_reason("")
        gateway.answer = lambda feedback: [Receipt(id=feedback.id, outcome="stored")]
        broker.start()
        kiosk.wait_until_empty()
        assert gateway.ids() == names
        assert [feedback.sequence for feedback in gateway.came[:10]] == list(range(1, 11))
        sessions = [status.session for status in statuses(gateway) if status.state == "online"]
        assert sessions == sorted(set(sessions))


def test_repeated_and_reordered_receipts_of_a_real_broker_are_harmless(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    waiting: list[Receipt] = []

    def answer(feedback: Feedback) -> list[Receipt]:
        """Answer every fifth time, backwards and twice, with one for nobody."""
        waiting.append(Receipt(id=feedback.id, outcome="stored"))
        if len(waiting) < 5:
            return []
        out = [*reversed(waiting), *waiting, Receipt(id="00000000-0000-4000-8000-999999999999", outcome="refused")]
        waiting.clear()
        return out

    gateway.answer = answer
    with Kiosk(tmp_path, broker.credentials()) as kiosk:
        names = [kiosk.says() for _ in range(50)]
        kiosk.wait_until_empty()
        wait_until(lambda: kiosk.uplink.stats().stray_receipts == 60)
        stats = kiosk.uplink.stats()
        assert (stats.stored, stats.refused, stats.connections) == (50, 0, 1)
        assert gateway.ids() == names


def test_a_broker_that_accepts_and_never_speaks_is_left_and_tried_again(
    tmp_path: Path, broker: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "dial", functools.partial(dialling.dial, handshake_timeout_s=0.3))
    release = threading.Event()
    with raw_server(lambda _sock: release.wait(30)) as port:
        credentials = broker.credentials(port=port)
        with Kiosk(tmp_path, credentials) as kiosk:
            kiosk.wait_for_reason("timed out")
            kiosk.credentials = broker.credentials()
            kiosk.wait_until_online()
        release.set()


def test_a_broker_that_never_answers_the_connect_is_left_and_tried_again(
    tmp_path: Path, broker: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "UP_TIMEOUT_S", 0.5)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(broker.folder / "server.pem", broker.folder / "server.key")
    release = threading.Event()

    def accept_only() -> None:
        with ExitStack() as stack:
            while not release.is_set():
                try:
                    sock, _ = listener.accept()
                    stack.enter_context(context.wrap_socket(sock, server_side=True))
                except (TimeoutError, OSError):
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        server = threading.Thread(target=accept_only)
        server.start()
        with Kiosk(tmp_path, broker.credentials(port=listener.getsockname()[1])) as kiosk:
            kiosk.wait_for_reason("accepted the connection but not the kiosk")
            kiosk.credentials = broker.credentials()
            monkeypatch.setattr(uplink_module, "UP_TIMEOUT_S", 15.0)
            kiosk.wait_until_online()
        release.set()
        server.join()


def test_a_resolver_that_hangs_holds_nothing_up_and_costs_one_thread(
    tmp_path: Path, broker: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    ask = socket.getaddrinfo

    def hang(*args: Any, **more: Any) -> Any:
        answer.wait(60)
        return ask(*args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(connection, "dial", functools.partial(dialling.dial, lookup_timeout_s=0.2))
    with Kiosk(tmp_path, broker.credentials()) as kiosk:
        kiosk.wait_for_reason("has not been looked up within")
        session = kiosk.uplink.stats().session
        time_before_s = time.monotonic()
        kiosk.says()
        assert time.monotonic() - time_before_s < 2
        wait_until(lambda: len([one for one in threading.enumerate() if one.name == "resolver"]) == 1)
        answer.set()
        kiosk.wait_until_online()
        assert kiosk.uplink.stats().session == session + 1


def test_a_name_that_does_not_exist_is_told_in_a_sentence(
    tmp_path: Path, broker: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_more: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with Kiosk(tmp_path, broker.credentials()) as kiosk:
        kiosk.wait_for_reason("the name localhost cannot be looked up: Name or service not known")


def test_a_broker_with_another_authoritys_certificate_gets_no_password(
    tmp_path: Path, broker: PrivateBroker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with PrivateBroker(tmp_path_factory.mktemp("other") / "broker") as other:
        wrong = structs.replace(broker.credentials(), port=other.port)
        with Kiosk(tmp_path, wrong) as kiosk:
            reason = kiosk.wait_for_reason("certificate verify failed")
            assert broker.credentials().password not in reason
            assert kiosk.uplink.stats().connections == 0
            kiosk.credentials = broker.credentials()
            kiosk.wait_until_online()


def test_a_broker_with_another_name_in_its_certificate_is_not_believed(
    tmp_path: Path, broker: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: ask("127.0.0.1", *rest, **more))
    with Kiosk(tmp_path, broker.credentials(host="shop.example")) as kiosk:
        kiosk.wait_for_reason("Hostname mismatch")
        assert kiosk.uplink.stats().connections == 0


def test_a_refused_credential_is_tried_until_it_is_let_in(
    tmp_path: Path, broker: PrivateBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, uplink_module.__name__)
    broker.stop()
    broker.refuse_kiosk(refused=True)
    broker.start()
    try:
        with Kiosk(tmp_path, broker.credentials()) as kiosk:
            kiosk.wait_for_reason("the broker refused the kiosk: Not authorized")
            wait_until(lambda: kiosk.uplink.stats().session >= 1_000_003)
            broker.refuse_kiosk(refused=False)
            broker.stop()
            broker.start()
            kiosk.wait_until_online()
            assert [line.levelname for line in caplog.records] == ["WARNING", "INFO"]
    finally:
        broker.stop()
        broker.refuse_kiosk(refused=False)
        broker.start()


# ------------------------------------------------------------ birth, will, health


def retained_status(broker: PrivateBroker) -> Status:
    """Ask as a gateway does that has just started."""
    with ReceiptingGateway(broker) as newcomer:
        newcomer.wait_for(lambda: bool(newcomer.others))
        return statuses(newcomer)[0]


def test_birth_and_will_carry_the_session_and_are_retained(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    with ExitStack() as network:
        proxy = network.enter_context(Proxy(broker.port))
        with Kiosk(tmp_path, broker.credentials(port=proxy.port)) as kiosk:
            kiosk.wait_until_online()
            session = kiosk.uplink.stats().session
            born = Status(kiosk=KIOSK_ID, state="online", session=session, agent_version="0", address="127.0.0.1")
            gateway.wait_for(lambda: born in statuses(gateway))
            assert retained_status(broker) == born
            network.close()
            will = structs.replace(born, state="offline", address=None)
            gateway.wait_for(lambda: will in statuses(gateway))
            assert retained_status(broker) == will


def test_a_kiosk_that_stops_says_so_itself_behind_all_that_it_sent(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    gateway.answer = lambda _feedback: []
    with Kiosk(tmp_path, broker.credentials()) as kiosk:
        kiosk.wait_until_online()
        session = kiosk.uplink.stats().session
        for _ in range(Window().size + 5):
            kiosk.says()
        gateway.wait_for(lambda: len(gateway.came) == Window().size)
        kiosk.uplink.stop()
        gateway.wait_for(lambda: (statuses(gateway)[-1].state, statuses(gateway)[-1].session) == ("offline", session))


def test_the_will_of_a_connection_that_the_broker_still_believes_in_cannot_follow_the_next_birth(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    with Proxy(broker.port) as proxy, Kiosk(tmp_path, broker.credentials(port=proxy.port), keepalive_s=2) as kiosk:
        kiosk.wait_until_online()
        old = kiosk.uplink.stats().session
        proxy.go_silent()
        kiosk.wait_until_online(2)
        new = kiosk.uplink.stats().session
        assert new > old
        # Long enough for the broker to miss one and a half keep-alives of the old connection, if it still held it.
        end_s = time.monotonic() + 4
        while time.monotonic() < end_s:
            status = retained_status(broker)
            assert (status.state, status.session) == ("online", new)


def test_sessions_rise_over_restarts_of_the_agent(tmp_path: Path, broker: PrivateBroker) -> None:
    sessions = []
    for _ in range(3):
        with Kiosk(tmp_path, broker.credentials()) as kiosk:
            kiosk.wait_until_online()
            sessions.append(kiosk.uplink.stats().session)
    assert sessions == sorted(set(sessions))


def test_health_goes_over_the_connection_that_is_there(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    health = topics.topic(KIOSK_ID, Channel.HEALTH)
    with Kiosk(tmp_path, broker.credentials()) as kiosk:
        kiosk.wait_until_online()
        kiosk.uplink.send_health(b"well")
        gateway.wait_for(lambda: (health, b"well") in gateway.others)


def test_a_kiosk_that_stops_in_the_middle_of_a_silent_connection_does_not_hang(
    tmp_path: Path, broker: PrivateBroker
) -> None:
    with Proxy(broker.port) as proxy, Kiosk(tmp_path, broker.credentials(port=proxy.port)) as kiosk:
        kiosk.wait_until_online()
        proxy.go_silent()
        for _ in range(40):
            kiosk.says()
        began_s = time.monotonic()
        kiosk.uplink.stop()
        assert time.monotonic() - began_s < connection.GOODBYE_TIMEOUT_S + 3
        wait_until(lambda: not any("paho" in thread.name for thread in threading.enumerate()))


def test_three_hundred_tries_in_vain_leave_no_thread_and_no_file_open(tmp_path: Path, broker: PrivateBroker) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with Kiosk(tmp_path, broker.credentials(port=closed.getsockname()[1])) as kiosk:
            opened = 0

            def make_link(session: int, on_event: ConnectionHandler) -> Connection:
                nonlocal opened
                opened += 1
                return Connection(kiosk.credentials, session=session, agent_version="0", on_event=on_event)

            kiosk.uplink._make_link = make_link
            kiosk.uplink._backoff = Backoff(first_s=0, ceiling_s=0, floor_s=0)
            early_threads, early_files = _in_use_after(lambda: opened > 20)
            threads, files = _in_use_after(lambda: opened > 320)
            assert threads <= early_threads + 1
            assert files <= early_files + 5


def _in_use_after(condition: Callable[[], bool]) -> tuple[int, int]:
    wait_until(condition, 60)
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
