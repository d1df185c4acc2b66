"""Where a request comes from, also through proxies that are trusted to say so. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from app.access.addresses import Network, parse_address

FORWARDED = "forwarded"
X_FORWARDED_FOR = "x-forwarded-for"

# Of proxies in a row that are all ours there are a few.
_MOST_HOPS = 16
# A header of this many bytes is no proxy's. It is not cut off: what is read is the end of it.
_MOST_BYTES = 4096

# One parameter of Forwarded with what ends it (RFC 7239). Values that should be quoted and are not,
# as addresses with a port, are taken as well.
_PARAMETER = re.compile(
    r'[ \t]*(?:([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?[ \t]*([;,]|\Z)'
)
_HOST = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([0-9.]+)(?::[0-9]+)?|([0-9A-Fa-f:.]+)")


class TrustedProxies:
    """Tells the address of the client of a request.

    It is the peer of the connection; where that is a trusted proxy, whom the proxy names as its
    own peer; and so on through trusted proxies. What else stands in the header was written by the
    client, and counts for nothing.
    """

    def __init__(self, networks: Sequence[Network] = (), header: str = X_FORWARDED_FOR) -> None:
        """Trust proxies.

        Args:
            networks: Their addresses.
            header: What they write: ``x-forwarded-for`` or ``forwarded``. Not either: the other
                one, which they pass on, is the client's.
        """
        self._networks = tuple(networks)
        self._header = header.encode("ascii")
        self._hops = _forwarded_hops if header == FORWARDED else _x_forwarded_for_hops
        self._trusts = lru_cache(maxsize=4096)(self._is_in_networks)

    def client_of(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the address of the client.

        Args:
            peer: Of the connection.
            headers: Of the request, names in lower case.
        """
        address = peer
        if not self._networks or not self._trusts(address):
            return address
        value = b",".join(value for name, value in headers if name == self._header)
        if len(value) > _MOST_BYTES:
            return address
        for hops, hop in enumerate(self._hops(value.decode("latin-1"))):
            found = _host_of(hop)
            if found is None or hops == _MOST_HOPS:
                break  # named as unknown, or by somebody who is no proxy: the one before says so
            address = found
            if not self._trusts(address):
                break
        return address

    def _is_in_networks(self, address: str) -> bool:
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def _x_forwarded_for_hops(value: str) -> Iterator[str]:
    """Yield who is named, from the last proxy to the client."""
    return reversed(value.split(","))


def _forwarded_hops(value: str) -> Iterator[str]:
    """Yield who is named by ``for=``, from the last proxy to the client; none if it is broken."""
    hops: list[str] = [""]
    position = 0
    while position < len(value):
        match = _PARAMETER.match(value, position)
        if match is None:
            return iter(())
        name, quoted, plain, end = match.groups()
        if name is not None and name.lower() == "for":
            hops[-1] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if end == ",":
            hops.append("")
        position = match.end()
    return reversed(hops)


def _host_of(hop: str) -> str | None:
    match = _HOST.fullmatch(hop.strip())
    if match is None:
        return None
    parsed = parse_address(match[1] or match[2] or match[3])
    return None if parsed is None else str(parsed)
