"""Who leaves and who stops while a request of the express lane is under way, and what is left."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any

import pytest

from app.api import express
from app.api.accounts import RequestAccounts
from app.api.answer import AnswerResponse, answer_response
from app.api.express import ExpressRequest
from tests.api.doorway import (
    ROUTE,
    SETTINGS,
    Doorway,
    assert_over,
    codes,
    doorway,
    leases,
    message,
    outcomes,
)
from tests.api.world import picture, serving, until

pytestmark = pytest.mark.timeout(20)


async def test_client_that_leaves_in_the_head_was_never_there(door: Doorway) -> None:
    line = await door.connect()
    await line.send_and_seen(message(picture())[:40])
    line.leave()
    await door.is_left()
    assert (codes(door.world), outcomes(door.world)) == ({}, {})


async def test_client_that_leaves_in_the_body_is_counted_as_by_the_route(door: Doorway) -> None:
    line = await door.connect()
    await line.send_and_seen(message(picture())[:-1])
    assert (door.begun, codes(door.world)) == ([], {})
    line.leave()
    await door.is_left()
    assert codes(door.world) == {"499": 1}
    assert_over(door.world)


@pytest.mark.parametrize("how", ["leave", "finish_sending"])
async def test_waiting_image_of_a_client_that_leaves_is_never_executed(
    door: Doorway, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    world = door.world
    before = len(world.puppet.executed)
    staying = await world.occupy()
    line = await door.connect()
    await door.send_queued(line, message(picture()))
    assert (world.batcher.queue_size, leases(world)) == (1, 3)
    getattr(line, how)()
    await door.is_left()
    assert (world.batcher.queue_size, leases(world)) == (0, 2)
    assert codes(world) == {"499": 1}
    assert outcomes(world) == {"cancelled": 1}
    (record,) = [vars(each) for each in caplog.records if each.name == "app.request"]
    assert (record["status"], record["request_id"], record["version"]) == (499, "mine", 1)
    assert "error" not in record
    world.puppet.let_go()
    assert [(await task).status_code for task in staying] == [200, 200]
    assert len(world.puppet.executed) == before + 2
    assert_over(world)


async def test_client_that_leaves_while_the_network_works_is_not_noticed_by_others(
    door: Doorway,
) -> None:
    world = door.world
    world.puppet.hold()
    before = len(world.puppet.executed)
    line, other = await door.connect(), await door.connect()
    await door.send_queued(line, message(picture(1)))
    await world.puppet.began(before + 1)
    await door.send_queued(other, message(picture(2)))
    line.leave()
    await until(lambda: len(door.state.connections) == 1)
    assert codes(world) == {"499": 1}
    world.puppet.let_go()
    assert (await other.answer()).status == 200
    assert outcomes(world) == {"cancelled": 1, "ok": 1}
    assert_over(world)


async def test_connection_that_breaks_behind_it_ends_it_with_all_others(door: Doorway) -> None:
    world = door.world
    staying = await world.occupy()
    line = await door.connect()
    line.send(message(picture()) + message(picture()) + b"no request\r\n\r\n")
    await door.is_left()
    assert codes(world) == {"499": 1}
    assert world.batcher.queue_size == 0
    assert outcomes(world) == {"cancelled": 1}
    world.puppet.let_go()
    for task in staying:
        await task
    assert_over(world)


async def test_client_that_leaves_with_its_answer_was_answered(door: Doorway) -> None:
    line = await door.connect()
    line.send(message(picture()))
    assert (await line.answer()).status == 200
    line.leave()
    await door.is_left()
    assert codes(door.world) == {"200": 1}
    assert outcomes(door.world) == {"ok": 1}


async def test_answer_to_a_connection_that_is_closing_is_not_written(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await door.connect()

    def close_and_answer(*args: Any) -> AnswerResponse:
        line.far_end.protocol.transport.close()
        return answer_response(*args)

    monkeypatch.setattr(express, "answer_response", close_and_answer)
    line.send(message(picture()))
    assert await line.is_over()
    await door.is_left()
    assert codes(door.world) == {"200": 1}
    assert_over(door.world)


async def test_fault_in_counting_costs_neither_the_answer_nor_the_connection(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image and the request are counted when the answer is on its way."""
    reported: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["exception"])
    )
    line = await door.connect()
    with monkeypatch.context() as patch:
        patch.setattr(RequestAccounts, "end", _raise)
        line.send(message(picture()))
        assert (await line.answer()).status == 200
    line.send(message(picture()))
    assert (await line.answer()).status == 200
    assert [str(error) for error in reported] == ["cannot be counted"]
    assert outcomes(door.world) == {"ok": 2}, "the image is counted all the same"


