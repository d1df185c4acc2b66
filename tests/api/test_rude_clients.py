"""Clients that leave at any moment, or do not keep to HTTP: nothing is left behind by them."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from tests.api.doorway import (
    Doorway,
    assert_over,
    codes,
    doorway,
    message,
    outcomes,
)
from tests.api.world import picture, serving, until

pytestmark = pytest.mark.timeout(30)

BOUNDARY = "form"
FORM = (
    b'--form\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    + picture()
    + b"\r\n--form--\r\n"
)


def requests(way: tuple[str, ...]) -> list[bytes]:
    form = message(FORM, *way, content_type=f"multipart/form-data; boundary={BOUNDARY}")
    return [message(picture(), *way), form]


@pytest.fixture(scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """On both loops: what a loop does with a connection that is lost is its own affair."""
    return "asyncio", {"use_uvloop": request.param}


async def is_well(door: Doorway) -> None:
    """Assert that others are answered as if nothing had been."""
    line = await door.connect()
    line.send(message(picture()))
    assert (await line.answer()).status == 200
    line.leave()
    await until(lambda: door.world.count("in_flight_requests") == 0)
    assert_over(door.world)


async def test_client_that_leaves_after_any_byte_leaves_nothing_behind(
    door: Doorway, way: tuple[str, ...]
) -> None:
    for content in requests(way):
        for cut in [*range(0, len(content), 7), len(content) - 1]:
            line = await door.connect()
            await line.send_and_seen(content[:cut])
            line.leave()
        await door.is_left()
        assert_over(door.world)
    assert set(codes(door.world)) <= {"499"}
    assert outcomes(door.world) == {}, "no image was accepted"
    await is_well(door)


async def test_client_that_leaves_at_any_stage_is_counted_once(
    door: Doorway, way: tuple[str, ...]
) -> None:
    """One image is executed, one lies ready behind it, one waits: all three leave."""
    world = door.world
    puppet = world.puppet
    puppet.hold()
    before = len(puppet.executed)
    lines = [await door.connect() for _ in range(3)]
    await door.send_queued(lines[0], message(picture(1), *way))
    await puppet.began(before + 1)
    await door.send_queued(lines[1], message(picture(2), *way))
    await door.send_queued(lines[2], message(picture(3), *way))
    assert world.batcher.queue_size >= 1
    for line in lines:
        line.leave()
    await until(lambda: world.count("in_flight_requests") == 0)
    puppet.let_go()
    await until(lambda: world.batcher.is_idle)
    assert codes(world) == {"499": 3}
    assert outcomes(world) == {"cancelled": 3}
    await is_well(door)


async def test_client_that_leaves_with_requests_behind_the_one_under_way_is_no_fault(
    door: Doorway, way: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world = door.world
    world.puppet.hold()
    before = len(world.puppet.executed)
    line = await door.connect()
    line.send(message(picture(), *way) * 4)
    await world.puppet.began(before + 1)
    world.puppet.release()
    assert (await line.answer()).status == 200
    await world.puppet.began(before + 2)  # the second is executed; two wait
    line.leave()
    await door.is_left()
    world.puppet.let_go()
    await until(lambda: world.batcher.is_idle)
    assert codes(world) == {"200": 1, "499": 1}
    assert outcomes(world) == {"ok": 1, "cancelled": 1}
    assert caplog.messages == []
    await is_well(door)


async def test_client_that_closes_its_side_once_it_has_its_answer_leaves_nothing_behind(
    door: Doorway, way: tuple[str, ...]
) -> None:
    line = await door.connect()
    line.send(message(picture(), *way))
    assert (await line.answer()).status == 200
    line.finish_sending()
    assert await line.is_over()
    await is_well(door)


IMAGE = picture()
LENGTH = f"Content-Length: {len(IMAGE)}"
HEAD = "POST /v1/classify HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([LENGTH, LENGTH], id="the length twice"),
        pytest.param([LENGTH, "Content-Length: 1"], id="two lengths"),
        pytest.param([LENGTH, "Transfer-Encoding: chunked"], id="length and chunks"),
        pytest.param(["Content-Length: -1"], id="negative length"),
        pytest.param(["Content-Length: 1e3"], id="length that is no number"),
        pytest.param([f"Content-Length: {10**30}"], id="length beyond all bounds"),
        pytest.param(["Transfer-Encoding: gzip, gzip"], id="unknown encoding"),
        pytest.param([LENGTH, " folded: header"], id="header that goes on"),
        pytest.param([LENGTH, "No colon"], id="no header"),
    ],
)
async def test_request_whose_length_is_in_doubt_is_refused_and_its_connection_closed(
    door: Doorway, way: tuple[str, ...], lines: list[str]
) -> None:
    line = await door.connect()
    head = HEAD + "".join(f"{each}\r\n" for each in [*way, *lines]) + "\r\n"
    line.send(head.encode() + IMAGE)
    answer = await line.answer()
    assert answer.status in (400, 413)
    assert await line.is_over(), "what comes next may be the middle of anything"
    assert outcomes(door.world) == {}
    await is_well(door)


async def test_what_follows_a_body_is_not_taken_for_part_of_it(
    door: Doorway, way: tuple[str, ...]
) -> None:
    line = await door.connect()
    line.send(message(picture(), *way))
    assert (await line.answer()).status == 200
    line.send(b"and what was not announced\r\n\r\n")
    assert (await line.answer()).status == 400
    assert await line.is_over()
    await is_well(door)


async def test_body_shorter_than_announced_is_answered_at_the_deadline(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with (
        serving(tmp_path, request_timeout_ms=100) as world,
        doorway(world, hold_s=0.001) as door,
    ):
        line = await door.connect()
        line.send(message(picture(), *way)[:-1])
        assert (await line.answer()).status == 504
        await is_well(door)


@pytest.mark.parametrize("header", ["X-Request-Id: a", "Content-Type: image/gif", "Host: other"])
async def test_repeated_header_is_no_reason_to_fail(
    door: Doorway, way: tuple[str, ...], header: str
) -> None:
    line = await door.connect()
    line.send(message(picture(), *[header] * 50, *way))
    assert (await line.answer()).status == 200
    await is_well(door)


async def test_many_requests_on_one_connection_are_answered_in_their_order(
    door: Doorway, way: tuple[str, ...]
) -> None:
    line = await door.connect()
    count = 100
    for number in range(count):
        line.send(message(picture(number), *way, query=f"top_k={number % 3 + 1}"))
    for number in range(count):
        answer = await line.answer()
        assert answer.status == 200
        assert len(answer.document["predictions"]) == number % 3 + 1
    await is_well(door)


async def test_clock_that_is_set_back_or_ahead_changes_nothing(
    door: Doorway, way: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    line = await door.connect()
    for step_s in (0, -86_400, 86_400, -1e9):
        monkeypatch.setattr(time, "time", lambda step_s=step_s: now() + step_s)
        line.send(message(picture(), *way, query="timeout_ms=5000"))
        answer = await line.answer()
        assert answer.status == 200
        assert all(value >= 0 for value in answer.document["timing"].values())
        assert (await door.world.client.get("/readyz")).status_code == 200
        assert (await door.world.client.get("/metrics")).status_code == 200
    await is_well(door)
