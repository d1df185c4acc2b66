"""Classifies files in this process: threads read and decode while the device executes.

What is decoded, how, and within which limits is what a server does; so is the isolation of images
that the network fails on. There is no event loop and no queue: batches are always full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from app.artifacts.manifest import Manifest
from app.bulk.reading import read_file
from app.bulk.records import UNREADABLE, Answering, Classified, Failed, FileResult
from app.bulk.stopping import Stop
from app.errors import ExecutionError, ServingError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.inference.ranking import rank_all
from app.inference.records import ImageInfo
from app.types import ImageArray, InputSpec, ScoreArray, Servable, ServableGroup

_AHEAD = 2
"""Batches per thread that decodes: one that it works on, and one that is done."""

_READY = 1
"""Batches that lie ready right behind those that are executed."""


@dataclass(frozen=True, slots=True)
class LocalPolicy:
    """How a run goes about it.

    Attributes:
        imaging: What is decoded.
        max_upload_bytes: Largest file.
        batch_size: Images in one execution.
        decoders: Threads that read and decode, at most. One does for thumbnails, and more would
            only take the interpreter from each other; where the device has to wait for pixels,
            another one begins.
    """

    imaging: ImagingPolicy
    max_upload_bytes: int
    batch_size: int
    decoders: int


@dataclass(slots=True)
class _Batch:
    """Files that go together: ``(N, H, W, C)`` uint8 of those that could be read, in their order.

    ``outcomes`` has an entry per file: what it was, or why it has no pixels.
    """

    files: Sequence[str]
    outcomes: list[ImageInfo | Failed]
    pixels: ImageArray


class _Decoding:
    """The batches that are being read and decoded, oldest first; owned by the thread that asks.

    It begins with one thread: two would decode thumbnails no faster, and take the interpreter from
    each other and from those that execute and write.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[str]], _Batch],
        files: Iterator[str],
        policy: LocalPolicy,
    ) -> None:
        self._decode = decode
        self._files = files
        self._batch_size = policy.batch_size
        self._most_at_once = policy.decoders
        self._at_once = 1
        self._batches: deque[Future[_Batch]] = deque()
        self._threads = ThreadPoolExecutor(policy.decoders, thread_name_prefix="decode")

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def is_next_done(self) -> bool:
        return self._batches[0].done()

    def refill(self) -> None:
        """Begin what there is room for."""
        while len(self._batches) < _AHEAD * self._at_once:
            if sum(not batch.done() for batch in self._batches) >= self._at_once:
                return
            names = list(islice(self._files, self._batch_size))
            if not names:
                return
            self._batches.append(self._threads.submit(self._decode, names))

    def next_batch(self) -> _Batch:
        """Wait for the oldest."""
        return self._batches.popleft().result()

    def widen(self) -> None:
        """Decode more batches at once from now on."""
        self._at_once = min(self._at_once + 1, self._most_at_once)

    def drop(self) -> None:
        """Forget all that were begun."""
        self._batches.clear()

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)


