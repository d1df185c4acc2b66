"""A version's batcher with what stands before it, and what tests ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.batching.task import TaskResult
from app.inference.coalescing import ReusingScheduler
from app.inference.result_cache import ResultCache
from app.inference.shared_task import Reuse, SharedTask
from app.types import ImageArray
from tests.fakes import PATIENCE_S
from tests.unit.batching.world import (
    World,
    poisoned,
    random_images,
)

A, B, C = random_images(3)


class Desk:
    """A batcher with what stands before it, and what that has counted."""

    def __init__(
        self,
        world: World,
        batch_policy: BatchPolicy | None = None,
        *,
        coalesces: bool = True,
        cache: ResultCache | None = None,
        digest: Callable[[bytes], int] = hash,
    ) -> None:
        self.world = world
        self.batcher: DynamicBatcher = world.running(batch_policy)
        self.counted: list[Reuse] = []
        self.scheduler = ReusingScheduler(
            self.batcher,
            coalesces=coalesces,
            cache=None if cache is None else cache.section(),
            count=self.counted.append,
            digest=digest,
            clock=world.clock,
        )

    @property
    def executed(self) -> list[ImageArray]:
        """The images that were executed, but for those that keep the device busy."""
        known = (A, B, C, poisoned(A))
        return [
            image
            for images in self.world.puppet.executed
            for image in images
            if any(np.array_equal(image, other) for other in known)
        ]

    async def classify(self, image: ImageArray) -> TaskResult:
        return await answer_of(self.scheduler.schedule(image))


def same(image: ImageArray) -> ImageArray:
    """Return the same pixels in memory of their own, as another upload brings them."""
    return image.copy()


async def answer_of(task: SharedTask) -> TaskResult:
    """Wait for an answer, but not for ever: one that never comes must fail its test."""
    async with asyncio.timeout(PATIENCE_S):
        return await task.result()


async def ended(task: SharedTask) -> TaskResult | Exception:
    """Wait for an answer, whatever it is."""
    try:
        return await answer_of(task)
    except Exception as error:
        return error
