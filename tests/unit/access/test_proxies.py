"""Whom a request comes from, whatever somebody writes into its headers."""

from __future__ import annotations

import pytest

from app.access.addresses import UNKNOWN, parse_networks, subject_of
from app.access.proxies import FORWARDED, TrustedProxies

NETWORKS = parse_networks(("10.0.0.0/8", "192.0.2.7", "2001:db8:aa::/48"))


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", UNKNOWN),
        ("/tmp/socket", UNKNOWN),
        ("1" * 1000, UNKNOWN),
    ],
)
def test_client_is_counted_as(address: str, subject: str) -> None:
    assert subject_of(address) == subject


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'10\.0\.0\.1/8' is neither"):
        parse_networks(("10.0.0.1/8",))
    with pytest.raises(ValueError, match="'proxy' is neither an address nor a network"):
        parse_networks(("10.0.0.0/8", "proxy"))


def client(peer: str, *values: str, header: str = "x-forwarded-for") -> str:
    proxies = TrustedProxies(NETWORKS, header)
    headers = [(header.encode(), value.encode("latin-1")) for value in values]
    return proxies.client_of(peer, [(b"host", b"a"), *headers])


@pytest.mark.parametrize(
    ("peer", "values", "found"),
    [
        pytest.param("203.0.113.1", ["1.1.1.1"], "203.0.113.1", id="who is no proxy says nothing"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy that says nothing"),
        pytest.param("10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="a proxy"),
        pytest.param("192.0.2.7", ["203.0.113.9"], "203.0.113.9", id="a single address"),
        pytest.param("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="IPv4 in IPv6"),
        pytest.param("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9", id="a client that lies"),
        pytest.param("10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9", id="in two headers"),
        pytest.param("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9", id="two proxies"),
        pytest.param("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3", id="nobody but proxies"),
        pytest.param("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1", id="a proxy that hides it"),
        pytest.param("10.0.0.1", ["6.6.6.6, nonsense"], "10.0.0.1", id="nonsense"),
        pytest.param("10.0.0.1", [""], "10.0.0.1", id="nothing"),
        pytest.param("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9", id="with a port"),
        pytest.param("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1", id="IPv6"),
        pytest.param("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1", id="IPv6 with a port"),
        pytest.param("10.0.0.1", ["6.6.6.6, 2001:db8:aa::1"], "6.6.6.6", id="a proxy with IPv6"),
        pytest.param("10.0.0.1", ["6.6.6.6" + ", 10.0.0.1" * 900], "10.0.0.1", id="endless"),
        pytest.param("10.0.0.1", ["6.6.6.6" + ", 10.0.0.2" * 50], "10.0.0.2", id="too many"),
        pytest.param("10.0.0.1", ["\xff"], "10.0.0.1", id="not ASCII"),
    ],
)
def test_x_forwarded_for(peer: str, values: list[str], found: str) -> None:
    assert client(peer, *values) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("for=203.0.113.9", "203.0.113.9", id="one"),
        pytest.param("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9", id="more of it"),
        pytest.param("by=10.0.0.1; for=203.0.113.9", "203.0.113.9", id="not the first"),
        pytest.param('for="[2001:db8::1]:4711"', "2001:db8::1", id="IPv6 with a port"),
        pytest.param('for="203.0.113.9:1"', "203.0.113.9", id="with a port"),
        pytest.param("for=203.0.113.9:1", "203.0.113.9", id="not quoted"),
        pytest.param("for=6.6.6.6, for=203.0.113.9", "203.0.113.9", id="a client that lies"),
        pytest.param("for=203.0.113.9, for=10.0.0.2", "203.0.113.9", id="two proxies"),
        pytest.param(
            'for=203.0.113.9;host="a, for=6.6.6.6"', "203.0.113.9", id="a comma in quotes"
        ),
        pytest.param(
            'for=203.0.113.9;host="a;for=6.6.6.6"', "203.0.113.9", id="a parameter in quotes"
        ),
        pytest.param(
            r'for=203.0.113.9;host="\";for=6.6.6.6;\""', "203.0.113.9", id="an escaped quote"
        ),
        pytest.param("for=unknown", "10.0.0.1", id="unknown"),
        pytest.param("for=_hidden", "10.0.0.1", id="obfuscated"),
        pytest.param("proto=https", "10.0.0.1", id="not said"),
        pytest.param("for=203.0.113.9, ", "10.0.0.1", id="an empty one at the end"),
        pytest.param('for="203.0.113.9', "10.0.0.1", id="no end of quotes"),
        pytest.param("for=203.0.113.9 for=1.1.1.1", "10.0.0.1", id="broken"),
        pytest.param("", "10.0.0.1", id="nothing"),
    ],
)
def test_forwarded(value: str, found: str) -> None:
    assert client("10.0.0.1", value, header=FORWARDED) == found


def test_the_other_header_is_the_clients() -> None:
    for header, other in (("x-forwarded-for", "forwarded"), ("forwarded", "x-forwarded-for")):
        proxies = TrustedProxies(NETWORKS, header)
        lie = [(other.encode(), b"6.6.6.6"), (other.encode(), b"for=6.6.6.6")]
        assert proxies.client_of("10.0.0.1", lie) == "10.0.0.1"


def test_without_proxies_headers_say_nothing() -> None:
    assert TrustedProxies().client_of("10.0.0.1", [(b"x-forwarded-for", b"6.6.6.6")]) == "10.0.0.1"
