"""Clients that offer another protocol are answered in HTTP/1.1, and nothing of theirs is lost."""

from __future__ import annotations

import logging

import pytest

from tests.api.doorway import Doorway, assert_over, message
from tests.api.limited_world import get
from tests.api.world import picture

pytestmark = pytest.mark.timeout(30)

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
WEBSOCKET = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


@pytest.fixture(scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["HTTP/2", "WebSocket"])
@pytest.mark.parametrize("cut", ["nowhere", "in the head", "before the body", "in the body"])
async def test_image_and_what_follows_are_answered_as_without_the_offer(
    door: Doorway,
    way: tuple[str, ...],
    offer: tuple[str, ...],
    cut: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    content = message(picture(), *way, *offer)
    head_bytes = content.index(b"\r\n\r\n") + 4
    at = {"nowhere": 0, "in the head": 90, "before the body": head_bytes}.get(cut, head_bytes + 9)
    line = await door.connect()
    for _ in range(2):
        await line.send_and_seen(content[:at])
        line.send(content[at:])
        answer = await line.answer()
        assert (answer.status, answer.document["request_id"]) == (200, "mine")
    line.send(get("/livez", *offer) + get("/livez"))
    for _ in range(2):
        assert (await line.answer()).status == 200
    assert_over(door.world)
    assert caplog.messages == []


async def test_thousands_of_offers_in_one_piece_are_answered_one_after_the_other(
    door: Doorway,
) -> None:
    line = await door.connect()
    line.send(get("/livez", "Connection: Upgrade", "Upgrade: a") * 2500)
    for _ in range(2500):
        assert (await line.answer()).status == 200


async def test_what_is_no_request_behind_an_offer_is_refused(door: Doorway) -> None:
    line = await door.connect()
    line.send(get("/livez", *H2C))
    assert (await line.answer()).status == 200
    line.send(get("/livez", *H2C) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert (await line.answer()).status == 400
    assert await line.is_over()


async def test_tunnel_is_refused(door: Doorway) -> None:
    line = await door.connect()
    line.send(b"CONNECT a:1 HTTP/1.1\r\nHost: test\r\n\r\n")
    assert (await line.answer()).status == 400
    assert await line.is_over()
