"""Who is refused because the answer would be too late, and who is not."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.caution import LEAST
from app.batching.execution_time import ENOUGH_EXECUTIONS, KEPT
from app.errors import DeadlineExceededError, TooLateError
from app.runtime.servable_group import DeviceGroup
from app.types import ImageArray, Priority, ScoreArray
from tests.fakes import PuppetServable, scores_of
from tests.unit.batching.world import World, is_answer_to, outcome_of, policy, random_images, turn

pytestmark = pytest.mark.timeout(10)

FIXED_S, PER_IMAGE_S = 1.0, 0.25
T1, T2, T4 = 1.25, 1.5, 2.0
A_BIT = 0.001
(IMAGE,) = random_images(1)


class Machine:
    """Executes by the clock, padding included; it may change its speed."""

    def __init__(self, world: World, most: int = 4) -> None:
        self.slowness = 1.0
        self._world = world
        self._policy = policy(most)
        world.puppet.behave = self

    def __call__(self, images: ImageArray) -> ScoreArray:
        size = self._policy.padded_size(len(images))
        self._world.clock.advance(self.slowness * (FIXED_S + PER_IMAGE_S * size))
        return scores_of(images)


async def execute(batcher: DynamicBatcher, *sizes: int) -> None:
    """Have batches of these sizes executed, one after the other."""
    for size in sizes:
        await asyncio.gather(*batcher.schedule_many(random_images(size)))
        await turn()


async def experienced(world: World, **changes: float) -> DynamicBatcher:
    batcher = world.running(policy(4, **changes))
    await execute(batcher, *(1, 2, 4) * 4)
    return batcher


def within(world: World, seconds: float) -> float:
    """Return the deadline of one for whom the batcher must expect ``seconds`` at most."""
    return world.clock() + LEAST * seconds


def accepts(
    batcher: DynamicBatcher, deadline_s: float, count: int = 1, priority: Priority = "interactive"
) -> bool:
    refusal = batcher.refusal(count, deadline_s=deadline_s, priority=priority)
    assert refusal is None or isinstance(refusal, TooLateError)
    return refusal is None


async def test_execution_time_is_learned_of_the_padded_size(world: World) -> None:
    Machine(world, most=8)
    batcher = world.running(policy(8))
    await execute(batcher, *(1, 4, 7) * 4)  # 7 are executed as 8
    assert world.puppet.batch_sizes[:3] == [1, 4, 7]
    expected = FIXED_S + PER_IMAGE_S
    assert batcher.answered_in_s() == pytest.approx(LEAST * expected)
    await world.keep_device_busy(batcher)
    assert accepts(batcher, within(world, T1 + FIXED_S + 8 * PER_IMAGE_S + A_BIT), count=8)
    assert not accepts(batcher, within(world, T1 + FIXED_S + 8 * PER_IMAGE_S - A_BIT), count=8)


async def test_what_cannot_be_answered_in_time_is_refused_and_all_else_is_not(
    world: World,
) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    batcher.schedule_many(random_images(3))
    expected_s = T1 + T4
    with pytest.raises(TooLateError, match=r"3 images wait for cifar10:1: .* 3\.575 s.*TIMEOUT_MS"):
        batcher.schedule(IMAGE, deadline_s=within(world, expected_s - A_BIT))
    assert batcher.queue_size == 3
    task = batcher.schedule(IMAGE, deadline_s=within(world, expected_s + A_BIT))
    world.puppet.let_go()
    assert is_answer_to(await task, IMAGE)


async def test_time_that_the_device_has_worked_already_is_not_expected_again(
    world: World,
) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    assert not accepts(batcher, within(world, T1 + 0.5))
    world.clock.advance(T1 - 0.4)
    assert accepts(batcher, within(world, T1 + 0.5))


async def test_image_without_a_deadline_waits_as_long_as_it_takes(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    tasks = batcher.schedule_many(random_images(30))
    world.puppet.let_go()
    await asyncio.gather(*tasks)


async def test_image_that_is_late_already_is_told_so_by_its_turn(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    late = batcher.schedule(IMAGE, deadline_s=world.clock())
    world.puppet.let_go()
    assert isinstance(await outcome_of(late), DeadlineExceededError)


async def test_nobody_is_refused_before_enough_was_seen(world: World) -> None:
    machine = Machine(world)
    machine.slowness = 1000
    batcher = world.running(policy(4))
    await execute(batcher, *[1] * (ENOUGH_EXECUTIONS - 1))
    soon_s = 0.001
    await world.keep_device_busy(batcher)
    assert accepts(batcher, world.clock() + soon_s)
    world.puppet.let_go()
    await batcher.schedule(IMAGE)
    await world.keep_device_busy(batcher)
    assert not accepts(batcher, world.clock() + soon_s)


async def test_idle_batcher_refuses_nobody_and_executes_whom_it_accepted(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    task = batcher.schedule(IMAGE, deadline_s=world.clock() + 0.001)
    assert is_answer_to(await task, IMAGE)


async def test_request_without_a_readable_image_is_not_late(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    assert batcher.schedule_many([], deadline_s=world.clock() + A_BIT) == []


async def test_nobody_is_refused_while_one_of_the_devices_is_free(world: World) -> None:
    """Else nobody could find out that an expectation is too high, where another one hangs."""
    Machine(world)
    other = PuppetServable(world.puppet.behave)
    world.puppet = DeviceGroup([world.puppet, other])  # type: ignore[assignment]
    batcher = await experienced(world)
    first, _ = pair = world.puppet.members  # type: ignore[attr-defined]
    first.hold()
    other.hold()
    executed = len(first.executed) + len(other.executed)
    hanging = batcher.schedule(IMAGE)
    await turn()
    deadline_s = world.clock() + A_BIT
    assert accepts(batcher, deadline_s)
    second = batcher.schedule(IMAGE, deadline_s=deadline_s)
    await turn()
    assert not accepts(batcher, deadline_s)
    for puppet in pair:
        puppet.let_go()
    await asyncio.gather(hanging, second)
    assert len(first.executed) + len(other.executed) == executed + 2
    world.puppet = other


async def test_wrong_expectation_does_not_last(world: World) -> None:
    machine = Machine(world)
    machine.slowness = 100
    batcher = await experienced(world)
    machine.slowness = 1
    rounds = 0
    while True:  # two at a time: the second one finds the batcher not idle
        rounds += 1
        first = batcher.schedule(IMAGE, deadline_s=world.clock() + 3.0)
        is_second_accepted = accepts(batcher, world.clock() + 3.0)
        assert is_answer_to(await first, IMAGE)
        await turn()
        if is_second_accepted:
            break
        assert rounds < 2 * KEPT
    assert rounds > 1, "the expectation was wrong"


async def test_interactive_is_accepted_where_bulk_is_refused(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    batcher.schedule_many(random_images(8), priority="bulk")
    deadline_s = within(world, T1 + T4 + A_BIT)
    assert not accepts(batcher, deadline_s, priority="bulk")
    assert accepts(batcher, deadline_s, priority="interactive")


async def test_bulk_waits_behind_what_is_interactive(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    batcher.schedule_many(random_images(2))
    deadline_s = within(world, T1 + T4 + A_BIT)
    assert accepts(batcher, deadline_s, count=2, priority="bulk")
    assert not accepts(batcher, deadline_s, count=3, priority="bulk")


async def test_images_of_one_request_are_accepted_together_or_not_at_all(world: World) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    deadline_s = within(world, T1 + T4 + A_BIT)
    with pytest.raises(TooLateError):
        batcher.schedule_many(random_images(5), deadline_s=deadline_s)
    assert batcher.queue_size == 0
    assert len(batcher.schedule_many(random_images(4), deadline_s=deadline_s)) == 4


@pytest.mark.parametrize(
    ("count", "within_s"),
    [(1, 5.0), (4, 4.0), (1, 0.5)],
    ids=["one", "several", "faster than any execution"],
)
async def test_after_what_it_says_a_refused_request_is_accepted(
    world: World, count: int, within_s: float
) -> None:
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    tasks = batcher.schedule_many(random_images(28))
    await turn()
    refusal = batcher.refusal(count, deadline_s=world.clock() + within_s)
    assert refusal is not None
    assert refusal.retry_after_s > 1
    began, refused_at_s = len(world.puppet.executed), world.clock()
    last = began + 28 // 4
    while world.clock() < refused_at_s + refusal.retry_after_s:
        assert not accepts(batcher, world.clock() + within_s, count)
        world.puppet.release()
        if began == last:
            await asyncio.gather(*tasks)
        else:
            began += 1
            await world.puppet.began(began)
        await turn()
    assert accepts(batcher, world.clock() + within_s, count)
    assert world.clock() - refused_at_s < refusal.retry_after_s + T4
    world.puppet.let_go()
    await asyncio.gather(*tasks)


async def test_refusal_is_gone_with_whoever_catches_it(world: World) -> None:
    """In a cycle it would wait, with all frames of its request, for a collection of garbage."""
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    try:
        batcher.schedule(IMAGE, deadline_s=world.clock() + 0.001)
    except TooLateError as error:
        refusal = weakref.ref(error)
    assert refusal() is None


@pytest.mark.parametrize("is_late", [False, True])
async def test_place_is_not_wasted_on_who_will_have_expired(world: World, is_late: bool) -> None:
    machine = Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    hurried = batcher.schedule(IMAGE, deadline_s=world.clock() + 3.5)
    patient = batcher.schedule(IMAGE)
    machine.slowness = 2.6 / T1 if is_late else 2.3 / T1  # 0.75 x 1.5 s are 1.125 s
    world.puppet.let_go()
    await patient
    outcome = await outcome_of(hurried)
    assert isinstance(outcome, DeadlineExceededError) == is_late
    assert world.puppet.batch_sizes[-1] == (1 if is_late else 2)


async def test_answers_that_come_later_than_expected_keep_a_greater_distance(
    world: World,
) -> None:
    machine = Machine(world)
    batcher = await experienced(world)
    trusting_s = batcher.answered_in_s()
    machine.slowness = 3
    await execute(batcher, 4)
    await execute(batcher, 4)
    machine.slowness = 1
    assert batcher.answered_in_s() > 1.3 * trusting_s
    await execute(batcher, *(1, 2, 4) * 100)
    assert batcher.answered_in_s() == pytest.approx(trusting_s, rel=0.01)


async def test_expectations_are_not_looked_at_where_the_deadline_is_far(world: World) -> None:
    """They cost ten times as much as to see that nothing can be late."""
    Machine(world)
    batcher = await experienced(world)
    await world.keep_device_busy(batcher)
    far = batcher.schedule(IMAGE, deadline_s=world.clock() + 1000)
    near = batcher.schedule(IMAGE, deadline_s=world.clock() + 4 * T1)
    assert far.expected_s is None
    assert near.expected_s is not None
    world.puppet.let_go()
    await asyncio.gather(far, near)
