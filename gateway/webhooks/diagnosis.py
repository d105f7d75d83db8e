"""A test webhook, and what its outcome means to the person who sent it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from contract.webhook import FeedbackNew, serialise, timestamp
from gateway.webhooks.dialling import Fault
from gateway.webhooks.sender import Outcome, Request

_ADVICE = {
    Fault.DNS: "check the name in the URL, and that this machine can resolve names",
    Fault.REFUSED_ADDRESS: (
        "webhooks go to public addresses only; if the receiver is in your own network, name that network "
        "under [webhooks] as allowed_networks"
    ),
    Fault.CONNECT: "check the port in the URL, that the receiver runs, and that no firewall is between",
    Fault.TLS: "check that the receiver's certificate is valid for the name in the URL and signed by a known authority",
    Fault.TIMEOUT: "the receiver should answer 200 at once and do its work afterwards",
    Fault.PROTOCOL: "check that an HTTP server listens there, and that the URL's http or https is right",
    Fault.REDIRECT: "enter the URL that it redirects to",
    Fault.SECRET: "remove the endpoint and add it again with its secret",
}

_ADVICE_FOR_STATUS = {
    400: "the receiver does not like the body; its log should say why",
    401: (
        "the receiver refused the signature: check that it has the same secret (compare fingerprints), that it "
        "verifies the raw body before parsing it, and that it reads the header Webhook-Signature"
    ),
    403: "the receiver, or a firewall before it, does not let this machine in",
    404: "the path in the URL is not the receiver's",
    405: "the receiver takes no POST at this path",
    410: "the receiver wants no more webhooks at this URL",
    413: "something before the receiver limits the body's size to less than 100,000 bytes",
    415: "the receiver does not take application/json",
}


def test_request(url: str, secrets: Sequence[str], *, page_url: str, now: datetime) -> Request:
    """Return a ``feedback.new`` with every field filled in and a text that says that it is a test."""
    payload = FeedbackNew(
        id=str(uuid4()),
        transcript="This is a test of the webhook. The opening hours are great, thank you!",
        sentiment="positive",
        category="praise",
        summary="This is a test of the webhook.",
        emotion="satisfied",
        intensity="mild",
        is_testimonial_candidate=False,
        page_url=page_url,
        created_at=timestamp(now),
    )
    return Request(url, str(uuid4()), serialise(payload), tuple(secrets))


def explain(outcome: Outcome, *, signed: bool) -> list[str]:
    """Return what happened and what to do, line by line."""
    if outcome.fault is None:
        how = "a signed" if signed else "an unsigned"
        return [f"delivered: the receiver accepted {how} test with {outcome.status} after {outcome.duration_ms} ms"]
    lines = [f"failed after {outcome.duration_ms} ms: {outcome.error}"]
    advice = _ADVICE_FOR_STATUS.get(outcome.status or 0) if outcome.fault is Fault.STATUS else _ADVICE[outcome.fault]
    if advice is None:
        advice = "the receiver must answer with a status from 200 to 299; its log should say why it did not"
    lines.append(f"what to do: {advice}")
    if outcome.answer:
        lines.append(f"the receiver said: {' '.join(outcome.answer.split())[:200]}")
    return lines
