"""Whether a request was made on this machine, by somebody who uses it."""

from __future__ import annotations

import ipaddress
import re

from starlette.types import Scope

# By any of them, the connection from this machine is a proxy's, and the request somebody else's.
_PROXY_HEADERS = frozenset({b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"client-ip"})
_PROXY_PREFIX = b"x-forwarded-"

_HOST = re.compile(r"(?:\[([^\]]+)\]|([^\[\]:]+))(?::[0-9]+)?")

# What browsers say of requests by our own pages, and of addresses that somebody typed in.
_OWN_SITES = frozenset({b"same-origin", b"none"})


def why_not_local(scope: Scope) -> str | None:
    """Say why a request may have come from elsewhere; None if it has not. Pure.

    Three ways lead here from elsewhere: a connection from another machine, a proxy on this one,
    and a browser on this one that shows a foreign page. The last may call us directly (``Origin``,
    ``Sec-Fetch-Site``), or by a name of its own that it lets point at this machine (``Host``).

    A proxy that says nothing of itself cannot be told from a user: where there is one, there must
    be a file of keys.

    Args:
        scope: The ASGI scope, with ``client`` as the peer of the connection.
    """
    client = scope.get("client")
    if client is None or not _is_loopback(client[0]):
        return "this one comes from another address"
    if scope["http_version"] == "1.0":  # nginx speaks it to its servers, unless it is told not to
        return "this one speaks HTTP/1.0, as proxies do"
    fields: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        fields.setdefault(name, []).append(value)
    proxy = sorted(name for name in fields if _is_of_proxies(name))
    if proxy:
        return f"this one came through a proxy ({proxy[0].decode('latin-1')})"
    host = _only(fields, b"host")
    if host is None or not _is_local_name(host):
        return "the Host of this one is neither localhost nor a loopback address"
    own = f"{scope['scheme']}://{host}".lower()
    if b"origin" in fields and (_only(fields, b"origin") or "").lower() != own:
        return "this one was made by a page of another site (Origin)"
    if not _OWN_SITES.issuperset(fields.get(b"sec-fetch-site", ())):
        return "this one was made by a page of another site (Sec-Fetch-Site)"
    return None


def _only(fields: dict[bytes, list[bytes]], name: bytes) -> str | None:
    values = fields.get(name, [])
    return values[0].decode("latin-1") if len(values) == 1 else None


def _is_of_proxies(name: bytes) -> bool:
    return name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIX)


def _is_local_name(host: str) -> bool:
    match = _HOST.fullmatch(host)
    name = (match[1] or match[2]).lower() if match else ""
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
