"""The real gateway on a real PostgreSQL server, each in processes of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.feedback.models import Feedback
from tests.gateway.postgresql import PASSWORD, PostgresServer
from tests.gateway.support import GatewayProcess, KioskClient, Receiver, feedback_message, wait_until
from tests.gateway.test_gateway_servers import connected, wait_briefly

pytestmark = pytest.mark.servers

TABLE = Feedback._meta.db_table


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of its own, durable as in production, to be stopped and killed."""
    with PostgresServer(durable=True) as made:
        yield made


def database_table(server: PostgresServer, name: str) -> str:
    return f'[database]\nurl = "{server.url(name)}"\npassword_file = "{server.password_file}"\n'


def stored(server: PostgresServer, name: str) -> set[str]:
    return {row[0] for row in server.query(name, f"SELECT id FROM {TABLE}")}


def send_until_receipted(kiosk: KioskClient, number: int) -> str:
    """Send one feedback as a kiosk does, again and again until its receipt; return its id."""
    message = feedback_message(sequence=number)

    def attempt() -> bool:
        kiosk.send(message)
        return wait_briefly(kiosk, message.id)

    wait_until(attempt, 40)
    assert kiosk.receipts(message.id)[0].outcome == "stored"
    return message.id


def test_everything_works_on_postgresql_and_outlives_a_crash_of_the_server(
    tmp_path: Path, server: PostgresServer, receiver: Receiver
) -> None:
    gateway = GatewayProcess(tmp_path, extra=database_table(server, "shop"))
    access = gateway.add_kiosk("shop-1")
    gateway.cli("endpoint", "add", "hook", receiver.url)
    gateway.start()
    assert not (gateway.state / "gateway.sqlite3").exists()
    with connected(access) as kiosk:
        first = send_until_receipted(kiosk, 1)
        server.stop(kill=True)
        lost = feedback_message(sequence=2)
        kiosk.send(lost)
        wait_until(lambda: gateway.logged("commit failed and goes on after a pause"))
        assert not kiosk.receipts(lost.id)
        server.start()
        second = send_until_receipted(kiosk, 3)
        assert kiosk.wait_for_receipt(lost.id).outcome == "stored"
    assert stored(server, "shop") == {first, lost.id, second}
    wait_until(lambda: len(receiver.requests) == 3, 40)
    assert gateway.stop() == 0


def test_the_password_is_neither_in_the_log_nor_in_the_arguments_nor_in_an_error(
    tmp_path: Path, server: PostgresServer
) -> None:
    gateway = GatewayProcess(tmp_path, extra=database_table(server, "shop"))
    gateway.start()
    arguments = Path(f"/proc/{gateway.pid}/cmdline").read_bytes()
    assert gateway.stop() == 0
    assert PASSWORD not in (gateway.folder / "log").read_text()
    assert PASSWORD.encode() not in arguments
    server.stop()
    done = gateway.cli("kiosk", "list", check=False)
    assert done.returncode == 1
    assert "shop on 127.0.0.1 cannot be used" in done.stderr
    assert done.stderr.count("\n") == 1
    assert PASSWORD not in done.stderr


def test_a_wrong_password_and_a_missing_file_are_one_sentence_each(tmp_path: Path, postgres: PostgresServer) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password\n")
    url = postgres.url("closed")
    for file, words in ((wrong, "password authentication failed"), (tmp_path / "none", "cannot be read")):
        gateway = GatewayProcess(tmp_path, extra=f'[database]\nurl = "{url}"\npassword_file = "{file}"\n')
        done = gateway.cli("kiosk", "list", check=False)
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_server_that_may_lose_what_it_has_committed_is_warned_of(tmp_path: Path, postgres: PostgresServer) -> None:
    gateway = GatewayProcess(tmp_path, extra=database_table(postgres, "careless"))
    gateway.start()
    (line,) = gateway.logged(
        "the database server may lose what it has committed when its power fails; set fsync and full_page_writes"
    )
    assert line["fsync"] == "off"
    assert gateway.stop() == 0
