"""Fixtures of the gateway's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.kiosks.models import Kiosk
from gateway.webhooks.secrets import SecretBox, open_box
from tests.gateway.support import Receiver, make_kiosk


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
