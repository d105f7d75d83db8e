"""Headers of the operator's own."""

import pytest

from gateway.errors import UsageError
from gateway.webhooks.custom_headers import MAX_HEADERS, parse


def test_lines_become_headers() -> None:
    lines = ["Authorization: Bearer abc=", "", "# a comment", "X-Shop:  1 2 ", "\t"]
    assert parse(lines) == {"Authorization": "Bearer abc=", "X-Shop": "1 2"}


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "host",
        "Content-Type",
        "Content-Length",
        "Content-Encoding",
        "Webhook-Id",
        "webhook-signature",
        "WEBHOOK-ANYTHING",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Cookie",
        "User-Agent",
        "Accept-Encoding",
        "Date",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "Sec-Fetch-Mode",
    ],
)
def test_a_header_that_is_the_gateways_or_the_connections_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="leave it out"):
        parse([f"{name}: x"])


@pytest.mark.parametrize(
    "line",
    [
        "no header",
        ": x",
        "Bad Name: x",
        "X-Ü: x",
        "X-A: ü",
        "X-A: a\r\nX-B: b",
        "X-A: a\x00",
        "X-A:",
        "X-A\r\nHost: x",
        f"X-A: {'x' * 1_001}",
    ],
)
def test_what_cannot_be_sent_or_would_add_another_header_is_refused(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse([line])
    assert "\n" not in str(caught.value)


def test_the_value_does_not_stand_in_the_error() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["X-Token: hidden\x00"])
    assert "hidden" not in str(caught.value)


def test_their_number_and_their_names_are_bounded_and_unique() -> None:
    with pytest.raises(UsageError, match="at most"):
        parse([f"X-{number}: x" for number in range(MAX_HEADERS + 1)])
    with pytest.raises(UsageError, match="twice"):
        parse(["X-A: 1", "x-a: 2"])
