"""Devices that do not come back: who is told, who waits, who does not."""

from __future__ import annotations

import asyncio

import pytest

from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.batching.task import TaskResult
from app.batching.watchdog import LEAST_OVERDUE_S
from app.errors import ServableNotReadyError
from app.runtime.servable_group import DeviceGroup
from app.types import ImageArray, ScoreArray
from tests.fakes import FakeClock, PuppetServable, RecordingObserver
from tests.unit.batching.world import is_answer_to, outcome_of, policy, random_images, turn

pytestmark = pytest.mark.timeout(10)

JOINS_AT = 16


class Streams(DeviceGroup):
    """Several streams that share one device, as on CPUs."""

    joins_at = JOINS_AT


class Hanging:
    """A batcher on one or more puppets, of which the test lets some hang."""

    def __init__(self, count: int, batch_policy: BatchPolicy) -> None:
        self.puppets = [PuppetServable(is_held=True) for _ in range(count)]
        self.clock = FakeClock()
        self.failures: list[str] = []
        self.batcher = DynamicBatcher(
            self.puppets[0] if count == 1 else Streams(self.puppets),
            batch_policy,
            observer=RecordingObserver(),
            clock=self.clock,
            call_later=self.clock.call_later,
            name="cifar10:1",
            on_failure=self.failures.append,
        )
        self.batcher.start()

    async def learn(self) -> None:
        """Execute enough for the batcher to know how long it takes; no time passes meanwhile."""
        for puppet in self.puppets:
            puppet.let_go()
        for seed in range(20):
            await self.batcher.schedule(random_images(1, seed=seed)[0])
        for puppet in self.puppets:
            puppet.hold()

    async def hang(self) -> asyncio.Task[TaskResult | BaseException]:
        """Have the first device begin an execution that does not end."""
        before = len(self.puppets[0].executed)
        task = asyncio.ensure_future(
            outcome_of(self.batcher.schedule(random_images(1, seed=99)[0]))
        )
        await turn()
        await self.puppets[0].began(before + 1)
        return task

    async def close(self) -> None:
        for puppet in self.puppets:
            puppet.let_go()
        await self.batcher.close(timeout_s=5)


async def test_device_that_hangs_is_told_once_and_nobody_new_waits_for_it() -> None:
    device = Hanging(1, policy(8, stall_after_s=30.0))
    stuck = await device.hang()
    waiting = device.batcher.schedule(random_images(1)[0])
    device.clock.advance(29.0)
    assert device.failures == []
    device.clock.advance(2.0)
    device.clock.advance(500.0)
    [reason] = device.failures
    assert "one execution has been running for 30 s, limit 30 s" in reason
    with pytest.raises(ServableNotReadyError, match="cifar10:1 does not answer"):
        device.batcher.schedule(random_images(1)[0])
    assert not waiting.is_done, "who was accepted waits until his own deadline"
    assert device.clock.timers == [], "nothing is left to look for"

    device.puppets[0].let_go()
    await stuck
    await waiting
    assert device.batcher.is_healthy
    await device.batcher.schedule(random_images(1)[0])
    await device.close()


async def test_second_device_takes_lone_images_where_the_first_one_hangs() -> None:
    streams = Hanging(2, policy(64))
    await streams.learn()
    await streams.hang()
    image = random_images(1)[0]
    waiting = streams.batcher.schedule(image)
    await turn()
    assert streams.batcher.queue_size == 1, "too few to join, while the first one may still end"
    streams.puppets[1].let_go()
    streams.clock.advance(LEAST_OVERDUE_S)
    assert is_answer_to(await waiting, image)
    assert streams.failures == [], "an execution may take its time"
    for seed in range(5):  # nobody is sent behind it from then on
        image = random_images(1, seed=seed)[0]
        assert is_answer_to(await streams.batcher.schedule(image), image)
    await streams.close()


async def test_device_that_was_slow_once_is_used_again() -> None:
    streams = Hanging(2, policy(64))
    await streams.learn()
    stuck = await streams.hang()
    streams.clock.advance(LEAST_OVERDUE_S)
    streams.puppets[0].let_go()
    await stuck
    before = len(streams.puppets[0].executed)
    await streams.batcher.schedule(random_images(1)[0])
    assert len(streams.puppets[0].executed) == before + 1
    await streams.close()


async def test_one_device_of_two_that_hangs_is_told_and_the_other_accepts() -> None:
    streams = Hanging(2, policy(64, stall_after_s=30.0))
    await streams.hang()
    streams.puppets[1].let_go()
    streams.clock.advance(31.0)
    [reason] = streams.failures
    assert "limit 30 s" in reason
    image = random_images(1)[0]
    assert is_answer_to(await streams.batcher.schedule(image), image)
    await streams.close()


async def test_time_in_which_the_process_stood_still_is_not_held_against_a_device() -> None:
    class Slept(FakeClock):
        """Timers fire late, and all at once, as after a suspension."""

        def advance(self, seconds: float) -> None:
            due = [timer for timer in self.timers if timer.at_s <= self._now_s + seconds]
            self._now_s += seconds
            for timer in due:
                self.timers.remove(timer)
                timer.callback()

    device = Hanging(1, policy(8, stall_after_s=30.0))
    slept = Slept()
    batcher = DynamicBatcher(
        device.puppets[0],
        policy(8, stall_after_s=30.0),
        observer=RecordingObserver(),
        clock=slept,
        call_later=slept.call_later,
        on_failure=device.failures.append,
    )
    batcher.start()
    task = batcher.schedule(random_images(1)[0])
    await device.puppets[0].began(1)
    slept.advance(3600.0)
    assert device.failures == []
    slept.advance(30.0)
    assert len(device.failures) == 1
    device.puppets[0].let_go()
    await task
    await batcher.close()
    await device.close()


async def test_idle_device_has_no_timer() -> None:
    device = Hanging(1, policy(8))
    device.puppets[0].let_go()
    await device.batcher.schedule(random_images(1)[0])
    device.clock.advance(LEAST_OVERDUE_S)
    assert device.clock.timers == []
    await device.close()


def die(images: ImageArray) -> ScoreArray:
    raise SystemExit(3)


def break_down(images: ImageArray) -> ScoreArray:
    raise RuntimeError("lost the device")


async def test_device_that_dies_is_told() -> None:
    device = Hanging(1, policy(8))
    device.puppets[0].behave = die
    device.puppets[0].let_go()
    assert isinstance(await outcome_of(device.batcher.schedule(random_images(1)[0])), Exception)
    assert device.failures == ["the device thread ended, see the log"]
    await device.close()


async def test_one_device_of_two_that_dies_is_told() -> None:
    streams = Hanging(2, policy(64))
    streams.puppets[0].behave = die
    streams.puppets[0].let_go()
    assert isinstance(await outcome_of(streams.batcher.schedule(random_images(1)[0])), Exception)
    assert streams.failures == ["a device thread ended"]
    await streams.close()


async def test_device_that_fails_on_what_it_could_classify_before_is_told() -> None:
    device = Hanging(1, policy(8))
    device.puppets[0].let_go()
    await device.batcher.schedule(random_images(1)[0])
    assert device.failures == []
    device.puppets[0].behave = break_down
    await outcome_of(device.batcher.schedule(random_images(1, seed=1)[0]))
    assert device.failures == ["the device fails on an image that it could classify before"]
    await device.close()
