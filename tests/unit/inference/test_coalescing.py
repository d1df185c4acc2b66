"""Identical images under way at one time, and images whose scores are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.batching.task import TaskResult
from app.errors import (
    BatcherStoppedError,
    DeadlineExceededError,
    ExecutionError,
    QueueFullError,
    ServableNotReadyError,
)
from app.inference.coalescing import ReusingScheduler
from app.inference.result_cache import ResultCache
from app.inference.shared_task import Reuse, SharedTask
from app.types import ImageArray
from tests.fakes import PuppetServable
from tests.unit.batching.world import (
    World,
    is_answer_to,
    poisoned,
    policy,
    random_images,
    refuse_poison,
    turn,
)
from tests.unit.inference.test_result_cache import Recorder

A, B, C = random_images(3)


class Desk:
    """A batcher with what stands before it, and what that has counted."""

    def __init__(
        self,
        world: World,
        batch_policy: BatchPolicy | None = None,
        *,
        coalesces: bool = True,
        cache: ResultCache | None = None,
        digest: Callable[[bytes], int] = hash,
    ) -> None:
        self.world = world
        self.batcher: DynamicBatcher = world.running(batch_policy)
        self.counted: list[Reuse] = []
        self.scheduler = ReusingScheduler(
            self.batcher,
            coalesces=coalesces,
            cache=None if cache is None else cache.section(),
            count=self.counted.append,
            digest=digest,
            clock=world.clock,
        )

    @property
    def executed(self) -> list[ImageArray]:
        """The images that were executed, but for those that keep the device busy."""
        known = (A, B, C, poisoned(A))
        return [
            image
            for images in self.world.puppet.executed
            for image in images
            if any(np.array_equal(image, other) for other in known)
        ]

    async def classify(self, image: ImageArray) -> TaskResult:
        return await self.scheduler.schedule(image).result()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(PuppetServable(refuse_poison))
    yield world
    await world.close()


@pytest.fixture
def cache() -> ResultCache:
    return ResultCache(1_000_000, Recorder())


def same(image: ImageArray) -> ImageArray:
    """Return the same pixels in memory of their own, as another upload brings them."""
    return image.copy()


async def ended(task: SharedTask) -> TaskResult | Exception:
    """Wait for an answer, whatever it is."""
    try:
        return await task.result()
    except Exception as error:
        return error


async def test_two_identical_images_are_executed_once_and_both_are_answered(world: World) -> None:
    desk = Desk(world)
    first, second = desk.scheduler.schedule(A), desk.scheduler.schedule(same(A))
    answers = await asyncio.gather(first.result(), second.result())
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
    assert is_answer_to(await first.result(), A)
    assert is_answer_to(await second.result(), A)
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
    assert is_answer_to(await tasks[0].result(), A)
    assert is_answer_to(await tasks[1].result(), B)
    assert desk.counted == ["miss", "miss"]


async def test_equal_hashes_do_not_make_images_equal(world: World, cache: ResultCache) -> None:
    desk = Desk(world, cache=cache, digest=lambda _: 7)
    images = [A, B, same(A), same(B), C]
    tasks = desk.scheduler.schedule_many(images)
    for image, task in zip(images, tasks, strict=True):
        assert is_answer_to(await task.result(), image)
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
    assert is_answer_to(await first.result(), A)
    with pytest.raises(asyncio.CancelledError):
        await second.result()


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


async def test_callers_who_all_left_while_it_was_executed_miss_nothing(world: World) -> None:
    desk = Desk(world)
    world.puppet.hold()
    tasks = [desk.scheduler.schedule(A), desk.scheduler.schedule(same(A))]
    await world.puppet.began(1)
    for task in tasks:
        task.cancel()
    late = desk.scheduler.schedule(same(A))
    world.puppet.let_go()
    assert is_answer_to(await late.result(), A)
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
    assert is_answer_to(await second.result(), A)


async def test_earlier_deadline_of_a_follower_does_not_count_for_the_first(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    now_s = world.clock()
    first = desk.scheduler.schedule(A)
    desk.scheduler.schedule(same(A), deadline_s=now_s + 1).cancel()
    world.clock.advance(5)
    world.puppet.let_go()
    assert is_answer_to(await first.result(), A)


async def test_follower_after_the_deadline_of_a_waiting_image_revives_it(world: World) -> None:
    desk = Desk(world)
    await world.keep_device_busy(desk.batcher)
    first = desk.scheduler.schedule(A, deadline_s=world.clock() + 1)
    world.clock.advance(2)
    second = desk.scheduler.schedule(same(A), deadline_s=world.clock() + 1)
    world.puppet.let_go()
    assert is_answer_to(await second.result(), A)
    assert is_answer_to(await first.result(), A)


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
    assert is_answer_to(await late[0].result(), A)
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
    await asyncio.gather(bulk.result(), before.result(), follower.result(), after.result())
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
    await asyncio.gather(first.result(), second.result())
    assert np.array_equal(desk.executed[0], A)


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
    assert is_answer_to(await first.result(), A)
    assert is_answer_to(await second.result(), A)


async def test_death_of_the_device_thread_is_told_to_all(world: World) -> None:
    desk = Desk(world)

    def die(images: ImageArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        raise SystemExit

    world.puppet.behave = die
    tasks = [desk.scheduler.schedule(same(A)) for _ in range(2)]
    errors = [await ended(task) for task in tasks]
    assert [type(error) for error in errors] == [ServableNotReadyError] * 2


async def test_repeated_image_of_one_request_is_executed_once(world: World) -> None:
    desk = Desk(world)
    images = [A, B, same(A), same(A), same(B)]
    tasks = desk.scheduler.schedule_many(images)
    for image, task in zip(images, tasks, strict=True):
        assert is_answer_to(await task.result(), image)
    assert desk.counted == ["miss", "miss", "coalesced", "coalesced", "coalesced"]
    assert len(desk.executed) == 2


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
        assert is_answer_to(await task.result(), A)


async def test_followers_have_a_bound_of_their_own(world: World) -> None:
    desk = Desk(world, policy(4, max_queue_size=2))
    world.puppet.hold()
    tasks = [desk.scheduler.schedule(same(A)) for _ in range(3)]
    with pytest.raises(QueueFullError, match=r"2 images .* 1 more .* 2 \(KERASERVE_MAX_QUEUE_SIZE"):
        desk.scheduler.schedule(same(A))
    tasks[0].cancel()
    tasks.append(desk.scheduler.schedule(same(A)))
    with pytest.raises(QueueFullError):
        desk.scheduler.schedule(same(A))
    world.puppet.let_go()
    for task in tasks[1:]:
        assert is_answer_to(await task.result(), A)
    again = [desk.scheduler.schedule(same(A)) for _ in range(3)]
    assert [(await task.result()).batch_size for task in again] == [1, 1, 1]


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
        for result in [await task.result() for task in (first, queued, executing)]
    ]
    assert times == [(4.0, 7.0, 1), (1.0, 7.0, 1), (0.0, 2.0, 1)]


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
        assert is_answer_to(await task.result(), A)
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
