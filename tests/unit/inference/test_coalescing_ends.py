"""How images that share an execution end: failures, refusals, times."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.errors import (
    BatcherStoppedError,
    ExecutionError,
    QueueFullError,
    ServableNotReadyError,
)
from app.inference.result_cache import ResultCache
from app.types import ImageArray
from tests.unit.batching.world import (
    World,
    is_answer_to,
    poisoned,
    policy,
    random_images,
    turn,
)
from tests.unit.inference.desk import A, B, C, Desk, answer_of, ended, same

pytestmark = pytest.mark.timeout(20)


async def test_image_that_fails_fails_for_all_and_is_tried_again_by_the_next(
    world: World, cache: ResultCache
) -> None:
    desk = Desk(world, cache=cache)
    bad = poisoned(A)
    tasks = [desk.scheduler.schedule(same(bad)) for _ in range(3)]
    errors = [await ended(task) for task in tasks]
    assert [type(error) for error in errors] == [ExecutionError] * 3
    assert len({id(error) for error in errors}) == 3
    assert {str(error) for error in errors} == {"The network failed on this image."}
    assert all(
        isinstance(e, ExecutionError) and isinstance(e.__cause__, ValueError) for e in errors
    )
    assert len(desk.executed) == 1
    assert len(cache) == 0
    with pytest.raises(ExecutionError):
        await desk.classify(bad)
    assert len(desk.executed) == 2


async def test_those_who_wait_are_told_when_the_batcher_is_cut_off(world: World) -> None:
    desk = Desk(world)
    world.puppet.hold()
    tasks = [desk.scheduler.schedule(same(A)) for _ in range(2)]
    await world.puppet.began(1)
    assert await desk.batcher.close(timeout_s=0) == 1
    errors = [await ended(task) for task in tasks]
    assert [type(error) for error in errors] == [BatcherStoppedError] * 2


async def test_draining_batcher_finishes_for_those_who_wait_and_takes_no_new_image(
    world: World, cache: ResultCache
) -> None:
    desk = Desk(world, cache=cache)
    await desk.classify(B)
    world.puppet.hold()
    first = desk.scheduler.schedule(A)
    await world.puppet.began(2)
    draining = asyncio.create_task(desk.batcher.drain())
    await turn()
    second = desk.scheduler.schedule(same(A))
    with pytest.raises(BatcherStoppedError):
        desk.scheduler.schedule(C)
    assert is_answer_to(await desk.classify(B), B), "a kept image needs no batcher"
    world.puppet.let_go()
    await draining
    assert is_answer_to(await answer_of(first), A)
    assert is_answer_to(await answer_of(second), A)


async def test_death_of_the_device_thread_is_told_to_all(world: World) -> None:
    desk = Desk(world)

    def die(images: ImageArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        raise SystemExit

    world.puppet.behave = die
    tasks = [desk.scheduler.schedule(same(A)) for _ in range(2)]
    errors = [await ended(task) for task in tasks]
    assert [type(error) for error in errors] == [ServableNotReadyError] * 2


async def test_request_is_refused_as_a_whole_where_its_new_images_have_no_room(
    world: World,
) -> None:
    desk = Desk(world, policy(1, max_queue_size=2))
    await world.keep_device_busy(desk.batcher)
    desk.batcher.schedule(random_images(1, seed=98)[0])
    await turn()
    waiting = desk.scheduler.schedule(A, priority="bulk")
    with pytest.raises(QueueFullError):
        desk.scheduler.schedule_many([same(A), B, C])
    assert desk.batcher.queue_size == 1
    assert desk.counted == ["miss"]
    waiting.cancel()
    assert desk.batcher.queue_size == 0, "nobody of the refused request waits for it"


async def test_known_image_is_taken_where_the_queue_is_full(world: World) -> None:
    desk = Desk(world, policy(1, max_queue_size=1))
    await world.keep_device_busy(desk.batcher)
    desk.batcher.schedule(random_images(1, seed=98)[0])
    await turn()
    tasks = [desk.scheduler.schedule(A), desk.scheduler.schedule(same(A))]
    with pytest.raises(QueueFullError):
        desk.scheduler.schedule(B)
    world.puppet.let_go()
    for task in tasks:
        assert is_answer_to(await answer_of(task), A)


async def test_followers_have_a_bound_of_their_own(world: World) -> None:
    desk = Desk(world, policy(4, max_queue_size=2))
    world.puppet.hold()
    tasks = [desk.scheduler.schedule(same(A)) for _ in range(3)]
    with pytest.raises(QueueFullError, match=r"2 images .* 1 more .* 2 \(KERASERVE_MAX_QUEUE_SIZE"):
        desk.scheduler.schedule(same(A))
    tasks[0].cancel()
    tasks[0].cancel()  # frees no second place
    tasks.append(desk.scheduler.schedule(same(A)))
    with pytest.raises(QueueFullError):
        desk.scheduler.schedule(same(A))
    world.puppet.let_go()
    for task in tasks[1:]:
        assert is_answer_to(await answer_of(task), A)
    again = [desk.scheduler.schedule(same(A)) for _ in range(3)]
    assert [(await answer_of(task)).batch_size for task in again] == [1, 1, 1]


async def test_times_of_a_follower_are_those_that_it_spent_itself(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    first = desk.scheduler.schedule(A)
    world.clock.advance(3)
    queued = desk.scheduler.schedule(same(A))
    world.clock.advance(1)
    world.puppet.release()
    await world.puppet.began(2)
    world.clock.advance(5)
    executing = desk.scheduler.schedule(same(A))
    world.clock.advance(2)
    world.puppet.let_go()
    times = [
        (result.queue_delay_s, result.execution_s, result.batch_size)
        for result in [await answer_of(task) for task in (first, queued, executing)]
    ]
    assert times == [(4.0, 7.0, 1), (1.0, 7.0, 1), (0.0, 2.0, 1)]
