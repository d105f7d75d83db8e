"""Thirty days offline, then a network: everything arrives in order while visitors are thanked as ever.

`VOISEBACK_OFFLINE_RECORDS` says how many records wait; `make offline-endurance` sets it to 10,000.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from benchmarks.private_broker import PrivateBroker, ReceiptingGateway
from benchmarks.uplink_drain import (
    BOOTED_S,
    CREDENTIALS,
    OFFLINE_S,
    SPOOL,
    VISITS_BEFORE,
    Drained,
    fill,
    in_process,
    percentile,
)
from contract import credentials as broker_credentials
from contract.messages import Feedback, Receipt

RECORDS = int(os.environ.get("VOISEBACK_OFFLINE_RECORDS", "1000"))
DRAINED_WITHIN_S = 120.0
COMMIT_MAX_MS = 250.0
"""A visitor is to be thanked within a second; this is the share of a commit that has to wait for the uplink's."""
GROWTH_MAX_KIB = 2_048

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def twice_sometimes(feedback: Feedback) -> list[Receipt]:
    return [Receipt(id=feedback.id, outcome="stored")] * (2 if feedback.sequence % 10 == 0 else 1)


def test_thirty_days_of_records_are_drained_in_order_in_flat_memory_while_visitors_are_thanked(tmp_path: Path) -> None:
    ids = fill(tmp_path / SPOOL, RECORDS)
    with PrivateBroker(tmp_path / "broker") as broker, ReceiptingGateway(broker, twice_sometimes) as gateway:
        broker_credentials.write(tmp_path / CREDENTIALS, broker.credentials())
        drained = msgspec.json.decode(in_process("drain", tmp_path, RECORDS), type=Drained)

    total = RECORDS + drained.added
    assert drained.added > VISITS_BEFORE
    assert drained.settled == total
    assert gateway.ids()[:RECORDS] == ids
    first = {feedback.id: feedback for feedback in reversed(gateway.came)}
    assert [first[id_].sequence for id_ in gateway.ids()] == list(range(1, total + 1))
    assert drained.seconds < DRAINED_WITHIN_S
    assert drained.connections == 1
    assert drained.stray_receipts > 0

    for number, id_ in enumerate(ids):
        visited = datetime.fromtimestamp(BOOTED_S + OFFLINE_S * number / RECORDS, UTC)
        assert abs((first[id_].created_at - visited).total_seconds()) < 0.001
        assert first[id_].clock == "synchronised"

    assert drained.final_rss_kib - drained.early_rss_kib < GROWTH_MAX_KIB
    assert percentile(drained.commits_meanwhile_ms, 99) < COMMIT_MAX_MS
    print(f"p50 and p99 of a commit while draining, against alone: {drained.ratio(50):.2f}, {drained.ratio(99):.2f}")
