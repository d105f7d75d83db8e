"""Roles as processes of their own, over PostgreSQL and a broker that the gateway did not start."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connections

from contract.credentials import BrokerCredentials
from gateway import database
from gateway.feedback.models import Feedback
from gateway.loop import Loop
from gateway.wakeups import Wakeups, Work
from tests.gateway.external_broker import PASSWORD, ExternalBroker
from tests.gateway.postgresql import PostgresServer
from tests.gateway.support import GatewayProcess, KioskClient, Receiver, feedback_message, wait_until
from tests.gateway.test_gateway_servers import connected

TABLE = Feedback._meta.db_table


def test_who_listens_in_another_process_is_woken(each_database: str, transactional_db: None) -> None:
    here, there = Wakeups(), Wakeups()
    woken = threading.Event()
    there.hear(Work.DELIVER, woken.set)
    if not database.is_postgresql():
        here.tell(Work.DELIVER)
        return
    loop = Loop("listen", there.turn, at_end=connections.close_all)
    loop.start()
    assert woken.wait(10)
    woken.clear()
    here.tell(Work.ANALYSE)
    here.tell(Work.DELIVER)
    assert woken.wait(10)
    loop.ask_to_stop()
    assert loop.join(10)


@pytest.mark.parametrize("each_database", [pytest.param("postgresql", marks=pytest.mark.servers)], indirect=True)
def test_a_listener_whose_connection_is_cut_listens_again(
    each_database: str, transactional_db: None, postgres: PostgresServer
) -> None:
    wakeups = Wakeups()
    calls = threading.Semaphore(0)
    wakeups.hear(Work.ANALYSE, calls.release)
    loop = Loop("listen", wakeups.turn, at_end=connections.close_all)
    loop.start()
    assert calls.acquire(timeout=10)
    postgres.query("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    assert calls.acquire(timeout=10)
    loop.ask_to_stop()
    assert loop.join(10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ExternalBroker]:
    with ExternalBroker(tmp_path) as made:
        yield made


def process(folder: Path, broker: ExternalBroker, table: str, *roles: str) -> GatewayProcess:
    folder.mkdir(exist_ok=True)
    return GatewayProcess(folder, extra=f"{table}{broker.settings}", roles=roles)


def add_kiosk(gateway: GatewayProcess, broker: ExternalBroker, name: str) -> BrokerCredentials:
    path = gateway.folder / f"{name}.toml"
    told = gateway.cli("kiosk", "add", name, "--credentials", str(path)).stdout
    assert f"give the broker the user {name}" in told
    return broker.admit(path)


def send_until_receipted(kiosk: KioskClient, count: int) -> set[str]:
    """Send feedback and, as a kiosk does, what has no receipt again; return the ids when each has one."""
    sent = {message.id: message for message in (feedback_message(sequence=number + 1) for number in range(count))}
    for message in sent.values():
        kiosk.send(message)

    def receipted() -> bool:
        missing = [key for key in sent if not kiosk.receipts(key)]
        for key in missing:
            kiosk.send(sent[key])
        return not missing

    wait_until(receipted, 60)
    assert all(receipt.outcome == "stored" for key in sent for receipt in kiosk.receipts(key))
    return set(sent)


@pytest.mark.servers
def test_several_processes_share_the_work_and_one_may_die_over_it(
    tmp_path: Path, postgres: PostgresServer, broker: ExternalBroker, receiver: Receiver
) -> None:
    url, password = postgres.url("roles"), postgres.password_file
    table = f'[database]\nurl = "{url}"\npassword_file = "{password}"\n'
    shared = process(tmp_path / "shared", broker, table, "analyse")
    access = add_kiosk(shared, broker, "shop-1")
    shared.cli("endpoint", "add", "hook", receiver.url, "--generate-secret", str(tmp_path / "secret"))
    deliver = process(tmp_path / "shared", broker, table, "deliver")
    ingest = [process(tmp_path / f"ingest-{number}", broker, table, "ingest") for number in range(2)]
    with ExitStack() as stack:
        for each in (shared, deliver, *ingest):
            each.start()
            stack.callback(each.kill)
        for each in ingest:
            wait_until(lambda each=each: each.logged("subscribed to the broker"))  # type: ignore[misc]
        with connected(access) as kiosk:
            sent = send_until_receipted(kiosk, 30)
            took = [len(each.logged("feedback stored")) for each in ingest]
            assert min(took) > 0, took
            ingest[0].kill()
            sent |= send_until_receipted(kiosk, 10)
        wait_until(lambda: len(receiver.requests) == len(sent))
        names = postgres.query("roles", "SELECT name FROM feedback_subscriptiongroup")
        for each in (shared, deliver, ingest[1]):
            assert each.stop() == 0
            text = each.log_file.read_text()
            assert PASSWORD not in text
            assert names[0][0] not in text
    assert {row[0] for row in postgres.query("roles", f"SELECT id FROM {TABLE}")} == sent
    assert len(names) == 1


@pytest.mark.servers
def test_a_broker_that_is_away_at_the_start_is_waited_for(tmp_path: Path, broker: ExternalBroker) -> None:
    broker.kill()
    gateway = process(tmp_path / "gateway", broker, "")
    gateway.start()
    wait_until(lambda: gateway.logged("no connection to the broker; trying again until there is one"))
    broker.start()
    wait_until(lambda: gateway.logged("connected to the broker again"))
    assert gateway.stop() == 0


@pytest.mark.servers
def test_an_unreadable_file_of_the_broker_is_one_sentence(tmp_path: Path, broker: ExternalBroker) -> None:
    for file, words in ((broker.password_file, "password_file"), (tmp_path / "tls" / "ca.pem", "ca_file")):
        gateway = process(tmp_path / "gateway", broker, "")
        kept = file.rename(f"{file}.kept")
        done = gateway.cli("run", check=False)
        kept.rename(file)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.servers
def test_two_processes_on_one_sqlite_file_are_refused(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, roles=("analyse",))
    gateway.start()
    done = gateway.cli("run", "--role", "deliver", check=False)
    assert gateway.stop() == 0
    assert done.returncode == 1
    assert "another gateway runs" in done.stderr
