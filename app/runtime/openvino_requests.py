"""How OpenVINO is asked to execute: at once, or by its queue."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino as ov

from app.runtime.padding import pad_to_allowed
from app.types import ImageArray, ScoreArray


class Executor:
    """What executes for one thread: a request for any number of images, and one for a lone one."""

    def __init__(self, sizes: Sequence[int], request: Any, lone: Any = None) -> None:
        """Take requests that nobody else has; ``sizes`` are the allowed ones, ascending."""
        self._sizes = sizes
        self._request = request
        self._lone = lone

    def __call__(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1."""
        batch = _batch_of(images, self._sizes)
        request = self._request if self._lone is None or len(batch) > 1 else self._lone
        request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
        # ``infer([batch])`` would look at what it is given for 30 µs.
        request.infer(share_outputs=True)
        return _scores(request, len(images))


class FreeRequests:
    """Requests of one compiled network that nobody waits for; for all its streams.

    There are never more than there were batches in the queue at one time. Threads: any.
    """

    def __init__(self, compiled: Any) -> None:
        """Begin without any."""
        self._compiled = compiled
        # Written to where a batch is dropped, in whatever thread and wherever it is then.
        self._free: SimpleQueue[tuple[Any, ImageArray | None]] = SimpleQueue()

    def take(self) -> Any:
        """Return one that executes nothing; without waiting."""
        try:
            request, batch = self._free.get_nowait()
            if batch is None or request.wait_for(0):
                return request
            self._free.put((request, batch))  # dropped, and not executed yet
        except (Empty, RuntimeError):  # none, or it has failed where nobody asked
            pass
        return self._compiled.create_infer_request()

    def give_back(self, request: Any, batch: ImageArray | None) -> None:
        """Take a request back; of one that may be executing, what it reads."""
        self._free.put((request, batch))

    def close(self) -> None:
        """Drop them all, each once it executes nothing."""
        while True:
            try:
                request, batch = self._free.get_nowait()
            except Empty:
                return
            if batch is not None:
                with suppress(RuntimeError):  # it has failed where nobody asked
                    request.wait()


class QueueingExecutor(Executor):
    """What executes for one thread, and begins batches ahead of their turn for it.

    OpenVINO's streams take what is begun from one queue, oldest first.
    """

    def __init__(self, sizes: Sequence[int], request: Any, free: FreeRequests) -> None:
        """Take a request that nobody else has; ``free`` is for what is begun ahead."""
        super().__init__(sizes, request)
        self._free = free

    def begin(self, images: ImageArray) -> BegunBatch:
        """Put ``(N, H, W, C)`` uint8 into the queue, from any thread; wait for nothing."""
        return BegunBatch(self._free, _batch_of(images, self._sizes), len(images))

    def close(self) -> None:
        """Wait for what is executed though it was dropped."""
        self._free.close()


class BegunBatch:
    """A batch in the queue of OpenVINO, executed or not; may be dropped at any time."""

    __slots__ = ("_batch", "_count", "_free", "_request")

    def __init__(self, free: FreeRequests, batch: ImageArray, count: int) -> None:
        """Begin ``(allowed size, H, W, C)`` uint8, of which ``count`` are no filling."""
        self._free = free
        self._request = request = free.take()
        self._count = count
        self._batch: ImageArray | None = batch  # for as long as OpenVINO reads it
        request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
        request.start_async()

    def scores(self) -> ScoreArray:
        """Wait until it has been executed → ``(N, K)`` float32, rows sum to 1; once."""
        self._request.wait()
        self._batch = None
        return _scores(self._request, self._count)

    def __del__(self) -> None:
        """Give the request back."""
        request = getattr(self, "_request", None)
        if request is not None:
            self._free.give_back(request, self._batch)


def _batch_of(images: ImageArray, sizes: Sequence[int]) -> ImageArray:
    batch = np.ascontiguousarray(pad_to_allowed(images, sizes))
    # A decoder's own memory may be read-only, which OpenVINO does not share.
    return batch if batch.flags.writeable else batch.copy()


def _scores(request: Any, count: int) -> ScoreArray:
    # The request's own memory is written to again by its next batch.
    scores: ScoreArray = np.array(request.get_output_tensor(0).data[:count], np.float32)
    return scores
