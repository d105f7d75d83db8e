"""How an endpoint stands, as its row in the database keeps it."""

from gateway.webhooks.models import Endpoint
from gateway.webhooks.standing import Standing


def of(endpoint: Endpoint) -> Standing:
    """Return how ``endpoint`` stands."""
    return Standing(
        failing_since=endpoint.failing_since,
        failures=endpoint.failures,
        silences=endpoint.silences,
        paused_until=endpoint.paused_until,
        warned_at=endpoint.warned_at,
    )


def columns(after: Standing) -> dict[str, object]:
    """Return what is written to an endpoint's row."""
    return {
        "failing_since": after.failing_since,
        "failures": after.failures,
        "silences": after.silences,
        "paused_until": after.paused_until,
        "warned_at": after.warned_at,
    }
