"""Which requests are of this machine's own."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.local import why_not_local

LOCAL = {"host": "localhost:8000"}


def scope(
    client: str | None = "127.0.0.1", http_version: str = "1.1", **headers: str
) -> dict[str, Any]:
    fields = {name.replace("_", "-"): value for name, value in (LOCAL | headers).items()}
    return {
        "type": "http",
        "http_version": http_version,
        "scheme": "http",
        "client": client and (client, 50_000),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
    }


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(scope(), id="a command line"),
        pytest.param(scope("127.8.9.10"), id="any address of the loopback network"),
        pytest.param(scope("::1", host="[::1]:8000"), id="IPv6"),
        pytest.param(scope("::ffff:127.0.0.1"), id="IPv4 on a socket for both"),
        pytest.param(scope(host="127.0.0.1:8000"), id="by address"),
        pytest.param(scope(host="LocalHost"), id="on port 80, in another case"),
        pytest.param(scope(host="localhost:9000"), id="through a tunnel with a port of its own"),
        pytest.param(scope(http_version="2"), id="HTTP/2"),
        pytest.param(
            scope(origin="http://localhost:8000", sec_fetch_site="same-origin"),
            id="a page of our own",
        ),
        pytest.param(scope(sec_fetch_site="none"), id="an address that somebody typed in"),
    ],
)
def test_request_of_this_machine_is_local(asked: dict[str, Any]) -> None:
    assert why_not_local(asked) is None


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param(scope("192.168.1.5"), "another address", id="the network"),
        pytest.param(scope("::ffff:192.168.1.5"), "another address", id="the network, mapped"),
        pytest.param(scope("172.17.0.1"), "another address", id="the host of a container"),
        pytest.param(scope("0.0.0.0"), "another address", id="no address"),
        pytest.param(scope("client"), "another address", id="a name for an address"),
        pytest.param(scope(None), "another address", id="no peer"),
        pytest.param(scope(http_version="1.0"), "HTTP/1.0", id="a proxy that hides"),
        pytest.param(scope(x_forwarded_for="127.0.0.1"), "x-forwarded-for", id="X-Forwarded-For"),
        pytest.param(scope(x_forwarded_host="localhost"), "x-forwarded-host", id="X-Forwarded-…"),
        pytest.param(scope(forwarded="for=127.0.0.1"), "forwarded", id="Forwarded"),
        pytest.param(scope(x_real_ip="127.0.0.1"), "x-real-ip", id="X-Real-Ip"),
        pytest.param(scope(via="1.1 proxy"), "via", id="Via"),
        pytest.param(scope(via=""), "via", id="an empty header of a proxy"),
        pytest.param(scope(host="attacker.example:8000"), "Host", id="DNS rebinding"),
        pytest.param(scope(host="localhost.attacker.example"), "Host", id="a name like ours"),
        pytest.param(scope(host="127.0.0.1.attacker.example"), "Host", id="an address like ours"),
        pytest.param(scope(host="localhost@attacker.example"), "Host", id="a user in the host"),
        pytest.param(scope(host="192.168.1.5:8000"), "Host", id="another address of ours"),
        pytest.param(scope(host="[localhost]x"), "Host", id="a broken host"),
        pytest.param(scope(host="localhost:8000, evil"), "Host", id="two hosts in one"),
        pytest.param(scope(host=""), "Host", id="an empty host"),
        pytest.param(scope(origin="http://attacker.example"), "Origin", id="a foreign page"),
        pytest.param(scope(origin="http://localhost:3000"), "Origin", id="a page on another port"),
        pytest.param(scope(origin="https://localhost:8000"), "Origin", id="another scheme"),
        pytest.param(scope(origin="null"), "Origin", id="a page without an origin"),
        pytest.param(scope(origin=""), "Origin", id="an empty origin"),
        pytest.param(scope(sec_fetch_site="cross-site"), "Sec-Fetch-Site", id="a foreign image"),
        pytest.param(scope(sec_fetch_site="same-site"), "Sec-Fetch-Site", id="a neighbour"),
    ],
)
def test_request_that_may_come_from_elsewhere_is_not(asked: dict[str, Any], reason: str) -> None:
    assert reason in (why_not_local(asked) or "")


@pytest.mark.parametrize("name", [b"host", b"origin", b"sec-fetch-site"])
def test_header_that_is_given_twice_is_not_trusted(name: bytes) -> None:
    asked = scope(origin="http://localhost:8000", sec_fetch_site="same-origin")
    asked["headers"].append((name, b"attacker.example"))
    assert why_not_local(asked) is not None


def test_request_without_a_host_is_not_local() -> None:
    assert "Host" in (why_not_local(scope() | {"headers": []}) or "")
