"""The way of an image: decode, schedule, rank; every end of it is counted."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from app.batching.task import BatchTask
from app.errors import (
    ClientFaultError,
    ExecutionError,
    ImageTooLargeError,
    InvalidRequestError,
    QueueFullError,
    ServingError,
)
from app.imaging.decoder import ImagingPolicy, decode_image
from app.inference.answering import classification
from app.inference.counting import count_all, count_ok, late, outcome_of
from app.inference.deadline import Deadline
from app.inference.decode_pool import DecodePool
from app.inference.live import LiveServable
from app.inference.progress import note_progress
from app.inference.quick import OnEnd, QuickImage
from app.inference.records import Classification, ClassifyOptions
from app.inference.shared_task import ImageTask, SharedTask
from app.metrics import Metrics
from app.tracing.request_trace import RequestTrace
from app.types import DecodedImage, InputSpec

# Up to this size an image is decoded on the event loop: it takes less time there than the way
# to a decode thread and back (benchmarks/README.md). Bytes bound what parsing may cost, pixels
# what decoding may; both are known before anything is decoded.
_QUICK_BYTES = 16 * 1024
_QUICK_PIXELS = 128 * 128
# What their header lets expect of the few that are made to take long: the loop waits for them.
_QUICK_MS = 5.0
# Of one request: more of them in one turn would hold the event loop for as long as a large one.
_QUICK_IMAGES = 4
# What a form adds to each file, at most in practice: its boundary, headers and file name.
_FORM_BYTES = 1024

QUICK_UPLOAD_BYTES = _QUICK_BYTES + _FORM_BYTES
"""Bodies up to this length may hold an image that ``begin`` takes."""


class InferenceService:
    """Classifies uploads on live servables.

    Loop: everything runs on the event loop but the decoding of all but small images, which runs
    in the decode pool, and execution, which runs in the device thread of the servable's batcher.
    Answer: each call ends in a classification or one error; so does each image of
    ``classify_many``.
    Cancel: cancelling a call withdraws its images from decoding and from the queue.
    Bound: a call ends at ``options.deadline_s`` at the latest.
    """

    def __init__(self, pool: DecodePool, imaging: ImagingPolicy, metrics: Metrics) -> None:
        """Join the parts."""
        self._pool = pool
        self._imaging = imaging
        self._quick_imaging = replace(
            imaging,
            max_image_pixels=min(_QUICK_PIXELS, imaging.max_image_pixels),
            max_decode_ms=min(_QUICK_MS, imaging.max_decode_ms),
        )
        self._metrics = metrics

    def refusal(
        self,
        live: LiveServable,
        options: ClassifyOptions,
        upload_bytes: int,
        *,
        is_one: bool,
        ahead: int = 0,
    ) -> QueueFullError | None:
        """Return why one image more would be refused if it were here now; None where not.

        For uploads whose body has not been read: they are then refused without the work of it.

        Args:
            live: Who would classify.
            options: How.
            upload_bytes: Length of the body; 0 where it is not announced.
            is_one: Whether it can have one image only.
            ahead: Images of others that passed a moment ago and do not wait yet.
        """
        quick = 1 if is_one else _QUICK_IMAGES
        if upload_bytes > quick * (_QUICK_BYTES + _FORM_BYTES) or _is_large(live.spec):
            refusal = self._pool.refusal(options.deadline_s - asyncio.get_running_loop().time())
            if refusal is not None:
                return refusal
        if live.reuse is not None:
            return None  # only its pixels tell whether it waits for the batcher at all
        return live.batcher.refusal(
            1 + ahead, deadline_s=options.deadline_s, priority=options.priority
        )

    async def decode(self, live: LiveServable, upload: bytes) -> DecodedImage:
        """Bring an encoded image to what a version takes, in the decode pool.

        Raises:
            ClientFaultError: The image's fault.
            QueueFullError: Too many images wait for being decoded.
        """
        image, _ = await self._decode(live, upload, may_be_quick=False)
        return image

    def begin(
        self, live: LiveServable, upload: bytes, options: ClassifyOptions, on_end: OnEnd
    ) -> QuickImage | None:
        """Decode and queue one small image here and now, as ``classify`` would, without a task.

        Args:
            live: Who classifies.
            upload: The encoded image.
            options: How.
            on_end: Is told how it ended.

        Returns:
            None where that cannot be, or where the answer would be an error: nothing has happened
            or been counted then, and ``classify`` finds out again what is to be done.
        """
        if live.reuse is not None or not upload:
            return None
        try:
            decoded = self._decode_quickly(live, upload)
            if decoded is None:
                return None
            image, seconds = decoded
            task = live.batcher.schedule(
                image.pixels,
                deadline_s=options.deadline_s,
                priority=options.priority,
                trace=options.trace,
            )
        except ServingError:
            return None
        self._metrics.image_decoded(image.format, seconds)
        if options.trace is not None:
            options.trace.decoded(seconds, image.format)
        return QuickImage(live, task, image, seconds, options, on_end)

    async def classify(
        self, live: LiveServable, upload: bytes, options: ClassifyOptions
    ) -> Classification:
        """Classify one encoded image.

        Raises:
            ServingError: One of its subclasses: the image's fault, a full queue, the deadline, a
                failed execution, or a version that stopped.
        """
        decode_s: float | None = None
        task: ImageTask | None = None
        try:
            with Deadline(options.deadline_s):
                image, decode_s = await self._decode(
                    live,
                    upload,
                    may_be_quick=True,
                    deadline_s=options.deadline_s,
                    trace=options.trace,
                )
                scheduler = live.reuse or live.batcher
                task = scheduler.schedule(
                    image.pixels,
                    deadline_s=options.deadline_s,
                    priority=options.priority,
                    trace=options.trace,
                )
                answer = await _answer(live, task, image, decode_s, options.top_k)
        except TimeoutError:
            raise late(live, 1, decode_s, task) from None
        except BaseException as failure:
            live.metrics.image_ended(outcome_of(failure))
            note_progress(failure, decode_s, task)
            raise
        count_ok(live, answer)
        return answer

    async def classify_many(
        self, live: LiveServable, uploads: Sequence[bytes], options: ClassifyOptions
    ) -> list[Classification | ServingError]:
        """Classify several images that came in one request; answers keep their order.

        A bad image, or one that the network fails on, is an entry of its own. The readable ones
        are accepted together or not at all.

        Raises:
            QueueFullError: There is no room for all of them.
            DeadlineExceededError: Not all were answered in time; the rest is withdrawn.
            BatcherStoppedError: The version stopped.
        """
        try:
            with Deadline(options.deadline_s):
                outcomes = await self._classify_all(live, uploads, options)
        except TimeoutError:
            raise late(live, len(uploads)) from None
        except BaseException as failure:
            count_all(live, len(uploads), failure)
            raise
        for outcome in outcomes:
            if isinstance(outcome, ServingError):
                live.metrics.image_ended(outcome_of(outcome))
            else:
                count_ok(live, outcome)
        return outcomes

    async def _classify_all(
        self, live: LiveServable, uploads: Sequence[bytes], options: ClassifyOptions
    ) -> list[Classification | ServingError]:
        decoding = [
            asyncio.create_task(self._decode_entry(live, upload, n < _QUICK_IMAGES, options.trace))
            for n, upload in enumerate(uploads)
        ]
        try:
            decoded = await asyncio.gather(*decoding)
        finally:
            for task in decoding:
                task.cancel()
        scheduler = live.reuse or live.batcher
        tasks: Sequence[ImageTask] = scheduler.schedule_many(
            [entry[0].pixels for entry in decoded if not isinstance(entry, ServingError)],
            deadline_s=options.deadline_s,
            priority=options.priority,
            trace=options.trace,
        )
        try:
            # One after the other: whichever comes last, all are there then.
            waiting = iter(tasks)
            return [
                entry
                if isinstance(entry, ServingError)
                else await _answer_entry(live, next(waiting), entry, options.top_k)
                for entry in decoded
            ]
        finally:
            for scheduled in tasks:
                scheduled.cancel()

    async def _decode(
        self,
        live: LiveServable,
        upload: bytes,
        *,
        may_be_quick: bool,
        deadline_s: float = math.inf,
        trace: RequestTrace | None = None,
    ) -> tuple[DecodedImage, float]:
        if not upload:
            raise InvalidRequestError("The file is empty.")
        quick = self._decode_quickly(live, upload) if may_be_quick else None
        image, seconds = quick or await self._pool.run(
            functools.partial(decode_image, upload, live.spec, self._imaging),
            deadline_s - asyncio.get_running_loop().time(),
        )
        self._metrics.image_decoded(image.format, seconds)
        if trace is not None:
            trace.decoded(seconds, image.format)
        return image, seconds

    def _decode_quickly(
        self, live: LiveServable, upload: bytes
    ) -> tuple[DecodedImage, float] | None:
        """Decode a small image here and now; None if it is not small."""
        if len(upload) > _QUICK_BYTES or _is_large(live.spec):
            return None
        start = perf_counter()
        try:
            image = decode_image(upload, live.spec, self._quick_imaging)
        except ImageTooLargeError:
            return None
        return image, perf_counter() - start

    async def _decode_entry(
        self, live: LiveServable, upload: bytes, may_be_quick: bool, trace: RequestTrace | None
    ) -> tuple[DecodedImage, float] | ServingError:
        try:
            return await self._decode(live, upload, may_be_quick=may_be_quick, trace=trace)
        except ClientFaultError as error:
            return error


async def _answer(
    live: LiveServable, task: ImageTask, image: DecodedImage, decode_s: float, top_k: int
) -> Classification:
    result = await task.result()
    if isinstance(task, SharedTask):
        return classification(live, result, image, decode_s, top_k, task.reuse)
    position = task.queue_position if isinstance(task, BatchTask) else None
    return classification(live, result, image, decode_s, top_k, queue_position=position)


async def _answer_entry(
    live: LiveServable, task: ImageTask, entry: tuple[DecodedImage, float], top_k: int
) -> Classification | ServingError:
    try:
        return await _answer(live, task, *entry, top_k)
    except ExecutionError as error:
        return error


def _is_large(spec: InputSpec) -> bool:
    return spec.height * spec.width > _QUICK_PIXELS
