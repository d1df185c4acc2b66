"""A batcher with a puppet for a network and a clock that stands still, and what tests ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

import numpy as np
from anyio.lowlevel import checkpoint

from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.batching.task import TaskResult
from app.batching.watchdog import LEAST_OVERDUE_S
from app.types import ImageArray, ScoreArray
from tests.fakes import FakeClock, FakeTimer, PuppetServable, RecordingObserver, scores_of

SHAPE = (4, 4, 3)
POISON = 255
"""First pixel value of an image that ``refuse_poison`` raises on; no other image has it."""


def random_images(count: int, seed: int = 0) -> list[ImageArray]:
    """Return images that differ from each other, none of them poisonous."""
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, POISON, (count, *SHAPE), dtype=np.uint8))


def poisoned(image: ImageArray) -> ImageArray:
    """Return a copy that ``refuse_poison`` raises on."""
    copy = image.copy()
    copy[0, 0, 0] = POISON
    return copy


def is_poisoned(images: ImageArray) -> bool:
    return bool((images[:, 0, 0, 0] == POISON).any())


def refuse_poison(images: ImageArray) -> ScoreArray:
    """Behave like a network that one image breaks."""
    if is_poisoned(images):
        raise ValueError("poison")
    return scores_of(images)


def is_answer_to(result: TaskResult, image: ImageArray) -> bool:
    """Whether the scores are the image's own row."""
    return np.array_equal(result.scores, scores_of(image[np.newaxis])[0])


def policy(max_batch_size: int = 64, **changes: float) -> BatchPolicy:
    """Return a policy that allows the powers of two up to ``max_batch_size``."""
    sizes = tuple(2**i for i in range(max_batch_size.bit_length()))
    return BatchPolicy(max_batch_size, sizes, **changes)  # type: ignore[arg-type]


async def turn() -> None:
    """Let the event loop do what it has to do now, and what follows at once from that."""
    for _ in range(3):
        await checkpoint()


async def outcome_of(task: Awaitable[TaskResult]) -> TaskResult | BaseException:
    """Wait for a task's answer, whatever it is."""
    outcomes = await asyncio.gather(task, return_exceptions=True)
    return outcomes[0]


@dataclass
class World:
    """The parts of one test."""

    puppet: PuppetServable
    clock: FakeClock = field(default_factory=FakeClock)
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    batchers: list[DynamicBatcher] = field(default_factory=list)

    def batcher(self, batch_policy: BatchPolicy | None = None) -> DynamicBatcher:
        """Build a batcher, not yet started."""
        batcher = DynamicBatcher(
            self.puppet,
            batch_policy or BatchPolicy(),
            observer=self.observer,
            clock=self.clock,
            call_later=self.clock.call_later,
            name="cifar10:1",
        )
        self.batchers.append(batcher)
        return batcher

    def running(self, batch_policy: BatchPolicy | None = None) -> DynamicBatcher:
        """Build and start a batcher."""
        batcher = self.batcher(batch_policy)
        batcher.start()
        return batcher

    @property
    def company_timers(self) -> list[FakeTimer]:
        """Timers that are set, but for the one that looks after the device."""
        first_look_s = self.clock() + LEAST_OVERDUE_S / 2
        return [
            timer
            for timer in self.clock.timers
            if not first_look_s < timer.at_s <= self.clock() + LEAST_OVERDUE_S
        ]

    async def keep_device_busy(self, batcher: DynamicBatcher) -> None:
        """Have the device execute one image, until the puppet is released."""
        self.puppet.hold()
        began = len(self.puppet.executed)
        batcher.schedule(random_images(1, seed=99)[0])
        await self.puppet.began(began + 1)
        await turn()

    async def close(self) -> None:
        self.puppet.let_go()
        for batcher in self.batchers:
            await batcher.close(timeout_s=2)
