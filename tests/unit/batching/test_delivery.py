"""How executed batches get their answers."""

from __future__ import annotations

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from app.errors import BatcherStoppedError, QueueFullError
from tests.unit.batching.world import World, is_answer_to, outcome_of, policy, random_images, turn

pytestmark = pytest.mark.timeout(5)

COUNT = 30


async def answered_by_turn(world: World, *, refuses: bool) -> list[int]:
    """Return how many of a batch had their answers after each turn of the event loop."""
    batcher = world.running(policy(32, max_queue_size=COUNT))
    world.puppet.hold()
    images = random_images(COUNT)
    tasks = batcher.schedule_many(images)
    await world.puppet.began(1)
    if refuses:
        batcher.schedule_many(random_images(COUNT))
        with pytest.raises(QueueFullError):
            batcher.schedule(images[0])
    world.puppet.release()
    answered = [0]
    while answered[-1] < COUNT:
        await checkpoint()
        done = sum(task.is_done for task in tasks)
        if done != answered[-1]:
            answered.append(done)
    assert all([is_answer_to(await t, i) for t, i in zip(tasks, images, strict=True)])
    return answered


async def test_batch_is_answered_at_once_where_nobody_is_refused(world: World) -> None:
    assert await answered_by_turn(world, refuses=False) == [0, COUNT]


async def test_others_have_their_turn_between_the_answers_while_somebody_is_refused(
    world: World,
) -> None:
    assert await answered_by_turn(world, refuses=True) == [0, 8, 16, 24, COUNT]


async def test_drain_waits_for_the_last_answer(world: World) -> None:
    batcher = world.running(policy(32, max_queue_size=COUNT))
    world.puppet.hold()
    tasks = batcher.schedule_many(random_images(COUNT))
    await world.puppet.began(1)
    assert batcher.refusal(COUNT + 1) is not None
    draining = asyncio.create_task(batcher.drain())
    world.puppet.release()
    await draining
    assert all(task.is_done for task in tasks)
    assert batcher.is_idle


async def test_who_is_not_answered_yet_when_the_batcher_closes_is_told_so(world: World) -> None:
    batcher = world.running(policy(32, max_queue_size=COUNT))
    world.puppet.hold()
    tasks = batcher.schedule_many(random_images(COUNT))
    await world.puppet.began(1)
    assert batcher.refusal(COUNT + 1) is not None
    world.puppet.release()
    while not tasks[0].is_done:
        await checkpoint()
    assert not batcher.is_idle
    cut_off = await batcher.close(timeout_s=0)
    outcomes = [await outcome_of(task) for task in tasks]
    assert sum(isinstance(each, BatcherStoppedError) for each in outcomes) == cut_off
    await turn()
    assert batcher.is_idle
