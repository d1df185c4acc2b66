"""Identical images under way at one time: who waits with whom, and for how long."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.batching.task import TaskResult
from app.errors import (
    DeadlineExceededError,
)
from app.inference.result_cache import ResultCache
from app.inference.shared_task import SharedTask
from tests.unit.batching.world import (
    World,
    is_answer_to,
    policy,
    random_images,
    turn,
)
from tests.unit.inference.desk import A, B, C, Desk, answer_of, ended, same

pytestmark = pytest.mark.timeout(20)


async def test_two_identical_images_are_executed_once_and_both_are_answered(world: World) -> None:
    desk = Desk(world)
    first, second = desk.scheduler.schedule(A), desk.scheduler.schedule(same(A))
    answers = await asyncio.gather(answer_of(first), answer_of(second))
    assert all(is_answer_to(answer, A) for answer in answers)
    assert len(desk.executed) == 1
    assert desk.counted == ["miss", "coalesced"] == [first.reuse, second.reuse]


async def test_image_that_comes_while_its_equal_is_executed_waits_for_that(world: World) -> None:
    desk = Desk(world)
    world.puppet.hold()
    first = desk.scheduler.schedule(A)
    await world.puppet.began(1)
    second = desk.scheduler.schedule(same(A))
    world.puppet.release()
    assert is_answer_to(await answer_of(first), A)
    assert is_answer_to(await answer_of(second), A)
    assert len(desk.executed) == 1


async def test_image_that_comes_after_the_answer_is_executed_anew(world: World) -> None:
    desk = Desk(world)
    await desk.classify(A)
    assert is_answer_to(await desk.classify(same(A)), A)
    assert desk.counted == ["miss", "miss"]
    assert len(desk.executed) == 2


async def test_different_images_are_executed_each(world: World) -> None:
    desk = Desk(world)
    tasks = desk.scheduler.schedule_many([A, B])
    assert is_answer_to(await answer_of(tasks[0]), A)
    assert is_answer_to(await answer_of(tasks[1]), B)
    assert desk.counted == ["miss", "miss"]


async def test_equal_hashes_do_not_make_images_equal(world: World, cache: ResultCache) -> None:
    desk = Desk(world, cache=cache, digest=lambda _: 7)
    images = [A, B, same(A), same(B), C]
    tasks = desk.scheduler.schedule_many(images)
    for image, task in zip(images, tasks, strict=True):
        assert is_answer_to(await answer_of(task), image)
    for image in images:
        assert is_answer_to(await desk.classify(image), image)


async def test_first_caller_that_leaves_does_not_take_the_others_along(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    first, second = (
        asyncio.create_task(ended(desk.scheduler.schedule(image))) for image in (A, same(A))
    )
    await turn()
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    world.puppet.let_go()
    answer = await second
    assert isinstance(answer, TaskResult)
    assert is_answer_to(answer, A)
    assert len(desk.executed) == 1


async def test_follower_that_leaves_does_not_take_the_first_along(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    first, second = desk.scheduler.schedule(A), desk.scheduler.schedule(same(A))
    second.cancel()
    world.puppet.let_go()
    assert is_answer_to(await answer_of(first), A)
    with pytest.raises(asyncio.CancelledError):
        await answer_of(second)


async def test_image_is_withdrawn_once_all_of_its_callers_have_left(world: World) -> None:
    desk = Desk(world, policy(1))
    await world.keep_device_busy(desk.batcher)
    desk.batcher.schedule(C)  # lies ready behind: what comes now stays in the queue
    await turn()
    tasks = [desk.scheduler.schedule(same(A)) for _ in range(3)]
    assert desk.batcher.queue_size == 1
    for task in tasks[:2]:
        task.cancel()
    assert desk.batcher.queue_size == 1
    tasks[2].cancel()
    tasks[2].cancel()
    assert desk.batcher.queue_size == 0
    world.puppet.let_go()
    assert is_answer_to(await desk.classify(A), A), "an image of before does not stand in its way"


async def test_callers_who_are_cancelled_while_they_wait_withdraw_their_image(world: World) -> None:
    desk = Desk(world, policy(1))
    await world.keep_device_busy(desk.batcher)
    desk.batcher.schedule(C)
    await turn()
    callers = [asyncio.create_task(ended(desk.scheduler.schedule(same(A)))) for _ in range(2)]
    await turn()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert desk.batcher.queue_size == 0


async def test_callers_who_all_left_while_it_was_executed_miss_nothing(world: World) -> None:
    desk = Desk(world)
    world.puppet.hold()
    tasks = [desk.scheduler.schedule(A), desk.scheduler.schedule(same(A))]
    await world.puppet.began(1)
    for task in tasks:
        task.cancel()
    late = desk.scheduler.schedule(same(A))
    world.puppet.let_go()
    assert is_answer_to(await answer_of(late), A)
    assert late.reuse == "miss"


async def test_later_deadline_of_a_follower_counts_in_the_queue(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    now_s = world.clock()
    first = desk.scheduler.schedule(A, deadline_s=now_s + 1)
    second = desk.scheduler.schedule(same(A), deadline_s=now_s + 10)
    first.cancel()  # as its caller does at the deadline
    world.clock.advance(5)
    world.puppet.let_go()
    assert is_answer_to(await answer_of(second), A)


async def test_earlier_deadline_of_a_follower_does_not_count_for_the_first(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    now_s = world.clock()
    first = desk.scheduler.schedule(A)
    desk.scheduler.schedule(same(A), deadline_s=now_s + 1).cancel()
    world.clock.advance(5)
    world.puppet.let_go()
    assert is_answer_to(await answer_of(first), A)


async def test_follower_after_the_deadline_of_a_waiting_image_revives_it(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    first = desk.scheduler.schedule(A, deadline_s=world.clock() + 1)
    world.clock.advance(2)
    second = desk.scheduler.schedule(same(A), deadline_s=world.clock() + 1)
    world.puppet.let_go()
    assert is_answer_to(await answer_of(second), A)
    assert is_answer_to(await answer_of(first), A)


async def test_all_expired_callers_are_told_so_each_with_an_error_of_his_own(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    tasks = [desk.scheduler.schedule(same(A), deadline_s=world.clock() + 1) for _ in range(2)]
    world.clock.advance(2)
    world.puppet.let_go()
    errors = [await ended(task) for task in tasks]
    assert [type(error) for error in errors] == [DeadlineExceededError] * 2
    assert errors[0] is not errors[1]
    assert desk.executed == []


async def test_image_that_comes_as_its_equal_has_expired_is_executed(world: World) -> None:
    desk = Desk(world)
    late: list[SharedTask] = []
    await world.keep_device_busy(desk.batcher)
    first = desk.scheduler.schedule(A, deadline_s=world.clock() + 1)

    def come(queue_size: int) -> None:
        # The batcher has just told the first one that it expired; its callers do not know yet.
        if queue_size == 0 and not late:
            late.append(desk.scheduler.schedule(same(A)))

    world.clock.advance(2)
    world.observer.queue_size_changed = come  # type: ignore[method-assign]
    world.puppet.let_go()
    assert isinstance(await ended(first), DeadlineExceededError)
    assert is_answer_to(await answer_of(late[0]), A)
    assert late[0].reuse == "miss"


async def test_interactive_follower_does_not_wait_at_the_place_of_bulk(world: World) -> None:
    desk = Desk(world, policy(1))
    await world.keep_device_busy(desk.batcher)
    desk.batcher.schedule(random_images(1, seed=98)[0])  # lies ready
    await turn()
    bulk = desk.scheduler.schedule(A, priority="bulk")
    before = desk.scheduler.schedule(B)
    follower = desk.scheduler.schedule(same(A))
    after = desk.scheduler.schedule(C)
    world.puppet.let_go()
    await asyncio.gather(answer_of(bulk), answer_of(before), answer_of(follower), answer_of(after))
    assert [np.array_equal(*pair) for pair in zip(desk.executed, (B, A, C), strict=True)] == [
        True, True, True,
    ]  # fmt: skip


async def test_bulk_follower_leaves_an_interactive_image_at_its_place(world: World) -> None:
    desk = Desk(world, policy(1))
    await world.keep_device_busy(desk.batcher)
    desk.batcher.schedule(random_images(1, seed=98)[0])
    await turn()
    first, second = desk.scheduler.schedule(A), desk.scheduler.schedule(B)
    desk.scheduler.schedule(same(A), priority="bulk")
    world.puppet.let_go()
    await asyncio.gather(answer_of(first), answer_of(second))
    assert np.array_equal(desk.executed[0], A)


async def test_repeated_image_of_one_request_is_executed_once(world: World) -> None:
    desk = Desk(world)
    images = [A, B, same(A), same(A), same(B)]
    tasks = desk.scheduler.schedule_many(images)
    for image, task in zip(images, tasks, strict=True):
        assert is_answer_to(await answer_of(task), image)
    assert desk.counted == ["miss", "miss", "coalesced", "coalesced", "coalesced"]
    assert len(desk.executed) == 2
