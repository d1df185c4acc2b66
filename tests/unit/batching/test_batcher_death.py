"""Everything that can die: the device thread, the batcher's own code, the loop, the observer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.task import TaskResult
from app.errors import (
    ServableNotReadyError,
    ServerFaultError,
)
from app.types import ImageArray, ScoreArray
from tests.fakes import FakeClock, PuppetServable, RecordingObserver
from tests.unit.batching.world import (
    World,
    is_answer_to,
    outcome_of,
    policy,
    random_images,
    turn,
)

pytestmark = pytest.mark.timeout(5)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_the_death_of_the_device_thread_fails_everybody(
    world: World, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def die(images: ImageArray) -> ScoreArray:
        raise error

    batcher = world.running(policy(4))
    await world.keep_device_busy(batcher)
    world.puppet.behave = die
    tasks = batcher.schedule_many(random_images(11))
    await turn()
    world.puppet.let_go()
    for task in tasks:
        outcome = await outcome_of(task)
        assert isinstance(outcome, ServableNotReadyError)
        assert outcome.__cause__ is error
    assert not batcher.is_healthy
    assert batcher.failure == "the device thread ended, see the log"
    assert (batcher.is_idle, batcher.is_closed) == (True, True)
    with pytest.raises(ServableNotReadyError):
        batcher.schedule(random_images(1)[0])
    assert [record.message for record in caplog.records] == ["batcher died"]
    assert await batcher.close() == 0


class BreakableClock:
    """A clock that raises when told: a fault inside the batcher itself."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __call__(self) -> float:
        if self.error is not None and threading.current_thread() is threading.main_thread():
            raise self.error
        return 1000.0


def running_on(clock: BreakableClock, puppet: PuppetServable) -> DynamicBatcher:
    batcher = DynamicBatcher(puppet, policy(2), observer=RecordingObserver(), clock=clock)
    batcher.start()
    return batcher


async def test_a_fault_of_the_batcher_fails_everybody_wherever_they_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, puppet = BreakableClock(), PuppetServable(is_held=True)
    batcher = running_on(clock, puppet)
    tasks = batcher.schedule_many(random_images(7))  # two executing, two ready, three waiting
    await puppet.began(1)
    await turn()
    assert batcher.queue_size == 3
    clock.error = RuntimeError("clock")
    puppet.let_go()
    for task in tasks:
        outcome = await outcome_of(task)
        assert isinstance(outcome, ServerFaultError)
        assert outcome.__cause__ is clock.error
    assert batcher.failure == "the batcher failed, see the log"
    with pytest.raises(ServableNotReadyError):
        batcher.schedule(random_images(1)[0])
    assert await batcher.close() == 0
    assert batcher.is_closed
    assert [record.message for record in caplog.records] == ["batcher died"]


async def test_a_dead_batcher_leaves_no_timer_behind() -> None:
    clock, timers = BreakableClock(), FakeClock()
    batcher = DynamicBatcher(
        PuppetServable(),
        policy(8, batch_timeout_s=1.0),
        observer=RecordingObserver(),
        clock=clock,
        call_later=timers.call_later,
    )
    batcher.start()
    tasks = batcher.schedule_many(random_images(2))
    await turn()
    assert len(timers.timers) == 1
    tasks += batcher.schedule_many(random_images(1))
    clock.error = RuntimeError("clock")
    for task in tasks:
        assert isinstance(await outcome_of(task), ServableNotReadyError)
    assert timers.timers == []
    assert await batcher.close() == 0


async def test_a_second_fault_changes_nothing() -> None:
    clock, puppet = BreakableClock(), PuppetServable(is_held=True)
    batcher = running_on(clock, puppet)
    first = batcher.schedule(random_images(1)[0])
    await puppet.began(1)
    second = batcher.schedule(random_images(1)[0])
    clock.error = RuntimeError("first")
    await turn()
    puppet.behave = lambda images: (_ for _ in ()).throw(SystemExit())
    puppet.let_go()
    for task in (first, second):
        outcome = await outcome_of(task)
        assert isinstance(outcome, ServableNotReadyError)
        assert outcome.__cause__ is clock.error
    assert await batcher.close() == 0
    assert batcher.failure == "the batcher failed, see the log"


def test_an_interrupt_on_the_loop_fails_everybody_and_goes_on_to_the_loop() -> None:
    clock, puppet = BreakableClock(), PuppetServable()
    loop = asyncio.new_event_loop()
    outcomes: list[TaskResult | BaseException] = []

    async def serve() -> None:
        batcher = running_on(clock, puppet)
        task = batcher.schedule(random_images(1)[0])
        clock.error = KeyboardInterrupt()
        outcomes.append(await outcome_of(task))

    serving = loop.create_task(serve())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(serving)
    loop.run_until_complete(serving)
    loop.close()
    assert isinstance(outcomes[0], ServableNotReadyError)


def test_closing_the_loop_during_an_execution_ends_the_device_thread_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    puppet = PuppetServable(is_held=True)
    loop = asyncio.new_event_loop()

    async def begin() -> DynamicBatcher:
        batcher = DynamicBatcher(puppet, policy(2), observer=RecordingObserver(), name="closing")
        batcher.start()
        batcher.schedule(random_images(1)[0])
        await puppet.began(1)
        return batcher

    loop.run_until_complete(begin())
    loop.close()
    (thread,) = [one for one in threading.enumerate() if one.name == "device closing"]
    assert thread.daemon, "a device that hangs must not keep the process from exiting"
    puppet.let_go()
    thread.join(5)
    assert not thread.is_alive()
    assert caplog.records == []


class RaisingObserver:
    def batch_executed(self, *, size: int, padded: int, duration_s: float) -> None:
        """Do not raise, so that the next one is reached."""

    def task_dequeued(self, queue_delay_s: float) -> None:
        raise RuntimeError("metrics")

    def queue_size_changed(self, queue_size: int) -> None:
        raise RuntimeError("metrics")


async def test_an_observer_that_raises_costs_nobody_an_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    batcher = DynamicBatcher(PuppetServable(), policy(2), observer=RaisingObserver())
    batcher.start()
    images = random_images(5)
    results = await asyncio.gather(*batcher.schedule_many(images))
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert batcher.is_healthy
    assert await batcher.close() == 0
    assert [record.message for record in caplog.records] == ["batch observer raised"]