def _raise(*_: object) -> None:
    raise RuntimeError("cannot be counted")


# ---- who stops ----------------------------------------------------------------------------------


async def test_stopping_server_finishes_what_waits_and_closes(door: Doorway) -> None:
    world = door.world
    world.puppet.hold()
    line, idle = await door.connect(), await door.connect()
    await door.send_queued(line, message(picture()))
    door.stop()
    assert await idle.is_over()
    world.puppet.let_go()
    answer = await line.answer()
    assert (answer.status, answer.header("connection")) == (200, "close")
    assert answer.names[-1] == "connection"
    assert await line.is_over()
    assert codes(world) == {"200": 1}


async def test_stopping_server_begins_nothing_behind_the_last_answer(door: Doorway) -> None:
    """Its answer could not be written any more."""
    world = door.world
    world.puppet.hold()
    line = await door.connect()
    await door.send_queued(line, message(picture()))
    door.stop()
    line.send(message(picture()))
    await line.seen()
    world.puppet.let_go()
    assert (await line.answer()).header("connection") == "close"
    assert await line.is_over()
    await door.is_left()
    assert door.begun == []
    assert codes(world) == {"200": 1}


async def test_stopping_server_takes_the_body_that_it_holds(door: Doorway) -> None:
    line = await door.connect()
    whole = message(picture())
    await line.send_and_seen(whole[:-1])
    door.stop()
    line.send(whole[-1:])
    answer = await line.answer()
    assert (answer.status, answer.header("connection")) == (200, "close")
    assert door.begun == [ROUTE]
    assert await line.is_over()


async def test_what_is_not_finished_in_time_is_told_so(tmp_path: Path) -> None:
    """Uvicorn goes through the set of what is under way, which must not change meanwhile."""
    async with serving(tmp_path, **SETTINGS) as world:
        async with doorway(world, timeout_graceful_shutdown=0) as door:
            world.puppet.hold()
            lines = [await door.connect() for _ in range(3)]
            for seed, line in enumerate(lines):
                await door.send_queued(line, message(picture(seed)))
            lines[0].send(message(picture()))  # waits for the answer before it
            await lines[0].seen()
            assert len(door.state.tasks) == 3
            world.lifecycle.refuse()
            await door.server.shutdown()
            for line in (lines[0], *lines):
                answer = await line.answer()
                assert (answer.status, answer.document["code"]) == (503, "draining")
                assert int(answer.header("retry-after")) >= 1
            for line in lines:
                assert await line.is_over()
            assert codes(world) == {"503": 4}
            assert outcomes(world) == {"cancelled": 3}
            assert leases(world) == 0
        await world.lifecycle.stop()
        assert not world.lifecycle.is_drained, "three requests were cut off"


# ---- what is left -------------------------------------------------------------------------------


async def test_nothing_of_an_answered_request_is_left(door: Doorway) -> None:
    """The garbage collector counts objects: between two of its rounds, thousands would pile up."""
    world = door.world
    line = await door.connect()
    line.send(message(picture()))  # what the first one makes for all of them
    await line.answer()
    waiting = await world.occupy()
    gc.collect()
    gc.disable()
    try:
        leaving = await door.connect()
        await door.send_queued(leaving, message(picture()))
        leaving.leave()
        await until(lambda: len(door.state.connections) == 1)
        line.send(message(picture(), query="timeout_ms=1"))
        assert (await line.answer()).status == 504
        world.puppet.let_go()
        for task in waiting:
            await task
        for seed in range(3):
            line.send(message(picture(seed)))
            assert (await line.answer()).status == 200
        assert door.begun == []
        assert not [each for each in gc.get_objects() if isinstance(each, ExpressRequest)]
    finally:
        gc.enable()
