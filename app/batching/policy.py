"""When a batch closes and how large it may be: numbers and pure functions, no state."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise

MIN_RETRY_AFTER_S = 1.0
"""``Retry-After`` is in whole seconds, and 0 would invite a busy loop of clients."""

MAX_PADDING_SHARE = 0.25
"""A batch with more filling than this is cut to the next smaller allowed size instead.

64 clients on a CPU made batches of 31 on average, a third of each execution being filling; cut,
two half batches alternate without any (benchmarks/README.md).
"""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How one batcher trades latency for throughput.

    Attributes:
        max_batch_size: Most images in one execution. Higher: more throughput under load, more
            device memory, and a longer execution that everybody behind it waits for. Lower: the
            opposite. It never delays a lone image.
        allowed_batch_sizes: The sizes that the device sees; the servable pads up to the next one.
            Each costs a compilation at start and some memory; few of them mean more padding.
            Ascending, the last one is ``max_batch_size``.
        batch_timeout_s: Longest time that the oldest waiting image is held back for company while
            the device is free. 0 (the default) holds nobody back: batches then form only while
            the device works, which is enough to fill them under load. Raise it only where
            executions cost money and latency does not matter.
        max_queue_size: Most images that wait; one more is refused. Higher: longer bursts are
            taken, and the last image of one waits longer. It bounds memory: one decoded image
            each. Requests above ``max_queue_size / throughput`` seconds are late anyway.
        stall_after_s: An execution under way for longer makes the batcher unhealthy until it
            ends, and has its engine restarted. Far above any honest execution (seconds on a CPU),
            since it only has to tell a device that hangs from one that works.
    """

    max_batch_size: int = 64
    allowed_batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    batch_timeout_s: float = 0.0
    max_queue_size: int = 1024
    stall_after_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse numbers that contradict each other.

        Raises:
            ValueError: Names the value, the limit and the setting.
        """
        sizes = self.allowed_batch_sizes
        if self.max_batch_size < 1:
            raise ValueError(
                f"max_batch_size is {self.max_batch_size}, it must be at least 1 "
                "(KERASERVE_MAX_BATCH_SIZE)"
            )
        if not sizes or sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
            raise ValueError(
                f"allowed_batch_sizes is {sizes}, it must be positive and ascending "
                "(KERASERVE_ALLOWED_BATCH_SIZES)"
            )
        if sizes[-1] != self.max_batch_size:
            raise ValueError(
                f"allowed_batch_sizes ends with {sizes[-1]}, max_batch_size is "
                f"{self.max_batch_size}; they must be equal "
                "(KERASERVE_ALLOWED_BATCH_SIZES, KERASERVE_MAX_BATCH_SIZE)"
            )
        if not 0 <= self.batch_timeout_s < math.inf:
            raise ValueError(
                f"batch_timeout_s is {self.batch_timeout_s}, it must be 0 or more "
                "(KERASERVE_BATCH_TIMEOUT_MS)"
            )
        if self.max_queue_size < 1:
            raise ValueError(
                f"max_queue_size is {self.max_queue_size}, it must be at least 1 "
                "(KERASERVE_MAX_QUEUE_SIZE)"
            )
        if not self.stall_after_s > 0:
            raise ValueError(
                f"stall_after_s is {self.stall_after_s}, it must be above 0 "
                "(KERASERVE_STALL_AFTER_S)"
            )

    def padded_size(self, size: int) -> int:
        """Return the smallest allowed batch size that holds ``size`` images.

        Raises:
            ValueError: ``size`` is not in 1..max_batch_size.
        """
        if size < 1:
            raise ValueError(f"a batch of {size} images; the least is 1")
        for allowed in self.allowed_batch_sizes:
            if allowed >= size:
                return allowed
        raise ValueError(
            f"a batch of {size} images; the limit is {self.max_batch_size} "
            "(KERASERVE_MAX_BATCH_SIZE)"
        )

    def size_to_take(self, waiting: int) -> int:
        """Return how many of ``waiting`` images the next batch takes.

        All of them, up to ``max_batch_size``; but if more than ``MAX_PADDING_SHARE`` of the
        padded batch were filling, only as many as the next smaller allowed size, if that is at
        least half of them: the rest goes first in the batch after it.
        """
        if waiting >= self.max_batch_size:
            return self.max_batch_size
        padded = self.padded_size(waiting)
        if padded - waiting <= MAX_PADDING_SHARE * padded:
            return waiting
        smaller = max((size for size in self.allowed_batch_sizes if size < waiting), default=0)
        return smaller if 2 * smaller >= waiting else waiting

    def closes_at_s(self, oldest_enqueued_at_s: float) -> float:
        """Return the clock time at which a free device waits for company no longer."""
        return oldest_enqueued_at_s + self.batch_timeout_s

    def may_close(
        self,
        *,
        interactive: int,
        bulk: int,
        is_device_busy: bool,
        oldest_enqueued_at_s: float,
        now_s: float,
        ready_at: int | None = None,
    ) -> bool:
        """Decide whether the next batch is taken from the queue now.

        A free device takes it when it is full or its oldest task has waited ``batch_timeout_s``.
        A busy device takes it only when interactive tasks alone fill it, or are ``ready_at``: such
        a batch gets no better by waiting, and lying ready it saves the device a round trip over the
        event loop.
        A batch with bulk in it stays open, so that interactive tasks can still go before.

        Args:
            interactive: Interactive tasks waiting.
            bulk: Bulk tasks waiting.
            is_device_busy: Whether the device executes a batch.
            oldest_enqueued_at_s: When the oldest of all waiting tasks came; unused at none.
            now_s: The clock's time.
            ready_at: Interactive tasks that a busy device takes; those that fill it, if not given.
        """
        if is_device_busy:
            return interactive >= min(ready_at or self.max_batch_size, self.max_batch_size)
        waiting = interactive + bulk
        if waiting == 0:
            return False
        return waiting >= self.max_batch_size or now_s >= self.closes_at_s(oldest_enqueued_at_s)

    def smaller(self) -> BatchPolicy:
        """Return the policy after the device ran out of memory: at most half as large batches.

        The new largest size is an allowed one. The smallest allowed size stays: the servable pads
        everything to it, so smaller batches would need as much memory.
        """
        half = self.max_batch_size // 2
        sizes = tuple(size for size in self.allowed_batch_sizes if size <= half)
        sizes = sizes or self.allowed_batch_sizes[:1]
        return dataclasses.replace(self, max_batch_size=sizes[-1], allowed_batch_sizes=sizes)


def retry_after_s(queue_size: int, images_per_s: float) -> float:
    """Return when the present queue will have been executed, in seconds, at least 1.

    Args:
        queue_size: Images waiting.
        images_per_s: Measured rate of the device; 0 where nothing has been measured yet.
    """
    if images_per_s <= 0:
        return MIN_RETRY_AFTER_S
    return max(MIN_RETRY_AFTER_S, queue_size / images_per_s)
