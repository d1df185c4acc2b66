"""How requests of the express lane come: in pieces, several at once, one after the other."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.api.doorway import (
    ELSEWHERE,
    ROUTE,
    Doorway,
    codes,
    doorway,
    message,
    outcomes,
)
from tests.api.world import picture, serving, until

pytestmark = pytest.mark.timeout(20)


@pytest.mark.parametrize("size", [1, 7, 64], ids=["byte by byte", "in pieces", "in large pieces"])
async def test_it_may_come_piece_by_piece(door: Doorway, size: int) -> None:
    line = await door.connect()
    whole = message(picture())
    for start in range(0, len(whole), size):
        await line.send_and_seen(whole[start : start + size])
    assert (await line.answer()).status == 200
    assert door.begun == []


async def test_body_that_does_not_come_soon_goes_the_way_of_every_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, hold_s=0) as door:
        line = await door.connect()
        whole = message(picture())
        line.send(whole[:-10])
        await until(lambda: door.begun == [ROUTE])
        line.send(whole[-10:])
        assert (await line.answer()).status == 200
        assert outcomes(world) == {"ok": 1}
        assert codes(world) == {"200": 1}
        line.send(whole)
        assert (await line.answer()).status == 200
        assert door.begun == [ROUTE], "the next one has come whole"


async def test_body_that_never_comes_ends_at_the_deadline_of_its_head(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, hold_s=0) as door:
        line = await door.connect()
        line.send(message(picture(), query="timeout_ms=1")[:-1])
        answer = await line.answer()
        assert (answer.status, answer.document["code"]) == (504, "deadline_exceeded")
        assert answer.document["detail"] == "The deadline passed before the body had arrived."


async def test_several_in_one_piece_are_answered_in_order(door: Doorway) -> None:
    line = await door.connect()
    line.send(
        message(picture(1)) + message(picture(2), query="model=none") + message(picture(3))
        + b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"
    )  # fmt: skip
    answers = [await line.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 404, 200, 200]
    assert door.begun == [ROUTE, ROUTE, "/livez"], "the first one is express"


async def test_express_request_behind_another_one_waits_for_its_turn(door: Doorway) -> None:
    world = door.world
    world.puppet.hold()
    line = await door.connect()
    await door.send_queued(line, message(picture(1), ELSEWHERE))
    line.send(message(picture(2)))
    await line.seen()
    world.puppet.let_go()
    assert [(await line.answer()).status for _ in range(2)] == [200, 200]
    assert outcomes(world) == {"ok": 2}


async def test_connection_takes_many_one_after_the_other(door: Doorway) -> None:
    line = await door.connect()
    for seed in range(20):
        headers = (ELSEWHERE,) if seed % 3 == 0 else ()
        line.send(message(picture(seed), *headers))
        answer = await line.answer()
        assert (answer.status, "connection" in answer.names) == (200, False)
    assert len(door.begun) == 7


async def test_idle_connection_ends_after_its_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, timeout_keep_alive=0) as door:
        line = await door.connect()
        line.send(message(picture()))
        assert (await line.answer()).status == 200
        assert await line.is_over()
        assert door.begun == []


async def test_connection_is_not_idle_while_its_request_is_under_way(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, timeout_keep_alive=0) as door:
        world.puppet.hold()
        line = await door.connect()
        await door.send_queued(line, message(picture()))
        await asyncio.sleep(0)  # a timer of 0 s would have fired
        await asyncio.sleep(0)
        world.puppet.let_go()
        assert (await line.answer()).status == 200


async def test_client_that_does_not_read_is_not_written_to_without_bound(door: Doorway) -> None:
    line = await door.connect(receives_bytes=1)  # as little as the system allows
    protocol = line.far_end.protocol
    protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    protocol.transport.set_write_buffer_limits(high=0)
    line.stop_reading()
    sent = 0
    while not protocol.flow.write_paused:
        line.send(message(picture()))
        sent += 1
        await until(lambda count=sent: door.state.total_requests == count)  # type: ignore[misc]
    assert door.begun == []
    line.send(message(picture()) + message(picture()))
    await until(lambda: len(door.begun) == 1)
    line.go_on_reading()
    for _ in range(sent + 2):
        assert (await line.answer()).status == 200
    assert outcomes(door.world) == {"ok": sent + 2}
