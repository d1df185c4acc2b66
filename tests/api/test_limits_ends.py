"""Places among the requests under way are given back, however a request ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.access.allowance import LimitPolicy
from app.access.caller import Scope
from app.access.keys_file import create_key
from app.errors import ExecutionError
from tests.api.doorway import ROUTE, Line, message
from tests.api.limited_world import (
    ONE_AT_A_TIME,
    TWO_AT_A_TIME,
    Limited,
    ask,
    assert_limited,
    get,
    limited,
)
from tests.api.world import picture, until
from tests.fakes import scores_of as good_scores

pytestmark = pytest.mark.timeout(30)

FORM = "multipart/form-data; boundary=b"


async def occupied(found: Limited, *way: str) -> Line:
    """Begin one request that is executed until the puppet is let go."""
    line = await found.door.connect()
    found.world.puppet.hold()
    before = len(found.world.puppet.executed)
    line.send(message(picture(), *way))
    await found.world.puppet.began(before + 1)
    return line


async def test_place_is_held_until_the_answer(tmp_path: Path, way: tuple[str, ...]) -> None:
    async with limited(tmp_path, ONE_AT_A_TIME) as found:
        line, other = await occupied(found, *way), await found.door.connect()
        refused = await ask(other, message(picture(), *way))
        assert_limited(refused, "has 1 request", "KERASERVE_ADDRESS_MAX_CONCURRENCY")
        assert "ratelimit" not in refused.names
        found.world.puppet.let_go()
        assert (await line.answer()).status == 200
        await until(lambda: not found.remembered)
        assert (await ask(other, message(picture(), *way))).status == 200
        counted = found.world.count(
            "limited_requests_total", subject="address", limit="concurrency"
        )
        assert counted == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (message(b"no image"), 415),
        (message(picture()[:40]), 422),
        (message(b""), 422),
        (message(picture(), query="model=none"), 404),
        (message(picture(), "Content-Encoding: gzip"), 415),
        (message(b"--b\r\nx", content_type=FORM), 400),
        (get("/v1/models/none"), 404),
        (get("/metrics"), 200),
        (get("/v1/models"), 200),
    ],
)
async def test_place_is_given_back_by_whatever_answer(
    tmp_path: Path, content: bytes, status: int
) -> None:
    async with limited(tmp_path, ONE_AT_A_TIME) as found:
        line = await found.door.connect()
        for _ in range(3):
            assert (await ask(line, content)).status == status
        await until(lambda: not found.remembered)


async def test_place_is_given_back_where_the_network_fails(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with limited(tmp_path, ONE_AT_A_TIME) as found:
        line = await found.door.connect()

        def fail(images: Any) -> Any:
            raise ExecutionError("no")

        found.world.puppet.behave = fail
        assert [(await ask(line, message(picture(), *way))).status for _ in range(2)] == [500] * 2
        found.world.puppet.behave = lambda images: good_scores(images, 3)
        assert (await ask(line, message(picture(), *way))).status == 200
        await until(lambda: not found.remembered)


async def test_place_is_given_back_where_the_deadline_passes(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with limited(tmp_path, TWO_AT_A_TIME) as found:
        line, other = await occupied(found, *way), await found.door.connect()
        answer = await ask(other, message(picture(), *way, query="timeout_ms=30"))
        assert answer.status == 504
        await until(lambda: found.limits.addresses is not None and found.remembered == 1)
        found.world.puppet.let_go()
        assert (await line.answer()).status == 200
        await until(lambda: not found.remembered)


@pytest.mark.parametrize("cut", [1, 40, None], ids=["in the body", "before it", "afterwards"])
async def test_place_is_given_back_by_clients_that_leave(
    tmp_path: Path, way: tuple[str, ...], cut: int | None
) -> None:
    async with limited(tmp_path, ONE_AT_A_TIME) as found:
        world, line = found.world, await found.door.connect()
        world.puppet.hold()
        whole = message(picture(), *way)
        head_bytes = whole.index(b"\r\n\r\n") + 4
        content = whole if cut is None else whole[:-1] if cut == 1 else whole[:head_bytes]
        if cut is None:
            await found.door.send_queued(line, content)
        else:
            await line.send_and_seen(content)
            await until(lambda: found.remembered == 1)
        line.leave()
        await found.door.is_left()
        await until(lambda: not found.remembered)
        world.puppet.let_go()
        other = await found.door.connect()
        assert (await ask(other, message(picture(), *way))).status == 200


async def test_place_is_held_once_where_a_slow_body_leaves_the_express_lane(tmp_path: Path) -> None:
    async with limited(tmp_path, ONE_AT_A_TIME, hold_s=0) as found:
        line, whole = await found.door.connect(), message(picture())
        line.send(whole[:-1])
        await until(lambda: found.door.begun == [ROUTE])
        assert found.remembered == 1
        other = await found.door.connect()
        assert_limited(await ask(other, whole))
        line.send(whole[-1:])
        assert (await line.answer()).status == 200
        await until(lambda: not found.remembered)


async def test_place_is_given_back_where_the_server_stops(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with limited(tmp_path, ONE_AT_A_TIME) as found:
        line = await occupied(found, *way)
        for task in list(found.door.state.tasks):
            task.cancel()
        answer = await line.answer()
        assert (answer.status, answer.document["code"]) == (503, "draining")
        await until(lambda: not found.remembered)


async def test_requests_behind_one_another_on_a_connection_hold_one_place_at_a_time(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path, ONE_AT_A_TIME) as found:
        line = await found.door.connect()
        line.send(message(picture()) * 3)
        assert [(await line.answer()).status for _ in range(3)] == [200] * 3
        await until(lambda: not found.remembered)


async def test_places_are_given_back_where_the_gate_refuses_the_key_after_the_address(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys.json"
    key = f"Authorization: Bearer {create_key(path, 'mine', [Scope.INFER])}"
    async with limited(tmp_path, TWO_AT_A_TIME, ONE_AT_A_TIME, api_keys_file=path) as found:
        line, other = await found.door.connect(), await found.door.connect()
        found.world.puppet.hold()
        await found.door.send_queued(line, message(picture(), key))
        for _ in range(4):
            refused = await ask(other, message(picture(), key))
            assert_limited(refused, "key mine", "KERASERVE_KEY_MAX_CONCURRENCY")
        assert found.door.begun == [ROUTE], "the others are the gate's"
        assert found.remembered == 2
        found.world.puppet.let_go()
        assert (await line.answer()).status == 200
        await until(lambda: not found.remembered)
        assert (await ask(other, message(picture(), key))).status == 200


async def test_places_are_given_back_where_there_is_no_room_for_the_image(tmp_path: Path) -> None:
    async with limited(tmp_path, LimitPolicy(max_concurrency=6)) as found:
        world = found.world
        lines = [await found.door.connect() for _ in range(5)]
        before = len(world.puppet.executed)
        world.puppet.hold()
        await found.door.send_queued(lines[0], message(picture()))
        await world.puppet.began(before + 1)
        for line in lines[1:4]:  # one lies ready, two wait
            await found.door.send_queued(line, message(picture()))
        for _ in range(4):  # more than there are places left
            assert (await ask(lines[4], message(picture()))).document["code"] == "queue_full"
        world.puppet.let_go()
        for line in lines[:4]:
            assert (await line.answer()).status == 200
        await until(lambda: not found.remembered)
