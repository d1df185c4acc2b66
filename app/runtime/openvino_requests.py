"""How OpenVINO is asked to execute: at once, or by its queue."""

from __future__ import annotations

import threading
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
        self._execute(request)
        return _scores(request, len(images))

    def _execute(self, request: Any) -> None:
        # ``infer([batch])`` would look at what it is given for 30 µs.
        request.infer(share_outputs=True)


class RequestPool:
    """Requests of one compiled network, for batches in its queue; for all its streams.

    All are made at the beginning: to make one, OpenVINO waits for a stream to be idle.

    Threads: any. Nothing here waits.
    """

    def __init__(self, compiled: Any, size: int) -> None:
        """Make ``size`` requests: so many batches can be in the queue, or be executed from it."""
        # Both are written to where a batch is dropped: in any thread, amid anything it does. The
        # request stands last: a tuple lets go of that first, and the request waits for its end.
        self._free: SimpleQueue[Any] = SimpleQueue()
        self._dropped: SimpleQueue[tuple[ImageArray, Any]] = SimpleQueue()
        self._is_closed = False
        for _ in range(size):
            self._free.put(compiled.create_infer_request())

    def take(self) -> Any:
        """Return a request that executes nothing.

        Raises:
            RuntimeError: There is none.
        """
        try:
            return self._free.get_nowait()
        except Empty:
            self._reclaim()
        try:
            return self._free.get_nowait()
        except Empty:
            raise RuntimeError("as many batches are in the queue as it takes") from None

    def give_back(self, request: Any) -> None:
        """Take a request back that executes nothing."""
        self._free.put(request)

    def drop(self, request: Any, batch: ImageArray) -> None:
        """Take a request back that may be executing ``batch``, which is kept until it has."""
        self._dropped.put((batch, request))
        if self._is_closed:
            self._outlive()

    def close(self) -> None:
        """Let go of all requests; of those that execute something, once they have."""
        self._is_closed = True
        self._outlive()
        with suppress(Empty):
            while True:
                self._free.get_nowait()

    def _reclaim(self) -> None:
        for _ in range(self._dropped.qsize()):
            try:
                batch, request = self._dropped.get_nowait()
            except Empty:  # another thread was faster
                return
            if _has_ended(request):
                self._free.put(request)
            else:
                self._dropped.put((batch, request))

    def _outlive(self) -> None:
        """Have what is executed keep its memory; in a thread, as an execution may hang."""
        self._reclaim()
        if not self._dropped.empty():
            with suppress(RuntimeError):  # at the end of the process, no thread starts any more
                threading.Thread(target=self._wait, name="openvino dropped", daemon=True).start()

    def _wait(self) -> None:
        with suppress(Empty):
            while True:
                kept = self._dropped.get_nowait()
                with suppress(RuntimeError):  # it has failed where nobody asked
                    kept[1].wait()


class QueueingExecutor(Executor):
    """What executes for one thread, and begins batches ahead of their turn for any of them.

    OpenVINO's streams take everything from one queue, what is called as what was begun.
    """

    def __init__(self, sizes: Sequence[int], request: Any, pool: RequestPool) -> None:
        """Take a request that nobody else has; ``pool`` is for what is begun ahead."""
        super().__init__(sizes, request)
        self._pool = pool

    def begin(self, images: ImageArray) -> BegunBatch:
        """Put ``(N, H, W, C)`` uint8 into the queue, from any thread; wait for nothing.

        Raises:
            RuntimeError: The queue is full, or OpenVINO refuses them.
        """
        return BegunBatch(self._pool, _batch_of(images, self._sizes), len(images))

    def close(self) -> None:
        """Let go of all requests; of those that execute something, once they have."""
        self._pool.close()

    def _execute(self, request: Any) -> None:
        request.start_async()  # in its place behind what was begun
        request.wait()


class BegunBatch:
    """A batch in the queue of OpenVINO, executed or not; may be dropped at any time."""

    __slots__ = ("_batch", "_count", "_pool", "_request")

    def __init__(self, pool: RequestPool, batch: ImageArray, count: int) -> None:
        """Begin ``(allowed size, H, W, C)`` uint8, of which ``count`` are no filling."""
        self._pool = pool
        self._count = count
        self._batch = batch  # for as long as OpenVINO reads it
        self._request: Any = None
        request = pool.take()
        try:
            request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
            request.start_async()
            self._request = request
        finally:
            if self._request is None:
                pool.give_back(request)

    def scores(self) -> ScoreArray:
        """Wait until it has been executed → ``(N, K)`` float32, rows sum to 1; once.

        Raises:
            RuntimeError: OpenVINO could not execute it.
        """
        request = self._request
        try:
            request.wait()
            return _scores(request, self._count)
        finally:
            if _has_ended(request):
                self._request = None
                self._pool.give_back(request)

    def __del__(self) -> None:
        """Give the request back."""
        if self._request is not None:
            self._pool.drop(self._request, self._batch)


def _has_ended(request: Any) -> bool:
    try:
        return bool(request.wait_for(0))
    except RuntimeError:  # of a request that was begun: it has failed
        return True


def _batch_of(images: ImageArray, sizes: Sequence[int]) -> ImageArray:
    batch = np.ascontiguousarray(pad_to_allowed(images, sizes))
    # A decoder's own memory may be read-only, which OpenVINO does not share.
    return batch if batch.flags.writeable else batch.copy()


def _scores(request: Any, count: int) -> ScoreArray:
    # The request's own memory is written to again by its next batch.
    scores: ScoreArray = np.array(request.get_output_tensor(0).data[:count], np.float32)
    return scores
