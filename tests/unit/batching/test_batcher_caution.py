"""What teaches a batcher to keep a distance from deadlines, and what must not."""

from __future__ import annotations

import asyncio

import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.caution import LEAST
from tests.unit.batching.test_batcher_admission import (
    IMAGE,
    T1,
    T4,
    Machine,
    accepts,
    execute,
    experienced,
)
from tests.unit.batching.world import World, outcome_of, policy, random_images, turn

pytestmark = pytest.mark.timeout(10)

FAR_S = 1000.0


def trusts(batcher: DynamicBatcher) -> bool:
    """Whether an idle batcher expects one image in the time that one takes."""
    return batcher.answered_in_s() == pytest.approx(LEAST * T1)


async def step(world: World, executions: int) -> None:
    """End the execution under way once the next one may begin; the clock stands still then."""
    world.puppet.release()
    await world.puppet.began(executions)
    await turn()


async def test_who_comes_late_already_does_not_have_others_refused(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    for leaves in (True, False) * 4:
        await world.keep_device_busy(batcher)
        late = batcher.schedule(IMAGE, deadline_s=world.clock())
        if leaves:
            late.cancel()
        began = len(world.puppet.executed)
        last = batcher.schedule(IMAGE)
        await step(world, began + 1)
        world.puppet.let_go()
        await last
        await turn()
    assert trusts(batcher)


async def test_bulk_that_was_overtaken_does_not_have_others_refused(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    began = len(world.puppet.executed)
    bulk = batcher.schedule_many(
        random_images(10), deadline_s=world.clock() + 6 * T4, priority="bulk"
    )
    interactive = batcher.schedule_many(random_images(30))
    while batcher.queue_size:
        began += 1
        await step(world, began)
    while not all(task.is_done for task in interactive):
        world.puppet.release()
        await turn()
    outcomes = [await outcome_of(task) for task in [*interactive, *bulk]]
    await turn()
    assert any(isinstance(each, Exception) for each in outcomes), "some missed their deadline"
    assert trusts(batcher)


async def test_bulk_by_itself_tells_how_late_answers_are(world: World) -> None:
    machine = Machine(world)
    batcher = await experienced(world)
    machine.slowness = 3
    world.clock.advance(1.0)  # after the last interactive image
    await batcher.schedule(IMAGE, priority="bulk")
    await turn()
    assert not trusts(batcher)


async def test_batch_tells_how_late_it_is_where_its_first_image_has_time(world: World) -> None:
    machine = Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    far = batcher.schedule(IMAGE, deadline_s=world.clock() + FAR_S)
    near = batcher.schedule(IMAGE, deadline_s=world.clock() + 5 * T1)
    assert far.expected_s is None
    assert near.expected_s is not None
    world.puppet.release()
    await world.puppet.began(len(world.puppet.executed) + 1)
    machine.slowness = 1.8
    world.puppet.let_go()
    before_s = LEAST * T1
    await asyncio.gather(far, near)
    await turn()
    assert batcher.answered_in_s() > before_s


async def test_wait_for_company_is_no_time_that_a_deadline_has(world: World) -> None:
    Machine(world)
    batcher = world.running(policy(4, batch_timeout_s=100.0))
    await execute(batcher, *[4] * 12)
    first = batcher.schedule(IMAGE)  # waits for three more
    assert not accepts(batcher, world.clock() + 50)
    company = batcher.schedule_many(random_images(3))
    await asyncio.gather(first, *company)


async def test_bulk_is_overtaken_also_by_what_came_from_its_own_line(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    by_itself = batcher.schedule(IMAGE)
    shared = batcher.schedule_many(random_images(8), priority="bulk")
    world.clock.advance(0.5)
    bulk = batcher.schedule(IMAGE, deadline_s=world.clock() + 6 * T4, priority="bulk")
    for task in shared:
        batcher.extend(task, deadline_s=None, priority="interactive")
    world.clock.advance(7 * T4)
    bulk.cancel()
    assert not batcher._dispatcher.delivery.has_missed
    world.puppet.let_go()
    await asyncio.gather(by_itself, *shared)


async def learned_from_a_pause(world: World, within_s: float) -> float:
    """Have an image come late that has ``within_s``; return how much less is trusted then."""
    machine = Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    task = batcher.schedule(IMAGE, deadline_s=world.clock() + within_s)
    assert task.expected_s is not None
    world.puppet.release()
    await world.puppet.began(len(world.puppet.executed) + 1)
    machine.slowness = 3
    world.puppet.let_go()
    await task
    await turn()
    return batcher._dispatcher.delivery.caution.factor - LEAST


async def test_pause_tells_less_where_there_was_more_time(world: World) -> None:
    near, far = [await learned_from_a_pause(world, within_s) for within_s in (5 * T1, 11 * T4)]
    assert near > 0
    assert far < near / 2
