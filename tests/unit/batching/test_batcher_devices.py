"""Several devices behind one queue."""

from __future__ import annotations

import asyncio

import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.devices.timer import DeviceTimer
from app.errors import BatcherStoppedError, OutOfDeviceMemoryError, ServableNotReadyError
from app.runtime.servable_group import DeviceGroup
from app.types import ImageArray, ScoreArray
from tests.fakes import FakeClock, PuppetServable, RecordingObserver, scores_of
from tests.unit.batching.world import (
    is_answer_to,
    outcome_of,
    poisoned,
    policy,
    random_images,
    refuse_poison,
    turn,
)

pytestmark = pytest.mark.timeout(10)


class Devices:
    """A batcher on several puppets."""

    def __init__(self, count: int, batch_policy: BatchPolicy, *, is_held: bool = True) -> None:
        self.puppets = [PuppetServable(is_held=is_held) for _ in range(count)]
        self.clock = FakeClock()
        self.observer = RecordingObserver()
        self.batcher = DynamicBatcher(
            DeviceGroup(self.puppets),
            batch_policy,
            observer=self.observer,
            clock=self.clock,
            call_later=self.clock.call_later,
            name="cifar10:1",
        )
        self.batcher.start()

    async def began(self, *executions: int) -> None:
        """Wait until each device has begun so many executions."""
        for puppet, count in zip(self.puppets, executions, strict=True):
            await puppet.began(count)
        await turn()

    async def close(self) -> None:
        for puppet in self.puppets:
            puppet.let_go()
        await self.batcher.close(timeout_s=5)


async def test_a_second_image_does_not_wait_where_a_second_device_is_free() -> None:
    devices = Devices(2, policy(8))
    images = random_images(2)
    first = devices.batcher.schedule(images[0])
    await devices.began(1, 0)
    second = devices.batcher.schedule(images[1])
    await devices.began(1, 1)
    assert devices.batcher.queue_size == 0

    devices.puppets[1].release()  # the order of the answers is that of the devices
    assert is_answer_to(await second, images[1])
    assert not first.is_done
    devices.puppets[0].release()
    assert is_answer_to(await first, images[0])
    await devices.close()


async def test_all_devices_take_from_one_queue_which_grows_while_all_are_busy() -> None:
    devices = Devices(2, policy(8))
    images = random_images(8)
    tasks = [devices.batcher.schedule(images[0])]
    await devices.began(1, 0)
    tasks.append(devices.batcher.schedule(images[1]))
    await devices.began(1, 1)
    tasks += devices.batcher.schedule_many(images[2:])
    await turn()
    assert devices.batcher.queue_size == 6

    devices.puppets[1].release()
    await devices.began(1, 2)
    assert devices.batcher.queue_size == 0
    assert devices.puppets[1].batch_sizes == [1, 6]
    for puppet in devices.puppets:
        puppet.let_go()
    results = await asyncio.gather(*tasks)
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    await devices.close()


async def test_a_full_batch_lies_ready_behind_each_device_and_no_more() -> None:
    devices = Devices(2, policy(2))
    devices.batcher.schedule_many(random_images(12))
    await devices.began(1, 1)
    assert devices.batcher.queue_size == 12 - 2 * 4
    await devices.close()
    assert sum(len(puppet.executed) for puppet in devices.puppets) == 6


async def test_each_device_executes_one_batch_at_a_time() -> None:
    devices = Devices(3, policy(4), is_held=False)
    images = random_images(200)
    results = await asyncio.gather(*devices.batcher.schedule_many(images))
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert [puppet.most_at_once for puppet in devices.puppets] == [1, 1, 1]
    assert sum(size for puppet in devices.puppets for size in puppet.batch_sizes) == 200
    assert sum(size for size, _ in devices.observer.batches) == 200
    await devices.close()


async def test_the_oldest_image_is_held_back_for_company_only_by_the_timeout() -> None:
    devices = Devices(2, policy(4, batch_timeout_s=1.0), is_held=False)
    busy = devices.batcher.schedule_many(random_images(4))
    await asyncio.gather(*busy)
    task = devices.batcher.schedule(random_images(1)[0])
    await turn()
    assert devices.batcher.queue_size == 1
    devices.clock.advance(1.0)
    assert (await task).batch_size == 1
    await devices.close()


def die(images: ImageArray) -> ScoreArray:
    raise SystemExit(3)


async def test_a_device_that_dies_fails_its_own_images_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    devices = Devices(2, policy(2))
    images = random_images(12)
    tasks = devices.batcher.schedule_many(images)  # by twos: to 1, 2, behind 1, behind 2
    await devices.began(1, 1)
    devices.puppets[0].behave = die
    devices.puppets[0].let_go()
    for lost in (0, 1, 4, 5):  # in execution, and behind it
        outcome = await outcome_of(tasks[lost])
        assert isinstance(outcome, ServableNotReadyError)
        assert isinstance(outcome.__cause__, SystemExit)
    assert devices.batcher.failure == "device 1 of 2: the device thread ended, see the log"
    assert not devices.batcher.is_closed
    assert [record.message for record in caplog.records] == ["device died"]

    devices.puppets[1].let_go()
    for kept in (2, 3, *range(6, 12)):
        assert is_answer_to(await tasks[kept], images[kept])
    later = random_images(5, seed=7)
    answers = await asyncio.gather(*devices.batcher.schedule_many(later))
    assert all(is_answer_to(r, i) for r, i in zip(answers, later, strict=True))
    assert len(devices.puppets[0].executed) == 1
    assert await devices.batcher.close() == 0
    assert devices.batcher.is_closed


