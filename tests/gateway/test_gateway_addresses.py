"""Which addresses webhooks may go to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webhooks.addresses import METADATA, problem

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
]

PERMITTED = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_refuses(address: str) -> None:
    assert problem(ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize("address", PERMITTED)
def test_permits(address: str) -> None:
    assert problem(ipaddress.ip_address(address)) is None


def test_a_network_that_the_operator_names_is_permitted_in_every_form_of_its_addresses() -> None:
    allowed = [ipaddress.ip_network("10.1.0.0/16")]
    for form in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"):
        assert problem(ipaddress.ip_address(form), allowed) is None
    assert problem(ipaddress.ip_address("10.2.2.3"), allowed) is not None
    assert problem(ipaddress.ip_address("127.0.0.1"), allowed) is not None


def test_an_allowed_ipv6_network_says_nothing_of_ipv4() -> None:
    everything = [ipaddress.ip_network("::/0")]
    assert problem(ipaddress.ip_address("10.0.0.1"), everything) is not None
    assert problem(ipaddress.ip_address("::ffff:10.0.0.1"), everything) is not None
    assert problem(ipaddress.ip_address("2002:a00:1::1"), everything) is not None


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_a_cloud_credential_service_is_refused_even_in_an_allowed_network_unless_named_exactly(address: str) -> None:
    target = ipaddress.ip_address(address)
    wide = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    assert problem(target, wide) is not None
    assert problem(target, [ipaddress.ip_network(address)]) is None


def test_a_metadata_address_in_disguise_is_refused_in_an_allowed_network() -> None:
    wide = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    for form in ("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254"):
        assert problem(ipaddress.ip_address(form), wide) is not None


@given(st.ip_addresses())
def test_what_is_permitted_is_global_in_the_eyes_of_python_too(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if problem(address) is None:
        inner = getattr(address, "ipv4_mapped", None) or address
        assert inner.is_global
