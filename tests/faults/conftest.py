"""A running gateway that knows one kiosk."""

from collections.abc import Iterator

import pytest

from tests.gateway.support import GatewayProcess


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"))
    gateway.add_kiosk("shop-1")
    gateway.start()
    yield gateway
    gateway.stop()
