"""No refused address is ever dialled, however a webhook is led there."""

import ipaddress
import itertools
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gateway.errors import UsageError
from gateway.webhooks import endpoints
from gateway.webhooks.addresses import Address
from gateway.webhooks.attempt import Fault, Request
from gateway.webhooks.dialling import resolve
from gateway.webhooks.sender import Sender
from tests.gateway.support import Receiver, raw_server
from tests.gateway.test_gateway_addresses import REFUSED

LOOPBACK = [ipaddress.ip_network("127.0.0.1/32")]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whom anything in this process has connected to."""
    found: list[Any] = []
    connect = socket.socket.connect

    def note(self: socket.socket, address: Any) -> None:
        found.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", note)
    return found


def address(text: str) -> Address:
    return ipaddress.ip_address(text)


def request(host: str, port: int = 80) -> Request:
    return Request(f"http://{host}:{port}/", "webhook-1", b"{}")


@pytest.mark.parametrize("refused", REFUSED)
def test_a_name_that_resolves_to_it_is_refused(refused: str, dialled: list[Any]) -> None:
    sending = Sender(deadline_s=5, resolver=lambda _host, _port: [address(refused)])
    assert sending.send(request("receiver.example")).fault is Fault.REFUSED_ADDRESS
    assert dialled == []


@pytest.mark.parametrize("refused", [each for each in REFUSED if "%" not in each])
def test_as_a_literal_it_is_refused(refused: str, dialled: list[Any]) -> None:
    host = f"[{refused}]" if ":" in refused else refused
    assert Sender(deadline_s=5).send(request(host)).fault is Fault.REFUSED_ADDRESS
    assert dialled == []


def disguises(text: str) -> Iterator[str]:
    """Yield the ways of writing an IPv4 address that resolvers and URL parsers have been seen to understand."""
    number = int(ipaddress.IPv4Address(text))
    parts = text.split(".")
    yield from (str(number), hex(number), oct(number).replace("0o", "0"))
    yield ".".join(hex(int(part)) for part in parts)
    yield ".".join(f"{int(part):04o}" for part in parts)
    yield f"{parts[0]}.{number & 0xFFFFFF}"
    yield f"{parts[0]}.{parts[1]}.{number & 0xFFFF}"
    yield f"{text}."
    yield f"[::ffff:{text}]"
    yield f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]"
    yield f"[0:0:0:0:0:ffff:{text}]"
    yield f"[::{text}]"
    yield f"[::ffff:0:{text}]"
    yield f"[64:ff9b::{text}]"
    yield f"[64:ff9b:1::{text}]"
    yield f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]"
    # Teredo hides the client's address inverted.
    yield f"[2001:0:808:808:0:0:{~number >> 16 & 0xFFFF:x}:{~number & 0xFFFF:x}]"


TARGETS = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1"]


@pytest.mark.parametrize("host", list(itertools.chain.from_iterable(disguises(each) for each in TARGETS)))
def test_in_disguise_it_is_refused(host: str, dialled: list[Any]) -> None:
    outcome = Sender(deadline_s=5).send(request(host))
    # What the system's resolver does not understand leads nowhere, which is as well.
    assert outcome.fault in {Fault.REFUSED_ADDRESS, Fault.DNS}
    assert dialled == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "ip6-localhost"])
def test_a_name_of_this_machine_is_refused(host: str, dialled: list[Any]) -> None:
    assert Sender(deadline_s=5).send(request(host)).fault in {Fault.REFUSED_ADDRESS, Fault.DNS}
    assert dialled == []


@pytest.mark.parametrize(
    "url", ["http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://a.example@127.0.0.1/", "http:///x"]
)
def test_a_url_that_parsers_read_differently_cannot_be_saved(url: str) -> None:
    with pytest.raises(UsageError):
        endpoints.check_url(url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://example.org/", "javascript:1", ""])
def test_a_scheme_other_than_http_and_https_cannot_be_saved(url: str) -> None:
    with pytest.raises(UsageError):
        endpoints.check_url(url)


class ChangingResolver:
    """Answers with the next of its answers each time, and then with the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self, _host: str, _port: int) -> list[Address]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [address(text) for text in answer]


def port_of(receiver: Receiver) -> int:
    return int(receiver.url.split(":")[2].split("/")[0])


@pytest.mark.parametrize("refused", ["10.0.0.1", "169.254.169.254", "127.0.0.2", "::1", "::ffff:169.254.169.254"])
def test_an_answer_that_changes_between_check_and_dialling_changes_nothing(
    refused: str, receiver: Receiver, dialled: list[Any]
) -> None:
    changing = ChangingResolver(["127.0.0.1"], [refused])
    sending = Sender(deadline_s=5, allowed=LOOPBACK, resolver=changing)
    target = request("receiver.example", port_of(receiver))
    assert sending.send(target).fault is None
    assert {host for host, *_ in dialled} == {"127.0.0.1"}
    # The kept connection leads where it was dialled; a new one is checked anew.
    assert sending.send(target).fault is None
    assert changing.asked == 1
    sending.close()
    assert sending.send(target).fault is Fault.REFUSED_ADDRESS
    assert {host for host, *_ in dialled} == {"127.0.0.1"}


def test_even_under_steady_traffic_a_name_is_resolved_anew_after_a_while(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.webhooks.sender.MAX_AGE_S", 0.0)
    changing = ChangingResolver(["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
    sending = Sender(deadline_s=5, allowed=LOOPBACK, resolver=changing)
    target = request("receiver.example", port_of(receiver))
    assert [sending.send(target).fault for _ in range(3)] == [None, None, Fault.REFUSED_ADDRESS]


def test_of_a_mixed_answer_only_the_permitted_part_is_dialled(receiver: Receiver, dialled: list[Any]) -> None:
    mixed = ChangingResolver(["169.254.169.254", "10.0.0.1", "127.0.0.1", "::1"])
    sending = Sender(deadline_s=5, allowed=LOOPBACK, resolver=mixed)
    assert sending.send(request("receiver.example", port_of(receiver))).fault is None
    assert {host for host, *_ in dialled} == {"127.0.0.1"}
    sending.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "http://127.0.0.2/", "//[::1]/", "/again"])
def test_a_redirect_leads_nowhere(status: int, target: str, dialled: list[Any]) -> None:
    answer = f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
    with raw_server(lambda connection: connection.sendall(answer)) as port:
        sending = Sender(deadline_s=5, allowed=LOOPBACK, resolver=resolve)
        outcome = sending.send(request("127.0.0.1", port))
        sending.close()
    assert (outcome.status, outcome.fault) == (status, Fault.REDIRECT)
    assert dialled == [("127.0.0.1", port)]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_asked(
    variable: str, receiver: Receiver, dialled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.3:1")
    sending = Sender(deadline_s=5, allowed=LOOPBACK)
    assert sending.send(request("127.0.0.1", port_of(receiver))).fault is None
    assert {host for host, *_ in dialled} == {"127.0.0.1"}
    sending.close()
