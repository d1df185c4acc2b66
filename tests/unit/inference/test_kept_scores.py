"""Images whose scores are kept from before."""

from __future__ import annotations

import asyncio

import pytest

from app.inference.result_cache import ResultCache
from tests.unit.batching.world import (
    World,
    is_answer_to,
    turn,
)
from tests.unit.inference.desk import A, B, Desk, answer_of, same

pytestmark = pytest.mark.timeout(20)


async def test_kept_scores_are_answered_without_queue_and_execution(
    world: World, cache: ResultCache
) -> None:
    desk = Desk(world, coalesces=False, cache=cache)
    await desk.classify(A)
    answer = await desk.classify(same(A))
    assert is_answer_to(answer, A)
    assert (answer.queue_delay_s, answer.execution_s, answer.batch_size) == (0.0, 0.0, 0)
    assert desk.counted == ["miss", "hit"]
    assert len(desk.executed) == 1


async def test_cache_alone_does_not_coalesce(world: World, cache: ResultCache) -> None:
    desk = Desk(world, coalesces=False, cache=cache)
    tasks = desk.scheduler.schedule_many([A, same(A)])
    for task in tasks:
        assert is_answer_to(await answer_of(task), A)
    assert desk.counted == ["miss", "miss"]
    assert len(desk.executed) == 2
    assert len(cache) == 1


async def test_scores_of_an_image_that_was_withdrawn_are_not_kept(
    world: World, cache: ResultCache
) -> None:
    desk = Desk(world, cache=cache)
    await world.keep_device_busy(desk.batcher)
    desk.scheduler.schedule(A).cancel()
    world.puppet.let_go()
    await desk.batcher.drain()
    await turn()
    assert len(cache) == 0


async def test_nobody_can_write_to_shared_scores(world: World, cache: ResultCache) -> None:
    desk = Desk(world, cache=cache)
    answers = [await desk.classify(A), await desk.classify(same(A))]
    for answer in answers:
        with pytest.raises(ValueError, match="read-only"):
            answer.scores[0] = 9
        with pytest.raises(ValueError, match="WRITEABLE"):
            answer.scores.setflags(write=True)
    assert is_answer_to(await desk.classify(A), A)


async def test_image_that_is_written_to_afterwards_does_not_change_what_is_kept(
    world: World, cache: ResultCache
) -> None:
    desk = Desk(world, cache=cache)
    mine = same(A)
    await desk.classify(mine)
    mine[:] = B
    assert is_answer_to(await desk.classify(A), A)
    assert is_answer_to(await desk.classify(mine), B)
    assert desk.counted == ["miss", "hit", "miss"]


async def test_same_pixels_for_two_versions_are_executed_by_each(
    world: World, cache: ResultCache
) -> None:
    one, two = Desk(world, cache=cache), Desk(world, cache=cache)
    await asyncio.gather(one.classify(A), two.classify(same(A)))
    assert len(one.executed) == 2, "the puppet is that of both"
    assert one.counted == two.counted == ["miss"]
    await one.scheduler.close()
    assert len(cache) == 1
    await two.classify(A)
    assert two.counted == ["miss", "hit"]
