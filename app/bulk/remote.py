"""Classifies files through a server: many requests at once, behind those of people."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
    UnsupportedFormatError,
    UploadTooLargeError,
    VersionNotFoundError,
)
from app.client.calls import ClassifyOptions
from app.inference.records import ImageInfo, Prediction
from app.schemas.answers import ClassifyResponse, ModelResponse

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

_AHEAD = 4
"""Files begun per request at a time: what may be done already behind one that is repeated."""

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
    """

    url: str
    api_key: str | None
    concurrency: int
    timeout_s: float
    options: ClassifyOptions = field(default_factory=ClassifyOptions)


class RemoteClassifier:
    """A server, asked by many requests at a time.

    Bound: ``concurrency`` requests at a time, and four times as many files begun.
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
        self._files = files
        self._stop = stop
        self._options: ClassifyOptions = {**policy.options, "top_k": top_k, "priority": "bulk"}
        self._tasks: deque[asyncio.Task[FileResult]] = deque()
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
            loop, event = asyncio.get_running_loop(), self._stopped
            self._stop.on_set(lambda: loop.call_soon_threadsafe(event.set))
        room = _AHEAD * self._policy.concurrency - len(self._tasks)
        if not self._stop.is_set:
            self._tasks += [asyncio.create_task(self._ask(f)) for f in islice(self._files, room)]
        if self._tasks and not self._tasks[0].done():
            stopped = asyncio.create_task(self._stopped.wait())
            await asyncio.wait({self._tasks[0], stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        results: list[FileResult] = []
        while self._tasks and self._tasks[0].done():
            if self._tasks[0].exception() is not None and results:
                break  # the next call raises it
            results.append(self._tasks.popleft().result())
        return results

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _ask(self, file: str) -> FileResult:
        async with self._permits:
            try:
                source = await asyncio.to_thread(sys.stdin.buffer.read) if file == STDIN else file
                answer = await self._client.classify(source, **self._options)
            except OSError as error:
                return Failed(file, UNREADABLE, error.strerror or str(error))
            except _OF_THE_IMAGE as error:
                return Failed(file, error.code, error.detail)
        return _classified(file, answer)


def _classified(file: str, answer: ClassifyResponse) -> Classified:
    predictions = [Prediction(p.label, p.class_id, p.score) for p in answer.predictions]
    image = answer.image
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
