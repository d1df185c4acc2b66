"""Addresses of clients: whom a limit counts as one, and which are proxies of ours. Pure."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = "unknown"
"""The subject of all who come from no address."""

# What one customer is given at least (RFC 6177): within it they choose addresses as they like.
_IPV6_PREFIX = 64

_LONGEST_ADDRESS = 64
"""Characters; with a zone. Longer ones are none, and are not kept in caches."""


def parse_address(text: str) -> Address | None:
    """Return an address; IPv4 also where it stands in IPv6. None for what is none."""
    if len(text) > _LONGEST_ADDRESS:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Return networks and single addresses.

    Raises:
        ValueError: One of them is neither.
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            raise ValueError(
                f"{text!r} is neither an address nor a network such as 10.0.0.0/8"
            ) from None
    return tuple(networks)


@lru_cache(maxsize=4096)  # connections ask with each of their requests
def subject_of(address: str) -> str:
    """Return whom a client is counted as: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = parse_address(address)
    if parsed is None:
        return UNKNOWN
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_PREFIX), strict=False))
