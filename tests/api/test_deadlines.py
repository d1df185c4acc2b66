"""The deadline of a request, a full queue, and the end of the service."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.api.call import Call
from tests.api.world import World, assert_problem, picture, serving, until

SOON_MS = 50


async def test_deadline_drops_what_waits_and_it_is_never_executed(tmp_path: Path) -> None:
    async with serving(tmp_path, max_batch_size=1) as world:
        before = len(world.puppet.executed)
        accepted = await world.occupy()
        response = await world.classify(timeout_ms=SOON_MS)
        assert_problem(response, 504, "deadline_exceeded")
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200, 200]
        assert (await world.classify()).status_code == 200
        assert len(world.puppet.executed) == before + 3
        labels = {"model": "cifar10", "version": "1"}
        assert world.count("images_total", **labels, outcome="deadline") == 1


async def test_deadline_of_the_server_holds_where_the_request_names_none(tmp_path: Path) -> None:
    async with serving(tmp_path, request_timeout_ms=SOON_MS) as world:
        world.puppet.hold()
        assert_problem(await world.classify(), 504, "deadline_exceeded")


async def test_deadline_of_a_batch_is_that_of_the_whole_request(world: World) -> None:
    world.puppet.hold()
    response = await world.classify_batch([("a", picture())] * 3, timeout_ms=SOON_MS)
    assert_problem(response, 504, "deadline_exceeded")


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/classify/batch"])
async def test_body_that_does_not_arrive_in_time_is_given_up(world: World, path: str) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": "5000"}
    call = Call(world.app, path, query=f"timeout_ms={SOON_MS}", headers=headers)
    call.feed(b"--b\r\n", has_more=True)
    await call.end()
    assert (call.status, call.document["code"]) == (504, "deadline_exceeded")
    assert "body" in call.document["detail"]
    assert call.is_answered


async def test_full_queue_refuses_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    limits = {"max_batch_size": 1, "max_queue_size": 1, "max_images_per_request": 1}
    async with serving(tmp_path, **limits) as world:
        assert (await world.classify()).status_code == 200  # a rate to compute with
        accepted = [*await world.occupy(), world.begin()]
        await until(lambda: world.batcher.queue_size == 1)
        response = await world.classify()
        assert_problem(response, 429, "queue_full", "1", "KERASERVE_MAX_QUEUE_SIZE")
        expected = max(1, math.ceil(world.batcher.retry_after_s()))
        assert int(response.headers["retry-after"]) == expected
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200] * 3
        assert (await world.classify()).status_code == 200


async def test_stopping_service_refuses_new_images_and_finishes_accepted_ones(
    world: World,
) -> None:
    before = len(world.puppet.executed)
    world.puppet.hold()
    accepted = world.begin()
    await world.puppet.began(before + 1)
    world.lifecycle.refuse()
    assert_problem(await world.classify(), 503, "draining")
    assert_problem(await world.classify_batch([("a", picture())]), 503, "draining")
    world.puppet.let_go()
    assert (await accepted).status_code == 200


async def test_service_that_is_about_to_stop_still_accepts(world: World) -> None:
    world.lifecycle.begin_drain()
    assert (await world.client.get("/readyz")).json()["reasons"] == ["draining"]
    assert (await world.classify()).status_code == 200


async def test_request_that_the_stopping_server_cancels_is_answered(world: World) -> None:
    before = len(world.puppet.executed)
    world.puppet.hold()
    call = Call(world.app)
    call.feed(picture())
    await world.puppet.began(before + 1)
    call.task.cancel()
    await until(call.task.done)
    assert call.task.cancelled()
    assert (call.status, call.document["code"]) == (503, "draining")
    assert call.is_answered
    world.puppet.let_go()
    await world.lifecycle.stop()
    assert not world.lifecycle.is_drained, "an accepted request was cut off"
