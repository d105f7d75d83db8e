"""A real broker and who gives receipts there, for the tests of the uplink."""

from collections.abc import Iterator

import pytest

from benchmarks.private_broker import PrivateBroker, ReceiptingGateway


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    with PrivateBroker(tmp_path_factory.mktemp("broker") / "broker") as broker:
        yield broker


@pytest.fixture
def gateway(broker: PrivateBroker) -> Iterator[ReceiptingGateway]:
    with ReceiptingGateway(broker) as gateway:
        yield gateway