class LocalClassifier:
    """A loaded version and threads around it.

    Threads: the caller's ranks and yields; one for each device, or share of the processor that the
    engine has, executes; ``decoders`` read and decode.
    Bound: ``2 × decoders + executing + 1`` batches are held at a time, whatever the number of
    files; a thread decodes one image at a time.
    Failure: a file that cannot be read or decoded, or that the network fails on, is a ``Failed`` of
    its own; the others of its batch do not notice.
    Stop: what has been decoded of the oldest batch is still executed and yielded, no more.
    """

    def __init__(self, servable: Servable, manifest: Manifest, policy: LocalPolicy) -> None:
        """Take a servable that is warmed up; it stays the caller's to close."""
        members: Sequence[Servable] = (servable,)
        if isinstance(servable, ServableGroup) and policy.batch_size >= servable.joins_at:
            members = servable.members
        self._executing = len(members)
        self._idle: SimpleQueue[Servable] = SimpleQueue()
        for member in members:
            self._idle.put(member)
        self._spec: InputSpec = manifest.input.spec
        self._policy = policy
        self.answering = Answering(manifest.name, manifest.version, tuple(manifest.classes))

    def run(self, files: Iterable[str], stop: Stop, top_k: int) -> Iterator[Sequence[FileResult]]:
        """Yield a list of results for each batch, in the order of ``files``."""
        executing: deque[tuple[_Batch, Future[list[ScoreArray | ExecutionError]]]] = deque()
        device = ThreadPoolExecutor(self._executing, thread_name_prefix="device")
        decoding = _Decoding(partial(self._decode, stop=stop), iter(files), self._policy)
        try:
            decoding.refill()
            while decoding or executing:
                if decoding and len(executing) < self._executing + _READY:
                    was_there = decoding.is_next_done
                    batch = decoding.next_batch()
                    if not was_there and executing and executing[-1][1].done():
                        decoding.widen()  # the device had to wait for pixels
                    executing.append((batch, device.submit(self._on_idle, batch.pixels)))
                    if stop.is_set:  # the next ones may lack what this one was cut short of
                        decoding.drop()
                else:
                    # The device has the next batch already while this one is ranked and written.
                    batch, scores = executing.popleft()
                    yield self._results(batch, scores.result(), top_k)
                if not stop.is_set:
                    decoding.refill()
        finally:
            decoding.close()
            device.shutdown(wait=True, cancel_futures=True)

    def _decode(self, files: Sequence[str], *, stop: Stop) -> _Batch:
        """Read and decode, in a thread of its own, as many as there are before a stop."""
        pixels = np.empty((len(files), *self._spec.shape), np.uint8)
        outcomes: list[ImageInfo | Failed] = []
        good = 0
        for file in files:
            if stop.is_set:
                break
            try:
                content = read_file(file, self._policy.max_upload_bytes)
                image = decode_image(content, self._spec, self._policy.imaging)
            except OSError as error:
                outcomes.append(Failed(file, UNREADABLE, error.strerror or str(error)))
            except ServingError as error:
                outcomes.append(Failed(file, error.code, str(error)))
            else:
                pixels[good] = image.pixels
                good += 1
                outcomes.append(ImageInfo(image.format, image.width, image.height, image.mode))
        return _Batch(files, outcomes, pixels[:good])

    def _on_idle(self, pixels: ImageArray) -> list[ScoreArray | ExecutionError]:
        """Execute on a member that nobody has, of which there is one for each thread."""
        servable = self._idle.get()
        try:
            return self._execute(servable, pixels)
        finally:
            self._idle.put(servable)

    def _execute(self, servable: Servable, pixels: ImageArray) -> list[ScoreArray | ExecutionError]:
        """Execute ``(N, H, W, C)``, N from 0, in the device's thread; return N rows or errors."""
        if not len(pixels):
            return []
        try:
            scores = servable.execute(pixels)  # (N, K) float32
        except Exception as error:  # engines raise what they like; a lone image is the culprit
            if len(pixels) == 1:
                return [_failure("The network failed on this image.", error)]
            middle = (len(pixels) + 1) // 2
            head, tail = pixels[:middle], pixels[middle:]
            return self._execute(servable, head) + self._execute(servable, tail)
        good: NDArray[np.bool_] = np.asarray(np.isfinite(scores).all(axis=1))  # (N,)
        return [
            row if is_good else ExecutionError("The network gave no usable scores for this image.")
            for row, is_good in zip(scores, good, strict=True)
        ]

    def _results(
        self, batch: _Batch, scores: list[ScoreArray | ExecutionError], top_k: int
    ) -> list[FileResult]:
        rows = [row for row in scores if not isinstance(row, ExecutionError)]
        ranked = iter(rank_all(np.stack(rows), self.answering.classes, top_k) if rows else ())
        answers = iter(scores)
        results: list[FileResult] = []
        for file, outcome in zip(batch.files, batch.outcomes, strict=False):
            if isinstance(outcome, Failed):
                results.append(outcome)
            elif isinstance(error := next(answers), ExecutionError):
                results.append(Failed(file, error.code, str(error)))
            else:
                model, version = self.answering.model, self.answering.version
                results.append(Classified(file, model, version, next(ranked), outcome))
        return results


def _failure(message: str, cause: Exception) -> ExecutionError:
    error = ExecutionError(message)
    error.__cause__ = cause
    return error
