"""Random load, random leavers, random faults: everybody is answered once, with his own row."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from anyio.lowlevel import checkpoint

from app.batching.batcher import DynamicBatcher
from app.batching.task import BatchTask, TaskResult
from app.errors import (
    BatcherStoppedError,
    DeadlineExceededError,
    ExecutionError,
    OutOfDeviceMemoryError,
    QueueFullError,
)
from app.types import ImageArray, ScoreArray
from tests.fakes import scores_of
from tests.unit.batching.world import (
    POISON,
    World,
    is_answer_to,
    outcome_of,
    poisoned,
    policy,
    random_images,
    refuse_poison,
)

pytestmark = pytest.mark.timeout(20)


class MoodyNetwork:
    """Raises on poison, runs out of memory now and then, and is at times short of a row.

    No two faults of a mood are alike: what comes twice in one batch, word for word, is an image's.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, images: ImageArray) -> ScoreArray:
        if len(images) > 1:
            mood = self._random.random()
            if mood < 0.02:
                raise OutOfDeviceMemoryError("now and then")
            if mood < 0.06:
                return scores_of(images)[1:]
            if mood < 0.10:
                raise RuntimeError(f"now and then: {mood}")
        return refuse_poison(images)


class Caller:
    """One caller; he leaves at random, and remembers how it ended."""

    def __init__(self, image: ImageArray, task: BatchTask) -> None:
        self.image = image
        self.future = asyncio.ensure_future(outcome_of(task))
        self.has_left = False

    def leave(self) -> None:
        self.has_left |= self.future.cancel()

    def is_content(self) -> bool:
        if self.has_left:
            return True
        outcome = self.future.result()
        if isinstance(outcome, TaskResult):
            return is_answer_to(outcome, self.image)
        if isinstance(outcome, ExecutionError):
            return bool(self.image[0, 0, 0] == POISON)
        return isinstance(outcome, DeadlineExceededError | BatcherStoppedError)


async def crowd(world: World, batcher: DynamicBatcher, rng: random.Random) -> list[Caller]:
    callers: list[Caller] = []
    for image in random_images(600, seed=rng.randrange(2**32)):
        sent = poisoned(image) if rng.random() < 0.05 else image
        try:
            task = batcher.schedule(
                sent,
                deadline_s=world.clock() + rng.choice([0.5, 50.0]) if rng.random() < 0.3 else None,
                priority=rng.choice(["interactive", "bulk"]),
            )
        except QueueFullError:
            await checkpoint()
            continue
        callers.append(Caller(sent, task))
        if rng.random() < 0.3:
            await checkpoint()
        if rng.random() < 0.2:
            rng.choice(callers).leave()
        if rng.random() < 0.2:
            world.clock.advance(rng.random())
    return callers


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("batch_timeout_s", [0.0, 0.2])
async def test_everybody_is_answered_once_with_his_own_row(
    world: World, seed: int, batch_timeout_s: float
) -> None:
    rng = random.Random(seed)
    world.puppet.behave = MoodyNetwork(seed)
    limits = policy(rng.choice([1, 8, 32]), max_queue_size=64, batch_timeout_s=batch_timeout_s)
    batcher = world.running(limits)
    callers = await crowd(world, batcher, rng)
    await batcher.drain()
    await asyncio.wait([caller.future for caller in callers])
    assert all(caller.is_content() for caller in callers)
    assert world.puppet.most_at_once == 1
    assert (batcher.queue_size, batcher.is_idle) == (0, True)
    assert max(world.observer.queue_sizes) <= 64
    assert batcher.is_healthy


@pytest.mark.parametrize("seed", range(4))
async def test_everybody_is_answered_when_the_batcher_is_closed_in_the_middle(
    world: World, seed: int
) -> None:
    rng = random.Random(seed)
    world.puppet.behave = MoodyNetwork(seed)
    # The clock of the crowd runs faster than the device.
    batcher = world.running(policy(8, max_queue_size=4096, stall_after_s=3600.0))
    callers = await crowd(world, batcher, rng)
    await batcher.close(timeout_s=0)
    await asyncio.wait([caller.future for caller in callers])
    assert all(caller.is_content() for caller in callers)


@pytest.mark.parametrize("seed", range(4))
async def test_everybody_is_answered_when_the_device_dies_in_the_middle(
    world: World, seed: int
) -> None:
    rng = random.Random(seed)
    network = MoodyNetwork(seed)

    def behave(images: ImageArray) -> ScoreArray:
        if len(world.puppet.executed) == 40:
            raise SystemExit("the device thread dies")
        return network(images)

    world.puppet.behave = behave
    batcher = world.running(policy(4, max_queue_size=4096))
    tasks = [batcher.schedule(image) for image in random_images(600, seed=rng.randrange(2**32))]
    outcomes = [await outcome_of(task) for task in tasks]
    assert not batcher.is_healthy
    assert any(isinstance(outcome, TaskResult) for outcome in outcomes)
    assert np.all([isinstance(outcome, TaskResult | Exception) for outcome in outcomes])
