"""Fixtures of the gateway's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from gateway import configuration
from gateway.configuration import DatabaseSettings
from gateway.kiosks.models import Kiosk
from gateway.webhooks.secrets import SecretBox, open_box
from tests.gateway.postgresql import PostgresServer, connected_to, migrate
from tests.gateway.support import Receiver, Shell, make_kiosk


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    return open_box(tmp_path)


@pytest.fixture
def shop(db: None) -> Kiosk:
    return make_kiosk("shop-1")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests; quick, and not durable."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_tables(postgres: PostgresServer, django_db_blocker: DjangoDbBlocker) -> DatabaseSettings:
    """The settings of a database in it that has the gateway's tables."""
    settings = postgres.settings("conformance")
    with django_db_blocker.unblock():
        migrate(settings)
    return settings


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs once on SQLite and once on PostgreSQL; to be asked for before `db`."""
    if request.param == "sqlite":
        yield request.param
        return
    settings = request.getfixturevalue("postgres_tables")
    blocker = request.getfixturevalue("django_db_blocker")
    request.getfixturevalue("django_db_setup")
    with blocker.unblock():
        change = connected_to(settings)
        change.__enter__()
    yield request.param
    with blocker.unblock():
        change.__exit__(None, None, None)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr(configuration, "_active", None)
    return Shell(tmp_path, capsys)
