"""An accepted task that comes to serve one more caller."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.task import BatchTask
from app.errors import DeadlineExceededError
from app.types import Priority
from tests.unit.batching.world import World, is_answer_to, outcome_of, policy, random_images, turn


async def occupy(world: World, batcher: DynamicBatcher) -> None:
    """Have the device take all that it takes at a batch size of 1."""
    await world.keep_device_busy(batcher)
    batcher.schedule(random_images(1, seed=98)[0])
    await turn()


@pytest.mark.parametrize(
    ("deadline_s", "other_s", "is_executed"),
    [
        pytest.param(1.0, 10.0, True, id="a later deadline counts"),
        pytest.param(1.0, None, True, id="no deadline counts"),
        pytest.param(10.0, 1.0, True, id="an earlier deadline does not"),
        pytest.param(None, 1.0, True, id="none stays none"),
        pytest.param(1.0, 2.0, False, id="both pass"),
    ],
)
async def test_later_deadline_counts(
    world: World, deadline_s: float | None, other_s: float | None, is_executed: bool
) -> None:
    batcher = world.running(policy(1))
    await occupy(world, batcher)
    now_s = world.clock()
    image = random_images(1)[0]
    task = batcher.schedule(image, deadline_s=None if deadline_s is None else now_s + deadline_s)
    batcher.extend(
        task, deadline_s=None if other_s is None else now_s + other_s, priority="interactive"
    )
    world.clock.advance(5)
    world.puppet.let_go()
    outcome = await outcome_of(task)
    assert isinstance(outcome, DeadlineExceededError) != is_executed


@pytest.mark.parametrize(
    ("priority", "order"),
    [
        pytest.param("interactive", [1, 0, 2, 3], id="behind the interactive ones that are there"),
        pytest.param("bulk", [1, 2, 0, 3], id="bulk stays where it is"),
    ],
)
async def test_bulk_task_of_an_interactive_caller_goes_over(
    world: World, priority: Priority, order: list[int]
) -> None:
    batcher = world.running(policy(1))
    await occupy(world, batcher)
    images = random_images(4)
    tasks: list[BatchTask] = [
        batcher.schedule(images[0], priority="bulk"),
        batcher.schedule(images[1]),
    ]
    batcher.extend(tasks[0], deadline_s=None, priority=priority)
    tasks += [batcher.schedule(images[2]), batcher.schedule(images[3], priority="bulk")]
    assert batcher.queue_size == 4
    world.puppet.let_go()
    for image, answer in zip(images, await asyncio.gather(*tasks), strict=True):
        assert is_answer_to(answer, image)
    executed = [batch[0] for batch in world.puppet.executed[2:]]
    assert [int(np.argmax([np.array_equal(e, i) for i in images])) for e in executed] == order


async def test_task_that_goes_over_fills_a_batch_that_can_lie_ready(world: World) -> None:
    batcher = world.running(policy(2))
    await world.keep_device_busy(batcher)
    bulk = batcher.schedule(random_images(1)[0], priority="bulk")
    interactive = batcher.schedule(random_images(1, seed=1)[0])
    await turn()
    assert batcher.queue_size == 2
    batcher.extend(bulk, deadline_s=None, priority="interactive")
    await turn()
    assert batcher.queue_size == 0
    world.puppet.let_go()
    await asyncio.gather(bulk, interactive)


async def test_task_that_was_answered_or_withdrawn_does_not_come_back(world: World) -> None:
    batcher = world.running(policy(1))
    answered = batcher.schedule(random_images(1)[0], priority="bulk")
    await answered
    await occupy(world, batcher)
    withdrawn = batcher.schedule(random_images(1)[0], priority="bulk")
    withdrawn.cancel()
    for task in (answered, withdrawn):
        batcher.extend(task, deadline_s=None, priority="interactive")
    assert batcher.queue_size == 0
