"""Which addresses webhooks may be sent to. Pure; the name is resolved elsewhere, once.

`ipaddress.is_global` alone lets through what a translator or a tunnel carries to a private address, so such forms are
unwrapped first, and what has ever been special is listed.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DENIED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        # IANA's special-purpose registries, and ranges that were special once and may still be routed inside.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)

METADATA: frozenset[Address] = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack and others
        "169.254.170.2",  # AWS ECS
        "169.254.170.23",  # AWS EKS
        "169.254.169.253",  # AWS resolver
        "169.254.169.123",  # AWS time
        "168.63.129.16",  # Azure's agent
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS
        "fd20:ce::254",  # Google
    )
)
"""Where clouds hand out credentials. A network that the operator allows does not open these; only their own /32 or
/128 does."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")


def problem(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """Say why nothing may be sent to ``address``, or None.

    Args:
        address: as it was resolved; a scope (``%eth0``) counts for nothing.
        allowed: networks that the operator has named.
    """
    for form in _forms(address):
        if form in METADATA and not _names_exactly(form, allowed):
            return f"{address} hands out a cloud's credentials"
        if any(_contains(network, form) for network in allowed):
            continue
        if not form.is_global or any(_contains(network, form) for network in _DENIED):
            return f"{address} is no public address; name its network in allowed_networks if that is meant"
    return None


def _forms(address: Address) -> Iterator[Address]:
    """Yield the address and every address that it can lead to by a translator or a tunnel."""
    if isinstance(address, IPv4Address):
        yield address
        return
    address = IPv6Address(int(address))
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None or address in _NAT64:
        # The kernel, or the network's translator, goes to the inner one; the wrapping says nothing of its own.
        yield last
        return
    yield address
    if address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        yield last
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _contains(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _names_exactly(address: Address, allowed: Sequence[Network]) -> bool:
    return any(network.num_addresses == 1 and _contains(network, address) for network in allowed)
