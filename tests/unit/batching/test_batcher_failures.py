"""Cancellation, deadlines, executions that fail or hang."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from app.batching.policy import BatchPolicy
from app.batching.task import TaskResult
from app.errors import (
    DeadlineExceededError,
    ExecutionError,
    OutOfDeviceMemoryError,
)
from app.types import ImageArray, ScoreArray
from tests.fakes import scores_of
from tests.unit.batching.world import (
    World,
    is_answer_to,
    outcome_of,
    poisoned,
    policy,
    random_images,
    refuse_poison,
    turn,
)

pytestmark = pytest.mark.timeout(5)


async def test_a_cancelled_task_is_left_out_of_the_next_batch(world: World) -> None:
    batcher = world.running()
    await world.keep_device_busy(batcher)
    images = random_images(3)
    tasks = batcher.schedule_many(images)
    caller = asyncio.ensure_future(tasks[1].result())
    await turn()
    caller.cancel()
    await turn()
    assert caller.cancelled()
    assert batcher.queue_size == 2
    assert world.observer.queue_sizes[-1] == 2
    world.puppet.let_go()
    results = [await tasks[0], await tasks[2]]
    assert world.puppet.batch_sizes == [1, 2]
    assert all(is_answer_to(r, i) for r, i in zip(results, (images[0], images[2]), strict=True))


async def test_the_row_of_a_task_cancelled_while_executing_is_discarded(world: World) -> None:
    world.puppet.hold()
    batcher = world.running()
    images = random_images(3)
    tasks = batcher.schedule_many(images)
    await world.puppet.began(1)
    tasks[1].cancel()
    world.puppet.let_go()
    results = [await tasks[0], await tasks[2]]
    assert all(is_answer_to(r, i) for r, i in zip(results, (images[0], images[2]), strict=True))
    assert isinstance(await outcome_of(tasks[1]), asyncio.CancelledError)
    assert batcher.is_healthy


async def test_a_task_cancelled_in_a_batch_that_lies_ready_is_not_executed(world: World) -> None:
    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    tasks = batcher.schedule_many(random_images(4))
    await turn()
    tasks[0].cancel()
    world.puppet.let_go()
    await asyncio.gather(*tasks[1:])
    assert world.puppet.batch_sizes == [1, 3]


async def test_an_expired_task_is_not_executed(world: World) -> None:
    batcher = world.running()
    await world.keep_device_busy(batcher)
    images = random_images(2)
    late = batcher.schedule(images[0], deadline_s=world.clock() + 1.0)
    good = batcher.schedule(images[1], deadline_s=world.clock() + 1.5)
    world.clock.advance(1.0)
    world.puppet.let_go()
    with pytest.raises(DeadlineExceededError):
        await late
    assert is_answer_to(await good, images[1])
    assert world.puppet.batch_sizes == [1, 1]


async def test_a_queue_of_expired_tasks_is_no_execution(world: World) -> None:
    batcher = world.running()
    tasks = batcher.schedule_many(random_images(3), deadline_s=world.clock())
    for task in tasks:
        assert isinstance(await outcome_of(task), DeadlineExceededError)
    assert world.puppet.batch_sizes == []
    assert batcher.is_idle


async def test_only_the_culprit_of_a_failing_batch_gets_an_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.puppet.behave = refuse_poison
    batcher = world.running()
    images = random_images(9)
    images[4] = poisoned(images[4])
    outcomes = [await outcome_of(task) for task in batcher.schedule_many(images)]
    error = outcomes.pop(4)
    assert isinstance(error, ExecutionError)
    assert isinstance(error.__cause__, ValueError)
    assert "poison" not in str(error)
    del images[4]
    for outcome, image in zip(outcomes, images, strict=True):
        assert isinstance(outcome, TaskResult)
        assert is_answer_to(outcome, image)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("app.batching.reporting", logging.ERROR)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert record.__dict__["images"] == 1
    assert batcher.is_healthy


async def test_padding_rows_never_reach_an_answer(world: World) -> None:
    def forget_to_cut(images: ImageArray) -> ScoreArray:
        filling = np.zeros((8 - len(images), *images.shape[1:]), np.uint8)
        return scores_of(np.concatenate([images, filling]))

    world.puppet.behave = forget_to_cut
    batcher = world.running(policy(8))
    for task in batcher.schedule_many(random_images(3)):
        assert isinstance(await outcome_of(task), ExecutionError)


async def test_out_of_memory_makes_batches_smaller_for_good(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def behave(images: ImageArray) -> ScoreArray:
        if len(images) > 4:
            raise OutOfDeviceMemoryError("no")
        return scores_of(images)

    world.puppet.behave = behave
    batcher = world.running(policy(8))
    images = random_images(8)
    results = await asyncio.gather(*batcher.schedule_many(images))
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert {result.batch_size for result in results} == {4}
    assert batcher.policy.max_batch_size == 4
    await asyncio.gather(*batcher.schedule_many(images))
    assert world.puppet.batch_sizes == [8, 4, 4, 4, 4]
    (record,) = caplog.records
    assert record.__dict__["max_batch_size"] == 4


async def test_a_batch_lying_ready_is_split_when_the_one_before_ran_out_of_memory(
    world: World,
) -> None:
    def behave(images: ImageArray) -> ScoreArray:
        if len(images) > 2:
            raise OutOfDeviceMemoryError("no")
        return scores_of(images)

    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    tasks = batcher.schedule_many(random_images(8))
    world.puppet.behave = behave
    world.puppet.let_go()
    await asyncio.gather(*tasks)
    assert world.puppet.batch_sizes == [1, 4, 2, 2, 2, 2]


async def test_a_sick_device_makes_the_batcher_unhealthy_until_it_answers_again(
    world: World,
) -> None:
    def break_down(images: ImageArray) -> ScoreArray:
        raise RuntimeError("lost the device")

    batcher = world.running()
    await batcher.schedule(random_images(1)[0])
    world.puppet.behave = break_down
    assert isinstance(await outcome_of(batcher.schedule(random_images(1)[0])), ExecutionError)
    assert not batcher.is_healthy
    assert "could classify before" in str(batcher.failure)
    world.puppet.behave = scores_of
    await batcher.schedule(random_images(1)[0])
    assert batcher.is_healthy


async def test_a_sick_device_is_tried_again_after_a_while_though_nobody_asked_it(
    world: World,
) -> None:
    def break_down(images: ImageArray) -> ScoreArray:
        raise RuntimeError("lost the device")

    batcher = world.running(BatchPolicy(stall_after_s=60.0))
    await batcher.schedule(random_images(1)[0])
    world.puppet.behave = break_down
    assert isinstance(await outcome_of(batcher.schedule(random_images(1)[0])), ExecutionError)
    world.clock.advance(60.0)
    assert not batcher.is_healthy
    world.clock.advance(1.0)
    assert batcher.is_healthy, "unready for ever, no request would come that shows it well"


async def test_an_execution_that_hangs_makes_the_batcher_unhealthy_until_it_ends(
    world: World,
) -> None:
    batcher = world.running(BatchPolicy(stall_after_s=60.0))
    await world.keep_device_busy(batcher)
    world.clock.advance(59.0)
    assert batcher.is_healthy
    world.clock.advance(2.0)
    assert batcher.failure == "one execution has been running for 61 s, limit 60 s"
    world.puppet.let_go()
    await batcher.drain()
    assert batcher.is_healthy


async def test_the_time_of_a_batch_that_lay_ready_counts_from_its_own_start(world: World) -> None:
    batcher = world.running(policy(2, stall_after_s=60.0))
    await world.keep_device_busy(batcher)
    batcher.schedule_many(random_images(2))
    await turn()
    world.clock.advance(50.0)
    world.puppet.release()
    await world.puppet.began(2)
    await turn()
    world.clock.advance(50.0)
    assert batcher.is_healthy
