"""Stand-ins for the two things that tests replace, the network and time, and a listener.

``PuppetServable`` is a servable that finishes when told. ``FakeClock`` is a clock, with timers,
that moves when told. ``RecordingObserver`` keeps what a batcher reports. None of them sleeps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import anyio.to_thread
import numpy as np

from app.types import EngineInfo, ImageArray, ScoreArray

PATIENCE_S = 5.0
"""A puppet that waits longer for its test than this fails, so that no test hangs."""

CLASSES = 10


def scores_of(images: ImageArray, classes: int = CLASSES) -> ScoreArray:
    """Return ``(N, K)`` float32 scores that sum to 1 and tell each image from the others."""
    pixels = images.reshape(len(images), -1)
    rows = np.stack([np.resize(row, classes) for row in pixels]).astype(np.float32) + 1
    scores: ScoreArray = rows / rows.sum(axis=1, keepdims=True)
    return scores


class PuppetServable:
    """A servable whose executions wait for the test while it is held.

    Args:
        behave: What an execution answers, in place of ``scores_of``; it may raise.
        is_held: Whether executions wait, from the first one on, for ``release()``.

    Attributes:
        executed: The images of each execution, in the order in which they began.
        most_at_once: Most executions under way at one time.
        warm_ups: Calls of ``warm_up()``.
        is_closed: Whether ``close()`` was called.
        on_close: Called by it; it may raise.
    """

    def __init__(
        self,
        behave: Callable[[ImageArray], ScoreArray] = scores_of,
        *,
        is_held: bool = False,
        device_id: str = "cpu:0",
    ) -> None:
        self.behave = behave
        self._device_id = device_id
        self.executed: list[ImageArray] = []
        self.most_at_once = 0
        self.warm_ups = 0
        self.is_closed = False
        self.on_close: Callable[[], None] | None = None
        self._is_held = is_held
        self._permits = 0
        self._under_way = 0
        self._changed = threading.Condition()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("puppet", "float32", "none", self._device_id)

    @property
    def batch_sizes(self) -> list[int]:
        """Images in each execution so far."""
        return [len(images) for images in self.executed]

    def execute(self, images: ImageArray) -> ScoreArray:
        with self._changed:
            self.executed.append(images)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            self._changed.notify_all()
        try:
            with self._changed:
                if not self._changed.wait_for(self._may_go, PATIENCE_S):
                    raise TimeoutError("the test released no execution")
                self._permits = max(0, self._permits - 1)
            return self.behave(images)
        finally:
            with self._changed:
                self._under_way -= 1

    def warm_up(self) -> None:
        self.warm_ups += 1

    def close(self) -> None:
        self.is_closed = True
        if self.on_close is not None:
            self.on_close()

    def hold(self) -> None:
        """From now on, let executions wait."""
        with self._changed:
            self._is_held = True

    def release(self, executions: int = 1) -> None:
        """Let so many executions end, be they under way or yet to come."""
        with self._changed:
            self._permits += executions
            self._changed.notify_all()

    def let_go(self) -> None:
        """From now on, let executions end by themselves."""
        with self._changed:
            self._is_held = False
            self._changed.notify_all()

    async def began(self, executions: int) -> None:
        """Wait until so many executions have begun since the puppet was made."""
        await anyio.to_thread.run_sync(self._wait_for, executions)

    def wait_began(self, executions: int) -> None:
        """Do as ``began()``, for tests without an event loop."""
        self._wait_for(executions)

    def _wait_for(self, executions: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.executed) >= executions, PATIENCE_S):
                raise TimeoutError(f"{len(self.executed)} executions began, not {executions}")

    def _may_go(self) -> bool:
        return not self._is_held or self._permits > 0


@dataclass(eq=False, slots=True)
class FakeTimer:
    """A timer of ``FakeClock``."""

    at_s: float
    callback: Callable[[], None]
    clock: FakeClock

    def cancel(self) -> None:
        self.clock.timers.remove(self)


class FakeClock:
    """Monotonic time that moves only by ``advance()``, with ``call_later`` to go with it.

    Attributes:
        timers: Those that have not fired and were not cancelled.
    """

    def __init__(self, now_s: float = 1000.0) -> None:
        self.timers: list[FakeTimer] = []
        self._now_s = now_s

    def __call__(self) -> float:
        return self._now_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self._now_s + delay_s, callback, self)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass; timers that become due fire in order, each at its own moment."""
        end_s = self._now_s + seconds
        while due := [timer for timer in self.timers if timer.at_s <= end_s]:
            timer = min(due, key=lambda timer: timer.at_s)
            self.timers.remove(timer)
            self._now_s = max(self._now_s, timer.at_s)
            timer.callback()
        self._now_s = end_s


class RecordingObserver:
    """Keeps what a batcher reports.

    Attributes:
        batches: ``(size, padded)`` of each execution that ended well.
        queue_delays_s: Of each image that left the queue for the device.
        queue_sizes: Each one reported.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.queue_delays_s: list[float] = []
        self.queue_sizes: list[int] = []

    def batch_executed(self, *, size: int, padded: int, duration_s: float) -> None:
        assert duration_s >= 0
        self.batches.append((size, padded))

    def task_dequeued(self, queue_delay_s: float) -> None:
        self.queue_delays_s.append(queue_delay_s)

    def queue_size_changed(self, queue_size: int) -> None:
        self.queue_sizes.append(queue_size)
