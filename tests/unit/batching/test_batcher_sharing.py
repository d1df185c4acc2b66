"""Two executions at a time on one device: a second batch joins only if it is large enough."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.execution_time import ENOUGH_EXECUTIONS
from app.batching.policy import BatchPolicy
from app.batching.task import BatchTask
from app.errors import ServableNotReadyError, TooLateError
from app.runtime.servable_group import DeviceGroup
from app.types import ImageArray, ScoreArray
from tests.fakes import FakeClock, PuppetServable, RecordingObserver, scores_of
from tests.unit.batching.world import (
    is_answer_to,
    outcome_of,
    policy,
    random_images,
    turn,
)

pytestmark = pytest.mark.timeout(10)

JOINS_AT = 4
EXECUTION_S = 1.0


class Shared(DeviceGroup):
    """Two puppets that share one device."""

    joins_at = JOINS_AT


class Sharing:
    """A batcher on them; each execution takes ``EXECUTION_S`` on its clock if it is told so."""

    def __init__(self, batch_policy: BatchPolicy | None = None, *, is_held: bool = True) -> None:
        self.puppets = [PuppetServable(is_held=is_held) for _ in range(2)]
        self.clock = FakeClock()
        self.batcher = DynamicBatcher(
            Shared(self.puppets),
            batch_policy or policy(8),
            observer=RecordingObserver(),
            clock=self.clock,
            call_later=self.clock.call_later,
            name="cifar10:1",
        )
        self.batcher.start()

    async def began(self, *executions: int) -> None:
        for puppet, count in zip(self.puppets, executions, strict=True):
            await puppet.began(count)
        await turn()
        assert self.begun == list(executions)

    @property
    def begun(self) -> list[int]:
        return [len(puppet.executed) for puppet in self.puppets]

    async def close(self) -> None:
        for puppet in self.puppets:
            puppet.let_go()
        await self.batcher.close(timeout_s=5)


async def test_fewer_wait_for_the_one_that_works() -> None:
    sharing = Sharing()
    images = random_images(JOINS_AT)
    first = sharing.batcher.schedule(images[0])
    await sharing.began(1, 0)
    others = sharing.batcher.schedule_many(images[1:])
    await turn()
    assert sharing.batcher.queue_size == JOINS_AT - 1
    assert sharing.begun == [1, 0]
    sharing.puppets[0].release()
    assert is_answer_to(await first, images[0])
    await sharing.began(2, 0)
    assert sharing.puppets[0].batch_sizes == [1, JOINS_AT - 1]
    await sharing.close()
    for task, image in zip(others, images[1:], strict=True):
        assert is_answer_to(await task, image)


async def test_as_many_as_are_enough_join_as_soon_as_they_are() -> None:
    sharing = Sharing()
    images = random_images(JOINS_AT + 1)
    tasks = [sharing.batcher.schedule(images[0])]
    await sharing.began(1, 0)
    for image in images[1:]:
        assert sharing.begun == [1, 0]
        tasks.append(sharing.batcher.schedule(image))
        await turn()
    await sharing.began(1, 1)
    assert sharing.puppets[1].batch_sizes == [JOINS_AT]
    await sharing.close()
    for task, image in zip(tasks, images, strict=True):
        assert is_answer_to(await task, image)


async def test_largest_batch_always_joins() -> None:
    """Where the largest size is below what a group wants, no batch would ever be large enough."""
    sharing = Sharing(policy(2))
    tasks = [sharing.batcher.schedule(random_images(1)[0])]
    await sharing.began(1, 0)
    tasks += sharing.batcher.schedule_many(random_images(2))
    await sharing.began(1, 1)
    await sharing.close()
    for task in tasks:
        await task


async def test_wait_for_company_ends_also_for_those_who_join() -> None:
    sharing = Sharing(policy(8, batch_timeout_s=1.0))
    tasks = [sharing.batcher.schedule(random_images(1)[0])]
    await turn()
    sharing.clock.advance(1.0)
    await sharing.began(1, 0)
    tasks += sharing.batcher.schedule_many(random_images(JOINS_AT))
    await turn()
    assert sharing.begun == [1, 0]
    sharing.clock.advance(1.0)
    await sharing.began(1, 1)
    await sharing.close()
    for task in tasks:
        await task


async def test_few_that_waited_for_company_go_when_the_device_is_free() -> None:
    sharing = Sharing(policy(8, batch_timeout_s=1.0))
    first = sharing.batcher.schedule(random_images(1)[0])
    await turn()
    sharing.clock.advance(1.0)
    await sharing.began(1, 0)
    second = sharing.batcher.schedule(random_images(1)[0])
    await turn()
    sharing.clock.advance(2.0)
    await turn()
    assert sharing.begun == [1, 0]
    sharing.puppets[0].release()
    await first
    await sharing.began(2, 0)
    await sharing.close()
    await second


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        pytest.param(2 * JOINS_AT, ([4], [4]), id="enough for both"),
        pytest.param(2 * JOINS_AT - 1, ([7], []), id="too few for both"),
        pytest.param(2 * JOINS_AT + 2, ([4], [6]), id="the second one takes the rest"),
        pytest.param(4 * JOINS_AT, ([8], [8]), id="enough for two of the largest"),
    ],
)
async def test_large_batch_is_shared_where_nobody_works(
    count: int, sizes: tuple[list[int], list[int]]
) -> None:
    sharing = Sharing()
    images = random_images(count)
    tasks = sharing.batcher.schedule_many(images)
    await sharing.began(*[len(each) for each in sizes])
    assert tuple(puppet.batch_sizes for puppet in sharing.puppets) == sizes
    await sharing.close()
    for task, image in zip(tasks, images, strict=True):
        assert is_answer_to(await task, image)


async def test_batch_that_has_waited_for_company_is_not_shared() -> None:
    sharing = Sharing(policy(8, batch_timeout_s=1.0))
    tasks = sharing.batcher.schedule_many(random_images(8))
    await sharing.began(1, 0)
    assert sharing.puppets[0].batch_sizes == [8]
    await sharing.close()
    for task in tasks:
        await task


async def test_few_do_not_wait_for_one_that_died() -> None:
    sharing = Sharing()

    def die(images: ImageArray) -> ScoreArray:
        raise SystemExit

    sharing.puppets[0].behave = die
    images = random_images(2)
    first = sharing.batcher.schedule(images[0])
    await sharing.began(1, 0)
    second = sharing.batcher.schedule(images[1])
    await turn()
    assert sharing.begun == [1, 0]
    sharing.puppets[0].release()
    assert isinstance(await outcome_of(first), ServableNotReadyError)
    await sharing.began(1, 1)
    sharing.puppets[1].release()
    assert is_answer_to(await second, images[1])
    assert not sharing.batcher.is_healthy
    await sharing.close()


async def test_draining_finishes_the_few_that_wait() -> None:
    sharing = Sharing()
    first = sharing.batcher.schedule(random_images(1)[0])
    await sharing.began(1, 0)
    second = sharing.batcher.schedule(random_images(1)[0])
    draining = asyncio.create_task(sharing.batcher.drain())
    await turn()
    assert not draining.done()
    for puppet in sharing.puppets:
        puppet.let_go()
    await draining
    assert first.is_done
    assert second.is_done
    await sharing.close()


async def learn(sharing: Sharing) -> None:
    """Show the batcher executions that take ``EXECUTION_S``, whatever their size."""

    def slow(images: ImageArray) -> ScoreArray:
        sharing.clock.advance(EXECUTION_S)
        return scores_of(images)

    for puppet in sharing.puppets:
        puppet.behave = slow
    for _ in range(ENOUGH_EXECUTIONS):
        sharing.puppets[0].release()
        await sharing.batcher.schedule(random_images(1)[0])
    await turn()


async def test_few_are_expected_to_wait_for_the_one_that_works() -> None:
    sharing = Sharing()
    await learn(sharing)
    idle_s = sharing.batcher.answered_in_s()
    tasks = [sharing.batcher.schedule(random_images(1)[0])]
    await sharing.began(ENOUGH_EXECUTIONS + 1, 0)
    assert sharing.batcher.answered_in_s() == pytest.approx(2 * idle_s)
    # Not in time behind the one that works; the other half of the device is not free for one.
    soon_s = sharing.clock() + 1.5 * idle_s
    assert isinstance(sharing.batcher.refusal(1, deadline_s=soon_s), TooLateError)
    assert sharing.batcher.refusal(JOINS_AT, deadline_s=soon_s) is None
    tasks += sharing.batcher.schedule_many(random_images(JOINS_AT), deadline_s=soon_s)
    await sharing.began(ENOUGH_EXECUTIONS + 1, 1)
    await sharing.close()
    for task in tasks:
        await outcome_of(task)


async def test_alone_nobody_is_refused() -> None:
    sharing = Sharing()
    await learn(sharing)
    soon_s = sharing.clock() + EXECUTION_S / 2
    assert sharing.batcher.refusal(1, deadline_s=soon_s) is None
    await sharing.close()


async def test_images_of_many_sizes_get_their_own_answers() -> None:
    sharing = Sharing(is_held=False)
    rng = np.random.default_rng(5)
    images, tasks = [], []
    for seed in range(60):
        some = random_images(int(rng.integers(1, 9)), seed)
        images += some
        tasks += sharing.batcher.schedule_many(some)
        if rng.random() < 0.5:
            await turn()
    for task, image in zip(tasks, images, strict=True):
        assert is_answer_to(await task, image)
    await sharing.close()


async def test_each_takes_its_share_and_has_the_next_batch_lie_ready() -> None:
    sharing = Sharing()
    images = random_images(JOINS_AT + JOINS_AT + 2 + 2)
    schedule = sharing.batcher.schedule_many
    tasks = schedule(images[:JOINS_AT])
    await sharing.began(1, 0)
    sharing.clock.advance(EXECUTION_S / 2)
    tasks += schedule(images[JOINS_AT : 2 * JOINS_AT + 2])
    await sharing.began(1, 1)
    assert sharing.batcher.queue_size == 2, "the other one took its share"
    tasks += schedule(images[2 * JOINS_AT + 2 :])
    await turn()
    assert sharing.batcher.queue_size == 0, "as many as before lie ready"
    assert sharing.begun == [1, 1]
    for puppet in sharing.puppets:
        puppet.let_go()
    for task, image in zip(tasks, images, strict=True):
        assert is_answer_to(await task, image)
    assert sorted(puppet.batch_sizes for puppet in sharing.puppets) == [[4], [4, 4]]
    await sharing.close()


async def test_only_a_full_batch_lies_ready_where_company_is_waited_for() -> None:
    sharing = Sharing(policy(8, batch_timeout_s=1.0))
    schedule = sharing.batcher.schedule_many
    tasks = schedule(random_images(1))
    await turn()
    sharing.clock.advance(1.0)
    await sharing.began(1, 0)
    tasks += schedule(random_images(JOINS_AT))
    await turn()
    sharing.clock.advance(1.0)
    await sharing.began(1, 1)
    tasks += schedule(random_images(JOINS_AT))
    await turn()
    assert sharing.batcher.queue_size == JOINS_AT, "they have not waited for their company"
    tasks += schedule(random_images(8 - JOINS_AT))
    await turn()
    assert sharing.batcher.queue_size == 0, "a full batch gets no better by waiting"
    assert sharing.begun == [1, 1]
    await sharing.close()
    for task in tasks:
        await task


async def occupied(sharing: Sharing) -> tuple[list[ImageArray], list[BatchTask]]:
    """Have both work, each on a batch of its own, and a third batch lie ready."""
    images = random_images(3 * JOINS_AT)
    tasks: list[BatchTask] = []
    for number, begun in enumerate([(1, 0), (1, 1), (1, 1)]):
        sharing.clock.advance(EXECUTION_S / 4)
        tasks += sharing.batcher.schedule_many(images[number * JOINS_AT : (number + 1) * JOINS_AT])
        await sharing.began(*begun)
    assert sharing.batcher.queue_size == 0
    return images, tasks


@pytest.mark.parametrize(("first", "begun"), [(0, [2, 1]), (1, [1, 2])])
async def test_what_lies_ready_goes_to_whoever_is_done_first(first: int, begun: list[int]) -> None:
    sharing = Sharing()
    images, tasks = await occupied(sharing)
    sharing.puppets[first].release()
    await sharing.began(*begun)
    await sharing.close()
    for task, image in zip(tasks, images, strict=True):
        assert is_answer_to(await task, image)


async def test_what_lies_ready_does_not_die_with_one_of_them() -> None:
    sharing = Sharing()

    def die(images: ImageArray) -> ScoreArray:
        raise SystemExit

    images, tasks = await occupied(sharing)
    sharing.puppets[0].behave = die
    sharing.puppets[0].release()
    for task in tasks[:JOINS_AT]:
        assert isinstance(await outcome_of(task), ServableNotReadyError)
    assert not any(task.is_done for task in tasks[JOINS_AT:])
    await sharing.close()
    for task, image in zip(tasks[JOINS_AT:], images[JOINS_AT:], strict=True):
        assert is_answer_to(await task, image)
    assert sharing.begun == [1, 2]
