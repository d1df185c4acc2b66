"""Few images, many callers, random leavers and faults: everybody gets the scores of his own."""

from __future__ import annotations

import asyncio
import random

import pytest
from anyio.lowlevel import checkpoint

from app.batching.batcher import DynamicBatcher
from app.batching.task import TaskResult
from app.errors import BatcherStoppedError, DeadlineExceededError, ExecutionError, QueueFullError
from app.inference.coalescing import ReusingScheduler
from app.inference.result_cache import ResultCache
from app.inference.shared_task import Reuse, SharedTask
from app.types import ImageArray
from tests.fakes import PuppetServable
from tests.unit.batching.world import (
    POISON,
    World,
    is_answer_to,
    poisoned,
    policy,
    random_images,
    refuse_poison,
)
from tests.unit.inference.desk import answer_of, ended, same
from tests.unit.inference.test_result_cache import Recorder

pytestmark = pytest.mark.timeout(20)

REQUESTS = 400
LIMIT = 8


def is_poison(image: ImageArray) -> bool:
    return bool(image[0, 0, 0] == POISON)


class Caller:
    """One caller of one image; he leaves at random, and remembers how it ended."""

    def __init__(self, image: ImageArray, task: SharedTask) -> None:
        self.image = image
        self.task = task
        self.future = asyncio.create_task(ended(task))
        self.has_left = False

    def leave(self) -> None:
        if self.future.cancel():
            self.has_left = True
            self.task.cancel()  # a coroutine that has not begun to wait cannot do it

    def objection(self) -> str | None:
        """Say what is wrong with the answer."""
        if self.has_left:
            return None
        outcome = self.future.result()
        if isinstance(outcome, TaskResult):
            return None if is_answer_to(outcome, self.image) else "scores of another image"
        if isinstance(outcome, ExecutionError):
            return None if is_poison(self.image) else "the fault of another image"
        # Only those that were given a deadline, and those left at the end, may hear of these.
        known = isinstance(outcome, DeadlineExceededError | BatcherStoppedError)
        return None if known else f"unexpected: {outcome!r}"


async def crowd(
    scheduler: ReusingScheduler, world: World, images: list[ImageArray], rng: random.Random
) -> list[Caller]:
    callers: list[Caller] = []
    for _ in range(REQUESTS):
        chosen = [rng.choice(images).copy() for _ in range(rng.choice([1, 1, 1, 4]))]
        try:
            tasks = scheduler.schedule_many(
                chosen,
                deadline_s=world.clock() + rng.choice([0.5, 50.0]) if rng.random() < 0.3 else None,
                priority=rng.choice(["interactive", "bulk"]),
            )
        except QueueFullError:
            await checkpoint()
            continue
        callers += [Caller(image, task) for image, task in zip(chosen, tasks, strict=True)]
        if rng.random() < 0.2:
            rng.choice(callers).leave()
        if rng.random() < 0.1:
            world.clock.advance(rng.choice([0.1, 1.0]))
        if rng.random() < 0.3:
            await checkpoint()
        if rng.random() < 0.05:
            world.puppet.release(rng.choice([1, 3]))
    return callers


def build(
    world: World, rng: random.Random, digest_values: int | None
) -> tuple[DynamicBatcher, ReusingScheduler, list[Reuse]]:
    batcher = world.running(policy(rng.choice([1, 4, 16]), max_queue_size=64))
    cache = ResultCache(rng.choice([0, 3_000, 1_000_000]), Recorder())
    counted: list[Reuse] = []
    scheduler = ReusingScheduler(
        batcher,
        coalesces=rng.random() < 0.8,
        cache=cache.section(),
        count=counted.append,
        digest=hash if digest_values is None else lambda pixels: hash(pixels) % digest_values,
        clock=world.clock,
    )
    return batcher, scheduler, counted


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "digest_values", [pytest.param(None, id="good hash"), pytest.param(2, id="bad hash")]
)
async def test_every_caller_gets_the_scores_of_his_own_image_once(
    seed: int, digest_values: int | None
) -> None:
    rng = random.Random(seed)
    images = random_images(8, seed=seed)
    images.append(poisoned(images[0]))
    world = World(PuppetServable(refuse_poison, is_held=True))
    batcher, scheduler, counted = build(world, rng, digest_values)
    callers = await crowd(scheduler, world, images, rng)
    is_cut_off = rng.random() < 0.2
    if not is_cut_off:
        world.puppet.let_go()
    await batcher.close(timeout_s=0.0 if is_cut_off else 5.0)
    await asyncio.wait([caller.future for caller in callers], timeout=5)
    assert all(caller.future.done() for caller in callers), "somebody was never answered"
    assert [text for caller in callers if (text := caller.objection())] == []
    assert len(counted) == len(callers)
    assert batcher.queue_size == 0
    await world.close()


@pytest.mark.parametrize("seed", range(5))
async def test_places_of_followers_all_come_back(seed: int) -> None:
    """A count that drifted would refuse callers at last, or let in any number."""
    rng = random.Random(seed)
    world = World(PuppetServable(refuse_poison, is_held=True))
    batcher = world.running(policy(4, max_queue_size=LIMIT))
    scheduler = ReusingScheduler(
        batcher, coalesces=True, cache=None, count=lambda _: None, clock=world.clock
    )
    images = random_images(3, seed=seed)
    callers = await crowd(scheduler, world, [*images, poisoned(images[0])], rng)
    world.puppet.let_go()
    await asyncio.wait([caller.future for caller in callers], timeout=5)
    assert [text for caller in callers if (text := caller.objection())] == []
    world.puppet.hold()
    # The first one, and as many followers as the queue has places.
    waiting = [scheduler.schedule(same(images[0])) for _ in range(1 + LIMIT)]
    with pytest.raises(QueueFullError):
        scheduler.schedule(same(images[0]))
    world.puppet.let_go()
    assert all([is_answer_to(await answer_of(task), images[0]) for task in waiting])
    await world.close()
