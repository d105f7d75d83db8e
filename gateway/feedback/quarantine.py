"""What became of the refused: looked at without the visitors' words, taken again, or dropped."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from contract.messages import MAX_MESSAGE_BYTES, Feedback, Reply, Status
from gateway.errors import GatewayError
from gateway.feedback import ingest, store
from gateway.feedback.ingest import Arrival, Refused
from gateway.feedback.models import Quarantine
from gateway.kiosks import registry

_KEYS = frozenset(key for kind in (Feedback, Reply, Status) for key in kind.__struct_fields__)
_HIDDEN = frozenset({"transcript", "words", "user_email", "address"})
"""Keys whose values are somebody's."""

_MAX_TOLD_CHARS = 64


def get(numbers: Iterable[int]) -> list[Quarantine]:
    """Return the entries of these numbers.

    Raises:
        GatewayError: there is none of one of them.
    """
    wanted = list(dict.fromkeys(numbers))
    found = Quarantine.objects.in_bulk(wanted)
    missing = next((number for number in wanted if number not in found), None)
    if missing is not None:
        raise GatewayError(
            f"there is no entry {missing} in the quarantine; `kiosk-gateway quarantine list` shows those there are"
        )
    return [found[number] for number in wanted]


def select(kiosk: str | None, before: datetime | None = None) -> QuerySet[Quarantine]:
    """Return the entries of a kiosk, or of all, that came last before a time; the oldest first."""
    rows = Quarantine.objects.order_by("received_at", "pk")
    if kiosk is not None:
        rows = rows.filter(kiosk=kiosk)
    return rows if before is None else rows.filter(last_received_at__lt=before)


def drop(number: int) -> None:
    """Delete an entry, if it is still there."""
    Quarantine.objects.filter(pk=number).delete()


def without_words(raw: bytes) -> str:
    """Return what a message looks like, as JSON, with lengths in the place of everything that somebody may have said.

    What is no JSON is told by its length alone.
    """
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError):
        return f"{len(raw)} bytes that are no JSON"
    return json.dumps(_hide(tree), ensure_ascii=True, indent=2)


def _hide(tree: Any) -> object:
    if not isinstance(tree, dict):
        return _length(tree)
    return {
        key if key in _KEYS else _length(key): value if _is_told(key, value) else _length(value)
        for key, value in tree.items()
    }


def _is_told(key: str, value: object) -> bool:
    return key in _KEYS - _HIDDEN and _is_short(value)


def _is_short(value: object) -> bool:
    return isinstance(value, bool | int | float | None) or (isinstance(value, str) and len(value) <= _MAX_TOLD_CHARS)


def _length(value: object) -> str:
    if isinstance(value, str):
        return f"<{len(value)} characters>"
    if isinstance(value, list):
        return f"<{len(value)} items>"
    if isinstance(value, dict):
        return f"<object of {len(value)}>"
    return f"<{type(value).__name__}>"


def replay(entry: Quarantine, payload: bytes | None = None) -> str | None:
    """Take a message again, as it came or put right; return why it is refused again, or None: it is stored.

    What is stored leaves the quarantine in the same transaction.

    Args:
        entry: the message.
        payload: what it should have been.
    """
    if payload is None and entry.raw_bytes > MAX_MESSAGE_BYTES:
        return "only its beginning was kept"
    arrival = Arrival(entry.topic, bytes(entry.raw) if payload is None else payload, entry.received_at)
    verdict = ingest.judge(arrival, set(registry.admitted().values_list("pk", flat=True)))
    if isinstance(verdict, Refused):
        return verdict.reason
    with transaction.atomic():
        (answer,) = store.commit([arrival])
        if answer is not None and answer.receipt.outcome != "stored":
            # It has been quarantined once more within, which is taken back.
            transaction.set_rollback(True)
            return answer.receipt.reason or "refused"
        entry.delete()
    return None
