"""A test webhook, and what its outcome means to the person who sent it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from contract.webhook import FeedbackNew, timestamp
from gateway.webhooks import forms
from gateway.webhooks.access import Access
from gateway.webhooks.attempt import Fault, Form, Outcome, Request

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
    Fault.PROXY: "check the setting proxy under [webhooks], and what the proxy permits",
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
    530: "the mail server wants a user name and a password",
    535: "the mail server does not know this user name and password",
    550: "the mail server does not take mail from this sender, or for these recipients",
    553: "the mail server does not take mail from this sender, or for these recipients",
}


def test_request(way: Access, form: Form, *, page_url: str, now: datetime) -> Request:
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
    return way.request(str(uuid4()), forms.body(form, payload))


def explain(outcome: Outcome, *, signed: bool) -> list[str]:
    """Return what happened and what to do, line by line."""
    reached = f" at {outcome.peer}" if outcome.peer else ""
    if outcome.fault is None:
        how = "a signed" if signed else "an unsigned"
        took = f"{outcome.status} after {outcome.duration_ms} ms"
        return [f"delivered: the receiver{reached} accepted {how} test with {took}"]
    lines = [f"failed after {outcome.duration_ms} ms{reached}: {outcome.error}"]
    advice = _ADVICE_FOR_STATUS.get(outcome.status or 0) if outcome.fault is Fault.STATUS else _ADVICE[outcome.fault]
    if advice is None:
        advice = "the receiver must answer with a status from 200 to 299; its log should say why it did not"
    lines.append(f"what to do: {advice}")
    if outcome.answer:
        lines.append(f"the receiver said: {' '.join(outcome.answer.split())[:200]}")
    return lines


class Attempts(Protocol):
    """What makes attempts."""

    def send(self, request: Request) -> Outcome:
        """Make one."""


def probe(sender: Attempts, request: Request, outcome: Outcome) -> list[str]:
    """Send the test in other ways, and return what the receiver's answers say of how it verifies.

    Each carries a ``Webhook-Id`` of its own, so that none is taken for a repetition.

    Args:
        sender: makes the attempts.
        request: the test as it was sent.
        outcome: what came of it.
    """
    if not outcome.is_answer or outcome.fault is Fault.REDIRECT:
        return []
    if not request.secrets:
        return ["how it verifies cannot be seen: the endpoint has no secret"]

    def accepts(**changes: Any) -> bool:
        return sender.send(replace(request, webhook_id=str(uuid4()), **changes)).fault is None

    # Raw verifiers do not care how the JSON is written; those that write it again accept only their own way.
    spaced = json.dumps(json.loads(request.body)).encode("utf-8")
    if outcome.fault is not None:
        return [f"the likely reason: {_reason(accepts, spaced)}"]
    lines = []
    if accepts(secrets=(f"{request.secrets[-1]}-but-wrong",)):
        lines.append("beware: the receiver accepts a wrong signature, and so anybody's webhooks; let it answer 401")
    elif not accepts(body=spaced):
        lines.append(
            "the receiver verifies a body that it has written again, not the raw one; that works with these webhooks, "
            "whose bytes are made for it"
        )
    else:
        lines.append("the receiver verifies the raw body and refuses a wrong signature, as it should")
    return lines


def _reason(accepts: Callable[..., bool], spaced: bytes) -> str:
    if accepts(body=spaced):
        return (
            "the receiver verifies not the raw body but one that it has written again, with blanks as Python's "
            "json.dumps does; it must take the bytes as they come"
        )
    if accepts(secrets=()):
        return "the receiver refuses every signature; without one it accepts the test"
    return "the receiver has another secret; no way of writing the body was accepted"
