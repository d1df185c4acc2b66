"""Start, drain, close."""

from __future__ import annotations

import asyncio

import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.task import TaskResult
from app.errors import BatcherStoppedError, ServableNotReadyError
from tests.fakes import PuppetServable, RecordingObserver
from tests.unit.batching.world import World, is_answer_to, outcome_of, policy, random_images, turn

pytestmark = pytest.mark.timeout(5)


async def test_nothing_is_accepted_before_the_start(world: World) -> None:
    batcher = world.batcher()
    assert batcher.failure == "the batcher has not been started"
    assert not batcher.is_healthy
    with pytest.raises(ServableNotReadyError, match="cifar10:1"):
        batcher.schedule(random_images(1)[0])
    assert batcher.is_closed


async def test_it_starts_only_once(world: World) -> None:
    batcher = world.running()
    with pytest.raises(RuntimeError, match="starts only once"):
        batcher.start()


def test_it_starts_on_a_running_loop_only() -> None:
    batcher = DynamicBatcher(PuppetServable(), policy(), observer=RecordingObserver())
    with pytest.raises(RuntimeError, match="no running event loop"):
        batcher.start()


async def test_drain_finishes_accepted_work_and_refuses_new(world: World) -> None:
    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    images = random_images(9)
    tasks = batcher.schedule_many(images)
    draining = asyncio.ensure_future(batcher.drain())
    await turn()
    assert not draining.done()
    with pytest.raises(BatcherStoppedError, match="cifar10:1"):
        batcher.schedule(images[0])
    world.puppet.let_go()
    await draining
    assert all(task.is_done for task in tasks)
    results = await asyncio.gather(*tasks)
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert batcher.is_idle


async def test_drain_may_be_awaited_by_several_and_left_by_one(world: World) -> None:
    batcher = world.running()
    await world.keep_device_busy(batcher)
    first, second, third = (asyncio.ensure_future(batcher.drain()) for _ in range(3))
    await turn()
    first.cancel()
    world.puppet.let_go()
    await asyncio.gather(second, third)
    assert first.cancelled()
    await batcher.drain()


async def test_drain_of_an_idle_batcher_returns_at_once(world: World) -> None:
    await world.running().drain()
    await world.batcher().drain()


async def test_drain_ends_when_the_last_waiting_caller_leaves(world: World) -> None:
    batcher = world.running()
    await world.keep_device_busy(batcher)
    task = batcher.schedule(random_images(1)[0])
    draining = asyncio.ensure_future(batcher.drain())
    await turn()
    task.cancel()
    world.puppet.let_go()
    await draining


async def test_drain_waits_for_no_company(world: World) -> None:
    batcher = world.running(policy(8, batch_timeout_s=60.0))
    tasks = batcher.schedule_many(random_images(3))
    await turn()
    assert batcher.queue_size == 3
    await batcher.drain()
    assert all(task.is_done for task in tasks)
    assert world.company_timers == []


async def test_close_drains_and_ends_the_thread_but_leaves_the_servable_open(world: World) -> None:
    batcher = world.running()
    (image,) = random_images(1)
    task = batcher.schedule(image)
    assert not batcher.is_closed
    assert await batcher.close() == 0
    assert is_answer_to(await task, image)
    assert batcher.is_closed
    assert not world.puppet.is_closed
    assert await batcher.close() == 0


async def test_several_may_close_at_once(world: World) -> None:
    batcher = world.running()
    batcher.schedule_many(random_images(3))
    assert list(await asyncio.gather(batcher.close(), batcher.close())) == [0, 0]


async def test_close_of_a_batcher_that_never_started_returns_at_once(world: World) -> None:
    assert await world.batcher().close(timeout_s=1) == 0


async def test_close_cuts_off_what_is_not_answered_in_time(world: World) -> None:
    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    tasks = batcher.schedule_many(random_images(9))  # four lie ready, five wait
    left = batcher.schedule(random_images(1)[0])
    left.cancel()
    assert await batcher.close(timeout_s=0) == 10, "the one executing, and nine"
    for task in tasks:
        assert isinstance(await outcome_of(task), BatcherStoppedError)
    assert not batcher.is_closed, "the device is still inside the servable"
    world.puppet.let_go()
    assert await batcher.close() == 0
    assert batcher.is_closed
    assert world.puppet.batch_sizes == [1], "nothing is executed that nobody waits for"
    assert batcher.failure is None


async def test_cancelling_every_caller_leaves_a_working_batcher(world: World) -> None:
    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    for task in batcher.schedule_many(random_images(20)):
        task.cancel()
    assert batcher.queue_size == 0
    world.puppet.let_go()
    (image,) = random_images(1)
    result = await outcome_of(batcher.schedule(image))
    assert isinstance(result, TaskResult)
    assert is_answer_to(result, image)
