"""Batches that are copied to the device while it works."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from app.batching import device
from app.batching.batcher import DynamicBatcher
from app.batching.runner import BatchRunner
from app.batching.staging import StagingThread
from app.batching.task import TaskResult
from app.errors import ServableNotReadyError
from app.runtime.servable_group import DeviceGroup
from app.types import ImageArray, ScoreArray
from tests.fakes import PATIENCE_S, PuppetServable, RecordingObserver
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


@dataclass
class OnDevice:
    """What ``StagingPuppet.stage`` makes of images."""

    images: ImageArray


class StagingPuppet(PuppetServable):
    """A puppet with memory of its own.

    Attributes:
        staged: The images of each copy, in the order in which they ended.
        from_memory: Images of each execution of copied ones.
        on_stage: Called before each copy; it may raise.
    """

    def __init__(self, *, is_held: bool = False) -> None:
        super().__init__(is_held=is_held)
        self.staged: list[ImageArray] = []
        self.from_memory: list[int] = []
        self.on_stage: Callable[[], None] | None = None
        self._has_staged = threading.Semaphore(0)

    def stage(self, images: ImageArray) -> OnDevice:
        try:
            if self.on_stage is not None:
                self.on_stage()
            self.staged.append(images)
        finally:
            self._has_staged.release()
        return OnDevice(images)

    def execute_staged(self, staged: OnDevice) -> ScoreArray:
        self.from_memory.append(len(staged.images))
        return self.execute(staged.images)

    async def copied(self) -> None:
        """Wait for one more copy, or attempt."""
        assert await asyncio.to_thread(self._has_staged.acquire, timeout=PATIENCE_S)


class QueueingPuppet(StagingPuppet):
    """A puppet whose engine has a queue: who puts something there waits for nothing.

    Attributes:
        stagers: The thread of each call of ``stage``.
        least: Fewer images do not go into it.
    """

    def __init__(self, *, is_held: bool = False) -> None:
        super().__init__(is_held=is_held)
        self.stagers: list[str] = []
        self.least = 1

    def can_queue(self, count: int) -> bool:
        return count >= self.least

    def stage(self, images: ImageArray) -> OnDevice:
        self.stagers.append(threading.current_thread().name)
        return super().stage(images)


@pytest.fixture(params=[StagingPuppet, QueueingPuppet], ids=["copies", "has a queue"])
def puppet(request: pytest.FixtureRequest) -> StagingPuppet:
    made: StagingPuppet = request.param(is_held=True)
    return made


def running(puppet: PuppetServable, size: int = 2) -> DynamicBatcher:
    batcher = DynamicBatcher(puppet, policy(size), observer=RecordingObserver(), name="copying")
    batcher.start()
    return batcher


async def test_the_next_batch_is_copied_while_the_device_executes(puppet: StagingPuppet) -> None:
    batcher = running(puppet)
    images = random_images(4)
    tasks = batcher.schedule_many(images)
    await puppet.began(1)
    await puppet.copied()
    assert puppet.batch_sizes == [2], "the copy does not wait for the execution before it"
    assert [len(images) for images in puppet.staged] == [2]
    puppet.let_go()
    results = await asyncio.gather(*tasks)
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert puppet.from_memory == [2]
    assert puppet.most_at_once == 1
    await batcher.close()


async def test_a_batch_that_finds_the_device_idle_takes_no_detour() -> None:
    puppet = StagingPuppet()
    batcher = running(puppet)
    image = random_images(1)[0]
    assert is_answer_to(await batcher.schedule(image), image)
    assert (puppet.staged, puppet.from_memory) == ([], [])
    await batcher.close()


async def test_an_image_cancelled_after_its_copy_hurts_nobody(puppet: StagingPuppet) -> None:
    batcher = running(puppet, 4)
    images = random_images(8)
    tasks = batcher.schedule_many(images)
    await puppet.began(1)
    await puppet.copied()
    tasks[5].cancel()
    puppet.let_go()
    for index in (*range(5), 6, 7):
        assert is_answer_to(await tasks[index], images[index])
    assert puppet.from_memory == [4]
    await batcher.close()


async def test_a_copy_that_nobody_wants_any_more_is_not_executed() -> None:
    puppet = StagingPuppet(is_held=True)
    batcher = running(puppet)
    tasks = batcher.schedule_many(random_images(4))
    await puppet.began(1)
    await puppet.copied()
    for task in tasks[2:]:
        task.cancel()
    puppet.let_go()
    await asyncio.gather(*tasks[:2])
    await batcher.close()
    assert (puppet.from_memory, puppet.batch_sizes) == ([], [2])


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
async def test_what_is_executed_in_vain_is_waited_for(*, fails: bool) -> None:
    puppet = QueueingPuppet(is_held=True)
    batcher = running(puppet)
    images = random_images(6)
    tasks = batcher.schedule_many(images[:4])
    await puppet.began(1)
    for task in tasks[2:]:
        task.cancel()
    tasks += batcher.schedule_many(images[4:])

    def fail(images: ImageArray) -> ScoreArray:
        raise RuntimeError("nobody is told")

    behave = puppet.behave
    puppet.release()
    await asyncio.gather(*tasks[:2])
    await puppet.began(2)  # the engine has it, whoever has left
    assert puppet.from_memory == [2]
    puppet.behave = fail if fails else behave
    puppet.release()
    await puppet.began(3)
    puppet.behave = behave
    puppet.let_go()
    for index in (4, 5):
        assert is_answer_to(await tasks[index], images[index])
    assert batcher.is_healthy
    await batcher.close()


async def test_batches_that_the_queue_does_not_take_are_not_put_there() -> None:
    puppet = QueueingPuppet(is_held=True)
    puppet.least = 3
    batcher = running(puppet)
    tasks = batcher.schedule_many(random_images(4))
    await puppet.began(1)
    puppet.let_go()
    await asyncio.gather(*tasks)
    assert (puppet.stagers, puppet.batch_sizes) == ([], [2, 2])
    await batcher.close()


@pytest.mark.parametrize("error", [RuntimeError("no memory"), SystemExit(3)])
async def test_a_batch_that_cannot_be_copied_is_executed_as_any_other(
    error: BaseException,
) -> None:
    puppet = StagingPuppet(is_held=True)

    def fail() -> None:
        raise error

    puppet.on_stage = fail
    batcher = running(puppet)
    images = random_images(8)
    tasks = batcher.schedule_many(images)
    await puppet.began(1)
    await puppet.copied()
    puppet.let_go()
    results = await asyncio.gather(*tasks)
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert (puppet.from_memory, batcher.is_healthy) == ([], True)
    await batcher.close()


async def test_a_batch_that_cannot_be_queued_is_executed_as_any_other() -> None:
    puppet = QueueingPuppet(is_held=True)

    def fail() -> None:
        raise RuntimeError("no room")

    puppet.on_stage = fail
    batcher = running(puppet)
    images = random_images(8)
    tasks = batcher.schedule_many(images)
    await puppet.began(1)
    puppet.let_go()
    results = await asyncio.gather(*tasks)
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert (puppet.from_memory, batcher.is_healthy) == ([], True)
    assert puppet.stagers
    await batcher.close()


@pytest.mark.parametrize("is_small", [True, False], ids=["small", "large"])
async def test_small_batches_are_queued_by_the_event_loop_and_large_ones_by_a_thread(
    monkeypatch: pytest.MonkeyPatch, is_small: bool
) -> None:
    puppet = QueueingPuppet(is_held=True)
    batcher = running(puppet)
    images = random_images(4)
    most = images[0].nbytes * 2
    monkeypatch.setattr(device, "MOST_QUEUED_AT_ONCE", most if is_small else most - 1)
    tasks = batcher.schedule_many(images)
    await puppet.began(1)
    await puppet.copied()
    puppet.let_go()
    await asyncio.gather(*tasks)
    event_loop = threading.current_thread().name
    assert puppet.stagers == [event_loop if is_small else "copy device copying"]
    assert puppet.from_memory == [2]
    await batcher.close()


async def test_what_only_copies_never_does_so_on_the_event_loop() -> None:
    names: list[str] = []
    puppet = StagingPuppet(is_held=True)
    puppet.on_stage = lambda: names.append(threading.current_thread().name)
    batcher = running(puppet)
    tasks = batcher.schedule_many(random_images(4))
    await puppet.copied()
    puppet.let_go()
    await asyncio.gather(*tasks)
    assert names == ["copy device copying"]
    await batcher.close()


async def test_a_culprit_in_a_copied_batch_stands_alone_in_the_end(puppet: StagingPuppet) -> None:
    puppet.behave = refuse_poison
    batcher = running(puppet, 4)
    images = random_images(8)
    tasks = batcher.schedule_many([*images[:6], poisoned(images[6]), images[7]])
    await puppet.began(1)
    await puppet.copied()
    puppet.let_go()
    assert "failed on this image" in str(await outcome_of(tasks[6]))
    for index in (*range(6), 7):
        assert is_answer_to(await tasks[index], images[index])
    assert puppet.from_memory == [4]
    await batcher.close()


async def test_the_servable_may_be_closed_only_once_no_copy_runs() -> None:
    puppet = StagingPuppet(is_held=True)
    may_copy = threading.Event()
    is_copying = threading.Event()

    def wait() -> None:
        is_copying.set()
        assert may_copy.wait(PATIENCE_S)

    puppet.on_stage = wait
    batcher = running(puppet)
    tasks = batcher.schedule_many(random_images(4))
    await puppet.began(1)
    await asyncio.to_thread(is_copying.wait, PATIENCE_S)

    def die(images: ImageArray) -> ScoreArray:
        raise SystemExit(3)

    puppet.behave = die
    puppet.let_go()  # the device thread dies while its copy is under way
    await turn()
    assert not batcher.is_closed
    may_copy.set()
    for task in tasks:
        assert isinstance(await outcome_of(task), ServableNotReadyError)
    await batcher.close()
    assert batcher.is_closed
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("copy ") for name in names)


class Shared(DeviceGroup):
    """Two puppets that share one device, and what lies ready for it."""

    joins_at = 2


@pytest.mark.parametrize("by_thread", [False, True], ids=["by the event loop", "by a thread"])
async def test_what_lies_ready_outlives_the_lane_that_brought_it(
    monkeypatch: pytest.MonkeyPatch, by_thread: bool
) -> None:
    if by_thread:
        monkeypatch.setattr(device, "MOST_QUEUED_AT_ONCE", 0)
    puppets = [QueueingPuppet(is_held=True) for _ in range(2)]
    batcher = DynamicBatcher(
        Shared(puppets), policy(2), observer=RecordingObserver(), name="copying"
    )
    batcher.start()
    images = random_images(40)
    tasks = batcher.schedule_many(images[:4])
    await puppets[0].began(1)
    await puppets[1].began(1)

    def die(images: ImageArray) -> ScoreArray:
        raise SystemExit(3)

    puppets[0].behave = die
    puppets[0].let_go()
    # In these turns the lane dies: some of it is brought by a lane that nobody knows to be dead.
    for image in images[4:]:
        tasks.append(batcher.schedule(image))
        await asyncio.sleep(0)
    puppets[1].let_go()
    outcomes = [await outcome_of(task) for task in tasks]
    failed = [outcome for outcome in outcomes if isinstance(outcome, ServableNotReadyError)]
    assert len(failed) == 2, "the batch that it died of"
    for image, outcome in zip(images, outcomes, strict=True):
        if outcome not in failed:
            assert isinstance(outcome, TaskResult)
            assert is_answer_to(outcome, image)
    await batcher.close()


def test_nothing_waits_for_a_copy_once_the_thread_has_ended() -> None:
    puppet = StagingPuppet()
    thread = StagingThread(BatchRunner(puppet, policy(2), time.monotonic), name="copy")
    thread.start()
    thread.stop()
    assert thread.submit([]).wait() is None
    assert puppet.staged == []


async def test_many_batches_keep_their_order_and_their_rows(puppet: StagingPuppet) -> None:
    puppet.let_go()
    batcher = running(puppet, 4)
    images = random_images(400)
    results = await asyncio.gather(*batcher.schedule_many(images))
    assert all(is_answer_to(r, i) for r, i in zip(results, images, strict=True))
    assert puppet.most_at_once == 1
    await batcher.close()
