"""Classifies files through a server: many requests at once, behind those of people."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from app.bulk.records import STDIN, UNREADABLE, Answering, Classified, Failed, FileResult
from app.bulk.stopping import Stop
from app.client import (
    AsyncClient,
    Client,
    DeadlineExceededError,
    ExecutionFailedError,
    ImageTooLargeError,
    InvalidImageError,
    InvalidRequestError,
    LabelNotFoundError,
    NotReadyError,
    ProblemError,
    TooManyImagesError,
    UnsupportedFormatError,
    UploadTooLargeError,
    VersionNotFoundError,
)
from app.client.calls import ClassifyOptions
from app.inference.records import ImageInfo, Prediction
from app.schemas.answers import (
    BatchFailure,
    BatchResponse,
    BatchSuccess,
    ClassifyResponse,
    ModelResponse,
)

_OF_THE_IMAGE = (
    DeadlineExceededError,
    ExecutionFailedError,
    ImageTooLargeError,
    InvalidImageError,
    InvalidRequestError,  # an empty file
    UnsupportedFormatError,
    UploadTooLargeError,
)
"""What another image may not meet. All else would meet each of them, and ends the run."""

_NOT_TOGETHER = (*_OF_THE_IMAGE, TooManyImagesError, OSError)
"""What ends a request for several images, and says nothing of the others."""

_AHEAD = 2
"""Requests begun per one at a time: what may be done already behind one that is repeated."""

_IMAGES_PER_REQUEST = 16
_MOST_BYTES_TOGETHER = 1 << 18
"""A request costs this client about 2 ms, whatever it carries: small files go together. Large ones
do not, so that memory has a bound, and so that a server reads and decodes them side by side."""

_MOST_REPETITIONS = 10_000
"""The timeout is what ends them: a busy server is no reason to stop."""


@dataclass(frozen=True, slots=True)
class RemotePolicy:
    """How a run asks.

    Attributes:
        url: Of the server.
        api_key: Where it asks for one.
        concurrency: Requests at a time.
        timeout_s: For one file, repetitions included.
        options: Model, and version or label.
        images_per_request: Small files that go together, at most; with one refused in common, each
            goes by itself.
    """

    url: str
    api_key: str | None
    concurrency: int
    timeout_s: float
    options: ClassifyOptions = field(default_factory=ClassifyOptions)
    images_per_request: int = _IMAGES_PER_REQUEST


class RemoteClassifier:
    """A server, asked by many requests at a time.

    Bound: ``concurrency`` requests at a time, and twice as many begun, of one file or 256 KiB each.
    Failure: what is wrong with one file is a ``Failed`` of its own; what would be wrong with all
    (no server, no key, no such version, still busy after ``timeout_s``) ends the run.
    Stop: requests under way are given up; what is answered in front of them is yielded.
    """

    def __init__(self, policy: RemotePolicy) -> None:
        """Ask who answers.

        Raises:
            KeraserveError: Nobody does, or not to this.
            ValueError: The address or the key is none.
        """
        self._policy = policy
        with Client(policy.url, api_key=policy.api_key) as client:
            name = policy.options.get("model") or client.models().default
            self.answering = _answering(client.model(name), policy.options)

    def run(self, files: Iterable[str], stop: Stop, top_k: int) -> Iterator[Sequence[FileResult]]:
        """Yield results in the order of ``files``, as many as there are.

        Raises:
            KeraserveError: The run cannot go on; what is before it has been yielded.
        """
        import uvloop  # here: what runs locally needs no loop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            window = _Window(self._policy, iter(files), stop, top_k)
            try:
                while results := runner.run(window.next_results()):
                    yield results
            finally:
                runner.run(window.close())


class _Window:
    """The files under way, oldest first; everything in it runs on one loop.

    Between two calls of ``next_results`` the loop stands still, while results are written.
    """

    def __init__(self, policy: RemotePolicy, files: Iterator[str], stop: Stop, top_k: int) -> None:
        self._policy = policy
        self._groups = _together(files, policy.images_per_request)
        self._stop = stop
        self._options: ClassifyOptions = {**policy.options, "top_k": top_k, "priority": "bulk"}
        self._tasks: deque[asyncio.Task[list[FileResult]]] = deque()
        self._client = AsyncClient(
            policy.url,
            api_key=policy.api_key,
            timeout_s=policy.timeout_s,
            retries=_MOST_REPETITIONS,
        )
        self._permits = asyncio.Semaphore(policy.concurrency)
        self._stopped: asyncio.Event | None = None

    async def next_results(self) -> list[FileResult]:
        """Wait for the oldest file, and return it with all that are done behind it; none: the end.

        Raises:
            KeraserveError: The oldest one ended in what ends the run.
        """
        if self._stopped is None:
            self._stopped = asyncio.Event()
            self._stop.on_set(partial(_tell, asyncio.get_running_loop(), self._stopped))
        room = _AHEAD * self._policy.concurrency - len(self._tasks)
        if not self._stop.is_set:
            groups = islice(self._groups, room)
            self._tasks += [asyncio.create_task(self._ask(group)) for group in groups]
        if self._tasks and not self._tasks[0].done():
            stopped = asyncio.create_task(self._stopped.wait())
            await asyncio.wait({self._tasks[0], stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        results: list[FileResult] = []
        while self._tasks and self._tasks[0].done():
            if self._tasks[0].exception() is not None and results:
                break  # the next call raises it
            results += self._tasks.popleft().result()
        return results

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _ask(self, files: Sequence[str]) -> list[FileResult]:
        async with self._permits:
            if len(files) > 1:
                try:
                    answer = await self._client.classify_batch(files, **self._options)
                except _NOT_TOGETHER:
                    pass  # each by itself: then it is known whose fault it is
                else:
                    entries = zip(files, answer.results, strict=True)
                    return [_entry(file, entry, answer) for file, entry in entries]
            return [await self._ask_one(file) for file in files]

    async def _ask_one(self, file: str) -> FileResult:
        try:
            source = await asyncio.to_thread(sys.stdin.buffer.read) if file == STDIN else file
            answer = await self._client.classify(source, **self._options)
        except OSError as error:
            return Failed(file, UNREADABLE, error.strerror or str(error))
        except _OF_THE_IMAGE as error:
            return Failed(file, error.code, error.detail)
        return _classified(file, answer, answer)


def _tell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event out of a signal handler, which may come when all is over."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)


def _together(files: Iterator[str], most: int) -> Iterator[list[str]]:
    """Yield files in their order, neighbours together as long as they are few and small."""
    group: list[str] = []
    group_bytes = 0
    for file in files:
        size = _size(file)
        if group and (len(group) >= most or group_bytes + size > _MOST_BYTES_TOGETHER):
            yield group
            group, group_bytes = [], 0
        group.append(file)
        group_bytes += size
    if group:
        yield group


def _size(file: str) -> int:
    """Return the bytes of a file; of what has no size, as many as go alone."""
    if file == STDIN:  # not the file of this name
        return _MOST_BYTES_TOGETHER + 1
    try:
        status = os.stat(file)  # noqa: PTH116 - of thousands of files
    except OSError:
        return _MOST_BYTES_TOGETHER + 1
    return status.st_size if stat.S_ISREG(status.st_mode) else _MOST_BYTES_TOGETHER + 1


def _entry(file: str, entry: BatchSuccess | BatchFailure, answer: BatchResponse) -> FileResult:
    if isinstance(entry, BatchFailure):
        return Failed(file, entry.error.code, entry.error.detail)
    return _classified(file, entry, answer)


def _classified(
    file: str, found: ClassifyResponse | BatchSuccess, answer: ClassifyResponse | BatchResponse
) -> Classified:
    predictions = [Prediction(p.label, p.class_id, p.score) for p in found.predictions]
    image = found.image
    info = ImageInfo(image.format, image.width, image.height, image.mode)
    return Classified(file, answer.model, answer.version, predictions, info)


def _answering(model: ModelResponse, options: ClassifyOptions) -> Answering:
    version = options.get("version", model.default_version)
    if (label := options.get("label")) is not None:
        version = model.labels.get(label)
    for found in model.versions:
        if found.version == version and found.classes is not None:
            return Answering(model.name, found.version, tuple(found.classes))
    raise _missing(model, options)


def _missing(model: ModelResponse, options: ClassifyOptions) -> ProblemError:
    there = ", ".join(str(found.version) for found in model.versions) or "none"
    if (label := options.get("label")) is not None:
        known = ", ".join(model.labels) or "none"
        detail = f"{model.name} has no label {label!r}; it has: {known}"
        return LabelNotFoundError(detail, status=404, code=LabelNotFoundError.code)
    if (wanted := options.get("version")) is not None:
        detail = f"{model.name} has no version {wanted}; it has: {there}"
        return VersionNotFoundError(detail, status=404, code=VersionNotFoundError.code)
    detail = f"no version of {model.name} answers; it has: {there}"
    return NotReadyError(detail, status=503, code=NotReadyError.code)