async def test_draining_ends_though_the_last_images_were_with_a_device_that_died() -> None:
    devices = Devices(2, policy(2))
    task = devices.batcher.schedule(random_images(1)[0])
    await devices.began(1, 0)
    draining = asyncio.create_task(devices.batcher.drain())
    await turn()
    devices.puppets[0].behave = die
    devices.puppets[0].let_go()
    await draining
    assert isinstance(await outcome_of(task), ServableNotReadyError)
    await devices.close()


async def test_when_the_last_device_has_died_everybody_is_failed() -> None:
    devices = Devices(2, policy(2))
    tasks = devices.batcher.schedule_many(random_images(12))
    await devices.began(1, 1)
    for puppet in devices.puppets:
        puppet.behave = die
        puppet.let_go()
    for task in tasks:
        assert isinstance(await outcome_of(task), ServableNotReadyError)
    assert devices.batcher.is_closed
    with pytest.raises(ServableNotReadyError):
        devices.batcher.schedule(random_images(1)[0])
    assert await devices.batcher.close() == 0


async def test_a_culprit_is_isolated_on_its_device_and_hurts_nobody_on_the_other() -> None:
    devices = Devices(2, policy(4), is_held=False)
    for puppet in devices.puppets:
        puppet.behave = refuse_poison
    images = random_images(8)
    tasks = devices.batcher.schedule_many([poisoned(images[0]), *images[1:]])
    assert "failed on this image" in str(await outcome_of(tasks[0]))
    for task, image in zip(tasks[1:], images[1:], strict=True):
        assert is_answer_to(await task, image)
    assert devices.batcher.is_healthy
    await devices.close()


async def test_all_get_batches_that_fit_the_device_with_the_least_memory() -> None:
    devices = Devices(2, policy(8), is_held=False)

    def little_memory(images: ImageArray) -> ScoreArray:
        if len(images) > 2:
            raise OutOfDeviceMemoryError("2 at most")
        return scores_of(images)

    devices.puppets[0].behave = little_memory
    await asyncio.gather(*devices.batcher.schedule_many(random_images(32)))
    assert devices.batcher.policy.max_batch_size == 2
    before = len(devices.puppets[1].executed)
    await asyncio.gather(*devices.batcher.schedule_many(random_images(32)))
    assert devices.batcher.policy.max_batch_size == 2
    assert max(devices.puppets[1].batch_sizes[before:], default=0) <= 2
    await devices.close()


async def test_a_device_that_hangs_is_told_and_its_neighbour_answers() -> None:
    devices = Devices(2, policy(4, stall_after_s=60.0))
    stuck = devices.batcher.schedule(random_images(1)[0])
    await devices.began(1, 0)
    devices.puppets[1].let_go()
    devices.clock.advance(61.0)
    image = random_images(1, seed=4)[0]
    assert is_answer_to(await devices.batcher.schedule(image), image)
    assert devices.batcher.failure == (
        "device 1 of 2: one execution has been running for 61 s, limit 60 s"
    )
    assert not stuck.is_done
    await devices.close()


async def test_closing_in_time_cuts_off_what_is_with_every_device() -> None:
    devices = Devices(2, policy(1))
    tasks = devices.batcher.schedule_many(random_images(5))
    await devices.began(1, 1)
    assert await devices.batcher.close(timeout_s=0) == 5
    for task in tasks:
        assert isinstance(await outcome_of(task), BatcherStoppedError)
    assert not devices.batcher.is_closed
    devices.puppets[0].let_go()
    devices.puppets[1].let_go()
    await devices.close()
    assert devices.batcher.is_closed


async def test_each_device_is_timed_while_it_executes_and_by_its_own_timer() -> None:
    clock = FakeClock()
    timers = {name: DeviceTimer(clock) for name in ("gpu:0", "gpu:1")}
    puppets = [PuppetServable(is_held=True, device_id=name) for name in timers]
    batcher = DynamicBatcher(
        DeviceGroup(puppets),
        policy(1),
        observer=RecordingObserver(),
        clock=clock,
        call_later=clock.call_later,
        timer_of=timers.__getitem__,
    )
    batcher.start()
    images = random_images(2)
    first = batcher.schedule(images[0])
    await puppets[0].began(1)
    second = batcher.schedule(images[1])
    await puppets[1].began(1)
    clock.advance(1)
    puppets[0].release()
    await first
    clock.advance(2)
    assert {name: timer.busy_s for name, timer in timers.items()} == {"gpu:0": 1, "gpu:1": 3}
    puppets[1].release()
    await second
    clock.advance(5)
    assert timers["gpu:1"].busy_s == 3
    await batcher.close(timeout_s=5)
