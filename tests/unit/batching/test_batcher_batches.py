"""Who travels with whom, and when."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.errors import QueueFullError
from app.types import ImageArray, ScoreArray
from tests.fakes import scores_of
from tests.unit.batching.world import World, is_answer_to, policy, random_images, turn

pytestmark = pytest.mark.timeout(5)


async def test_an_idle_device_takes_a_lone_task_at_once(world: World) -> None:
    world.puppet.hold()
    batcher = world.running()
    (image,) = random_images(1)
    task = batcher.schedule(image)
    await world.puppet.began(1)
    assert world.company_timers == []
    world.puppet.release()
    result = await task
    assert is_answer_to(result, image)
    assert (result.batch_size, result.queue_delay_s) == (1, 0.0)


async def test_tasks_of_one_turn_of_the_loop_travel_together(world: World) -> None:
    batcher = world.running()
    images = random_images(6)
    tasks = [batcher.schedule(image) for image in images]
    results = await asyncio.gather(*tasks)
    assert world.puppet.batch_sizes == [6]
    assert {result.batch_size for result in results} == {6}


async def test_while_the_device_works_the_batch_grows(world: World) -> None:
    batcher = world.running()
    await world.keep_device_busy(batcher)
    tasks = []
    for image in random_images(3):
        tasks.append(batcher.schedule(image))
        await turn()
    assert batcher.queue_size == 3
    world.puppet.let_go()
    results = await asyncio.gather(*tasks)
    assert world.puppet.batch_sizes == [1, 3]
    assert {result.batch_size for result in results} == {3}


async def test_every_caller_gets_his_own_row(world: World) -> None:
    batcher = world.running(policy(8))
    images = random_images(100, seed=3)
    results = await asyncio.gather(*batcher.schedule_many(images))
    assert all(is_answer_to(r, image) for r, image in zip(results, images, strict=True))
    assert world.puppet.batch_sizes == [8] * 12 + [4]


async def test_images_are_executed_in_the_order_they_came(world: World) -> None:
    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    images = random_images(10, seed=4)
    tasks = [batcher.schedule(image) for image in images]
    world.puppet.let_go()
    await asyncio.gather(*tasks)
    executed = np.concatenate(world.puppet.executed[1:])
    assert np.array_equal(executed, np.stack(images))


async def test_a_full_batch_closes_while_the_device_works(world: World) -> None:
    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    batcher.schedule_many(random_images(3))
    await turn()
    assert batcher.queue_size == 3, "not full yet"
    batcher.schedule(random_images(1, seed=1)[0])
    await turn()
    assert batcher.queue_size == 0, "full"
    batcher.schedule_many(random_images(4, seed=2))
    await turn()
    assert batcher.queue_size == 4, "only one batch lies ready"
    world.puppet.let_go()
    await batcher.drain()
    assert world.puppet.batch_sizes == [1, 4, 4]


async def test_a_batch_with_bulk_stays_open_for_interactive(world: World) -> None:
    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    bulk = batcher.schedule_many(random_images(8), priority="bulk")
    await turn()
    assert batcher.queue_size == 8
    (image,) = random_images(1, seed=1)
    interactive = batcher.schedule(image)
    world.puppet.let_go()
    await asyncio.gather(interactive, *bulk)
    assert np.array_equal(world.puppet.executed[1][0], image)
    assert world.puppet.batch_sizes == [1, 4, 4, 1]


async def test_never_two_executions_at_once(world: World) -> None:
    batcher = world.running(policy(2))
    tasks = batcher.schedule_many(random_images(50))
    while not all(task.is_done for task in tasks):
        await turn()
    assert world.puppet.most_at_once == 1


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(world: World) -> None:
    batcher = world.running(policy(8, max_queue_size=2))
    await world.keep_device_busy(batcher)
    first, image = random_images(2)
    waiting = batcher.schedule(first)
    batcher.schedule(image)
    with pytest.raises(QueueFullError, match=r"limit is 2 \(KERASERVE_MAX_QUEUE_SIZE\)") as caught:
        batcher.schedule(image)
    assert caught.value.retry_after_s == 1.0
    waiting.cancel()
    assert batcher.queue_size == 1
    task = batcher.schedule(image)
    world.puppet.let_go()
    assert is_answer_to(await task, image)


async def test_many_images_are_accepted_together_or_not_at_all(world: World) -> None:
    batcher = world.running(policy(8, max_queue_size=4))
    await world.keep_device_busy(batcher)
    batcher.schedule_many(random_images(2))
    with pytest.raises(QueueFullError, match=r"2 images wait .* 3 more"):
        batcher.schedule_many(random_images(3))
    assert batcher.queue_size == 2
    assert batcher.schedule_many([]) == []
    assert len(batcher.schedule_many(random_images(2))) == 2


async def test_retry_after_is_computed_from_the_measured_rate(world: World) -> None:
    def behave(images: ImageArray) -> ScoreArray:
        world.clock.advance(len(images) * 0.5)
        return scores_of(images)

    world.puppet.behave = behave
    batcher = world.running(policy(4))
    assert batcher.retry_after_s() == 1.0, "nothing measured yet"
    await asyncio.gather(*batcher.schedule_many(random_images(8)))
    await world.keep_device_busy(batcher)
    batcher.schedule_many(random_images(10), priority="bulk")
    assert batcher.retry_after_s() == pytest.approx(5.0)


async def test_with_a_timeout_a_batch_closes_at_the_deadline_of_the_oldest(world: World) -> None:
    world.puppet.hold()
    batcher = world.running(policy(8, batch_timeout_s=0.010))
    tasks = [batcher.schedule(random_images(1)[0])]
    await turn()
    world.clock.advance(0.006)
    tasks.append(batcher.schedule(random_images(1, seed=1)[0]))
    await turn()
    world.clock.advance(0.0039)
    await turn()
    assert (batcher.queue_size, batcher.is_idle) == (2, False)
    world.clock.advance(0.0002)
    assert batcher.queue_size == 0
    world.puppet.let_go()
    results = await asyncio.gather(*tasks)
    assert world.puppet.batch_sizes == [2]
    assert [result.queue_delay_s for result in results] == pytest.approx([0.010, 0.004], abs=2e-4)


async def test_with_a_timeout_a_full_batch_closes_before(world: World) -> None:
    batcher = world.running(policy(2, batch_timeout_s=0.010))
    await asyncio.gather(*batcher.schedule_many(random_images(2)))
    assert world.puppet.batch_sizes == [2]
    assert world.company_timers == []


async def test_with_a_timeout_the_next_oldest_counts_when_the_oldest_left(world: World) -> None:
    batcher = world.running(policy(8, batch_timeout_s=0.010))
    oldest = batcher.schedule(random_images(1)[0])
    await turn()
    world.clock.advance(0.006)
    next_oldest = batcher.schedule(random_images(1, seed=1)[0])
    oldest.cancel()
    world.clock.advance(0.005)
    await turn()
    assert batcher.queue_size == 1, "the moment of the cancelled one passed"
    world.clock.advance(0.005)
    assert (await next_oldest).batch_size == 1


async def test_a_timeout_that_passed_while_the_device_worked_is_not_waited_again(
    world: World,
) -> None:
    batcher = world.running(policy(8, batch_timeout_s=0.010))
    world.puppet.hold()
    batcher.schedule(random_images(1)[0])
    await turn()
    world.clock.advance(0.010)
    await world.puppet.began(1)
    waiting = batcher.schedule(random_images(1, seed=1)[0])
    await turn()
    assert world.company_timers == [], "nothing to wake up for while the device works"
    world.clock.advance(0.020)
    world.puppet.let_go()
    await waiting
    assert world.puppet.batch_sizes == [1, 1]


async def test_with_a_timeout_a_timer_is_set_when_the_device_is_free_too_early(
    world: World,
) -> None:
    batcher = world.running(policy(8, batch_timeout_s=0.010))
    world.puppet.hold()
    first = batcher.schedule(random_images(1)[0])
    await turn()
    world.clock.advance(0.010)
    await world.puppet.began(1)
    waiting = batcher.schedule(random_images(1, seed=1)[0])
    world.puppet.let_go()
    await first
    await turn()
    assert batcher.queue_size == 1
    world.clock.advance(0.010)
    await waiting
    assert world.puppet.batch_sizes == [1, 1]


async def test_the_observer_is_told_of_batches_delays_and_the_queue(world: World) -> None:
    batcher = world.running(policy(8))
    await world.keep_device_busy(batcher)
    tasks = batcher.schedule_many(random_images(3))
    assert world.observer.queue_sizes[-1] == 3
    world.clock.advance(2.0)
    world.puppet.let_go()
    await asyncio.gather(*tasks)
    assert world.observer.batches == [(1, 0), (3, 1)]
    assert world.observer.queue_delays_s == [0.0, 2.0, 2.0, 2.0]
    assert world.observer.queue_sizes[-1] == 0
